package jq

import (
	"errors"
	"fmt"

	"github.com/itchyny/gojq"
)

// maxIdle bounds how many machines of one expression are kept.
const maxIdle = 8

// program is a query compiled for the interpreter. The interpreter offers its functions no state of
// the evaluation they run in, and the guards need one; so each evaluation takes a machine
// of its own, compiled on demand and kept for the next.
type program struct {
	query *gojq.Query
	idle  chan *machine
}

// machine is the expression's code with the budget its guards charge. One evaluation at
// a time.
type machine struct {
	code    *gojq.Code
	budget  budget
	regexps map[string]*pattern
}

// newProgram compiles a rewritten query; the error is for the author of the expression.
func newProgram(query *gojq.Query) (*program, error) {
	p := &program{query: query, idle: make(chan *machine, maxIdle)}
	m, err := p.machine()
	if err != nil {
		return nil, err
	}
	p.idle <- m
	return p, nil
}

func (p *program) machine() (m *machine, err error) {
	defer func() {
		if recover() != nil {
			m, err = nil, errInternal
		}
	}()
	m = &machine{}
	if m.code, err = gojq.Compile(p.query, m.guards()...); err != nil {
		return nil, err
	}
	return m, nil
}

// eval gives the one output of the expression. The scope is only read.
func (p *program) eval(scope any) (out any, err error) {
	var m *machine
	select {
	case m = <-p.idle:
	default:
		if m, err = p.machine(); err != nil {
			return nil, err
		}
	}
	if out, err = m.eval(scope); errors.Is(err, errInternal) {
		return nil, err // what a panic left behind is not used again
	}
	m.budget.scope = nil // an idle machine must not hold on to a request
	select {
	case p.idle <- m:
	default:
	}
	return out, err
}

func (m *machine) eval(scope any) (out any, err error) {
	defer func() {
		if recover() != nil {
			out, err = nil, errInternal
		}
	}()
	m.budget.begin(scope)
	outputs := m.code.RunWithContext(&m.budget, scope)
	v, ok := outputs.Next()
	if !ok {
		return nil, ErrEmpty
	}
	if err, failed := v.(error); failed {
		return nil, err
	}
	if second, more := outputs.Next(); more {
		if err, failed := second.(error); failed {
			return nil, err
		}
		return nil, fmt.Errorf("gives more than one value, %s and %s: put it into […], or take first(…)", Describe(v), Describe(second))
	}
	out, _, err = m.budget.clean(v, 0)
	return out, err
}
