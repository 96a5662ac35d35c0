// Package jq owns the expressions themselves: jq, made pure and bounded. It parses them,
// refuses what depends on more than the input, tells at load what they use, and counts
// their work when they run. It knows no files and nothing of where an expression
// stands.
package jq

import (
	"errors"

	"github.com/itchyny/gojq"

	"headgate/config/yamlsrc"
)

// ErrEmpty says that an expression gave no output.
var ErrEmpty = errors.New("the expression gave no value")

// Query is a parsed expression, not yet checked.
type Query struct {
	source string
	query  *gojq.Query
}

// Parse reads an expression. The error says what is wrong with its syntax.
func Parse(source string) (q *Query, err error) {
	// The parser is fed whatever a person typed: a panic in it is a fault of this text.
	defer func() {
		if recover() != nil {
			q, err = nil, errUnparsable
		}
	}()
	query, err := gojq.Parse(source)
	if err != nil {
		return nil, err
	}
	return &Query{source: source, query: query}, nil
}

// Fault receives what is wrong with an expression, each fault once.
type Fault func(hint, message string)

// Program is a compiled expression, safe for concurrent use.
type Program struct {
	path   []step
	code   *program // nil for a plain path
	direct direct   // nil unless the expression is a simple one
	uses   *Usage
}

// Compile checks and compiles the query, once. roots are the names that the input has at
// its first level. When there was a fault the result is nil.
func (q *Query) Compile(roots []string, fault Fault) *Program {
	c := &checker{told: map[string]bool{}, fault: fault}
	p := &Program{uses: analyse(q.query, roots, func(name string) {
		c.faultf(yamlsrc.UnknownHint(name, roots), "unknown name .%s in the expression %s", Shorten(name), Quote(q.source))
	})}
	var plain bool
	if p.path, plain = plainPath(q.query); !plain {
		p.direct = directly(q.query)
		query := secure(q.query, c.faultf)
		if len(c.told) > 0 {
			return nil
		}
		var err error
		if p.code, err = newProgram(query); err != nil {
			c.faultf(Manual, "the expression %s is not valid: %s", Quote(q.source), shortenMessage(err.Error()))
		}
	}
	if len(c.told) > 0 {
		return nil
	}
	return p
}

// Eval gives the one output of the expression as JSON-like data, which may share memory
// with the input. The input is only read. The error is ErrEmpty, or a message for the
// author of the expression.
func (p *Program) Eval(input map[string]any) (any, error) {
	if p.direct != nil {
		if out, ok := p.direct(input); ok {
			return out, nil
		}
	}
	var out any
	var err error
	if p.code == nil {
		out, err = walkPath(p.path, input)
	} else {
		out, err = p.code.eval(input)
	}
	switch {
	case err == nil:
		return out, nil
	case errors.Is(err, ErrEmpty):
		return nil, ErrEmpty
	}
	return nil, errors.New(message(err))
}

// Uses tells what the expression takes from its input.
func (p *Program) Uses() *Usage { return p.uses }
