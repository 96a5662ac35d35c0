package transform

import (
	"errors"

	"headgate/config/yamlsrc"
	"headgate/dispatch/transform/jq"
)

// expr is one compiled expression, with where it stands.
type expr struct {
	source string
	where  string // the YAML path
	prog   *jq.Program
}

// newExpr checks and compiles one expression. On problems the result is nil.
func newExpr(seg segment, n *yamlsrc.Node, roots []string, report *yamlsrc.Report) *expr {
	prog := seg.query.Compile(roots, func(hint, message string) {
		report.Addf(n.Pos, n.Path, hint, "%s", message)
	})
	if prog == nil {
		return nil
	}
	return &expr{source: seg.text, where: n.Path, prog: prog}
}

// eval gives the value of the expression. It may share memory with the scope.
func (e *expr) eval(scope Scope) (any, error) {
	out, err := e.prog.Eval(scope)
	switch {
	case err == nil:
		return out, nil
	case errors.Is(err, jq.ErrEmpty):
		return nil, ErrEmpty
	}
	return nil, e.fault(err.Error())
}

func (e *expr) fault(message string) error {
	return &Error{Expr: e.source, Path: e.where, Message: message}
}
