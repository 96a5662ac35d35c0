package transform

import (
	"errors"
	"fmt"

	"github.com/itchyny/gojq"

	"headgate/config/yamlsrc"
)

// expr is one compiled expression: a plain path, or a program for the interpreter.
type expr struct {
	source string
	where  string // the YAML path it stands at
	path   []step
	prog   *program // nil for a plain path
	uses   *usage
}

// newExpr checks and compiles one expression. On problems the result is nil.
func newExpr(seg segment, n *yamlsrc.Node, roots []string, report *yamlsrc.Report) *expr {
	e := &expr{source: seg.text, where: n.Path}
	before := report.Len()
	reported := map[string]bool{} // each fault once, however often it is in there
	fault := func(hint, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); !reported[text] {
			reported[text] = true
			report.Addf(n.Pos, n.Path, hint, "%s", text)
		}
	}
	e.uses = analyse(seg.query, roots, func(name string) {
		fault(yamlsrc.UnknownHint(name, roots), "unknown name .%s in the expression %s", shorten(name), quoted(seg.text))
	})
	var plain bool
	if e.path, plain = plainPath(seg.query); plain {
		return sound(e, report.Len() == before)
	}
	e.compile(seg.query, fault, func() bool { return report.Len() == before })
	return sound(e, report.Len() == before)
}

func sound(e *expr, ok bool) *expr {
	if !ok {
		return nil
	}
	return e
}

func (e *expr) compile(q *gojq.Query, fault func(hint, format string, args ...any), ok func() bool) {
	query := secure(q, fault)
	if !ok() {
		return
	}
	prog, err := newProgram(query)
	if err != nil {
		fault("an expression is jq: https://jqlang.org/manual/", "the expression %s is not valid: %s", quoted(e.source), shortenMessage(err.Error()))
		return
	}
	e.prog = prog
}

// eval gives the value of the expression. It may share memory with the scope.
func (e *expr) eval(scope Scope) (any, error) {
	var out any
	var err error
	if e.prog == nil {
		out, err = walkPath(e.path, scope)
	} else {
		out, err = e.prog.eval(scope)
	}
	switch {
	case err == nil:
		return out, nil
	case errors.Is(err, ErrEmpty):
		return nil, ErrEmpty
	}
	return nil, e.fault(message(err))
}

func (e *expr) fault(message string) error {
	return &Error{Expr: e.source, Path: e.where, Message: message}
}
