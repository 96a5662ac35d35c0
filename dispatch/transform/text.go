package transform

import (
	"encoding/json"
	"errors"
	"math/big"
	"strconv"
	"strings"

	"headgate/config/yamlsrc"
	"headgate/dispatch/transform/jq"
)

// Text is a compiled string: a URL, a header value.
type Text struct {
	source  string
	literal string // when there is no expression
	whole   *expr  // when the text is exactly one expression
	parts   []part // otherwise
	uses    jq.Usage
}

// part is literal text or an expression whose value is inserted.
type part struct {
	text string
	expr *expr
}

// CompileText compiles a scalar.
func CompileText(n *yamlsrc.Node, roots []string, report *yamlsrc.Report) *Text {
	if n.Kind != yamlsrc.Scalar {
		n.Wrong("a string", report)
		return &Text{}
	}
	return newText(n, roots, report)
}

func newText(n *yamlsrc.Node, roots []string, report *yamlsrc.Report) *Text {
	t := &Text{source: n.Text}
	segments := split(n, report)
	segments = unpadded(segments)
	for _, s := range segments {
		if s.query == nil {
			t.parts = append(t.parts, part{text: s.text})
			continue
		}
		e := newExpr(s, n, roots, report)
		if e == nil {
			continue
		}
		t.uses.Add(e.prog.Uses())
		t.parts = append(t.parts, part{expr: e})
	}
	switch {
	case len(t.parts) == 0:
	case len(t.parts) == 1 && t.parts[0].expr == nil:
		t.literal, t.parts = t.parts[0].text, nil
	case len(t.parts) == 1:
		t.whole, t.parts = t.parts[0].expr, nil
	}
	return t
}

// unpadded leaves out white space around a text that is one expression: block scalars
// end in a newline that nobody meant.
func unpadded(segments []segment) []segment {
	var out []segment
	for _, s := range segments {
		if s.query == nil && strings.TrimSpace(s.text) == "" {
			continue
		}
		out = append(out, s)
	}
	if len(out) == 1 && out[0].query != nil {
		return out
	}
	return segments
}

// value gives what a Value's scalar gives: any type for a whole expression.
func (t *Text) value(scope Scope) (any, error) {
	if t.whole != nil {
		return t.whole.eval(scope)
	}
	return t.Eval(scope)
}

// Eval gives the string; null, objects and lists are errors when interpolated. ErrEmpty
// says that the text is one expression which gave no value.
func (t *Text) Eval(scope Scope) (string, error) {
	switch {
	case t.whole != nil:
		v, err := t.whole.eval(scope)
		if err != nil {
			return "", err
		}
		return t.whole.text(v)
	case t.parts == nil:
		return t.literal, nil
	}
	var out strings.Builder
	for i := range t.parts {
		p := &t.parts[i]
		if p.expr == nil {
			out.WriteString(p.text)
			continue
		}
		text, err := p.expr.inserted(scope)
		if err != nil {
			return "", err
		}
		out.WriteString(text)
	}
	return out.String(), nil
}

// inserted gives the value of an expression that stands within text.
func (e *expr) inserted(scope Scope) (string, error) {
	v, err := e.eval(scope)
	if errors.Is(err, ErrEmpty) {
		return "", e.fault("gave no value to insert into the text around it")
	}
	if err != nil {
		return "", err
	}
	return e.text(v)
}

// text writes a scalar: strings as they are, numbers with their digits.
func (e *expr) text(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case json.Number:
		return string(v), nil
	case bool:
		return strconv.FormatBool(v), nil
	case int:
		return strconv.Itoa(v), nil
	case *big.Int:
		return v.String(), nil
	case float64:
		n, err := jq.Number(v)
		if err != nil {
			return "", e.fault(err.Error())
		}
		return string(n), nil
	}
	return "", e.fault("expected a string, a number or a boolean, got " + jq.Describe(v))
}

// Source is the text as written.
func (t *Text) Source() string { return t.source }

// IsExpression reports whether it is one expression and nothing else.
func (t *Text) IsExpression() bool { return t.whole != nil }

// IsLiteral reports whether there is no expression in it.
func (t *Text) IsLiteral() bool { return t.whole == nil && t.parts == nil }

// Reads is as for Value.
func (t *Text) Reads(root string) bool { return t.uses.Reads(root) }

// Fields is as for Value.
func (t *Text) Fields(root string) (fields []string, all bool) { return t.uses.Of(root) }

// Paths lists what is taken of a root by name, without condition; jq.Item stands for any item
// of a list.
func (t *Text) Paths(root string) [][]string { return t.uses.Paths(root) }
