package transform

import (
	"errors"

	"headgate/config/yamlsrc"
	"headgate/dispatch/transform/jq"
)

// Bool is a compiled condition: exactly one expression that gives true or false.
type Bool struct {
	text *Text
}

// CompileBool compiles a scalar.
func CompileBool(n *yamlsrc.Node, roots []string, report *yamlsrc.Report) *Bool {
	if n.Kind != yamlsrc.Scalar {
		n.Wrong("one expression that gives true or false, such as ${{ .body.consent == true }}", report)
		return &Bool{text: &Text{}}
	}
	before := report.Len()
	b := &Bool{text: newText(n, roots, report)}
	if b.text.whole == nil && report.Len() == before {
		n.Wrong("one expression that gives true or false, such as ${{ .body.consent == true }}", report)
	}
	return b
}

// Eval gives the answer; anything but a boolean is an error.
func (b *Bool) Eval(scope Scope) (bool, error) {
	v, err := b.text.whole.eval(scope)
	if errors.Is(err, ErrEmpty) {
		return false, b.text.whole.fault("expected true or false, got no value")
	}
	if err != nil {
		return false, err
	}
	answer, ok := v.(bool)
	if !ok {
		return false, b.text.whole.fault("expected true or false, got " + jq.Describe(v))
	}
	return answer, nil
}

// Reads is as for Value.
func (b *Bool) Reads(root string) bool { return b.text.Reads(root) }

// Fields is as for Value.
func (b *Bool) Fields(root string) (fields []string, all bool) { return b.text.Fields(root) }
