package transform

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"headgate/config/yamlsrc"
	"headgate/dispatch/encode"
	"headgate/dispatch/transform/jq"
)

// Value is a compiled YAML value: literals, mappings and lists with expressions inside.
type Value struct {
	root valueNode
	uses jq.Usage
}

// valueNode is one node of a Value. Exactly one of text, keys and items is used beside
// literal.
type valueNode struct {
	kind    yamlsrc.Kind
	literal any   // a scalar without an expression
	text    *Text // a scalar with one
	keys    []string
	labels  [][]byte // the keys as JSON, with the colon
	items   []valueNode
}

// CompileValue compiles n. roots are the names an expression may use (".body" needs
// "body"); anything else is a problem in report. On problems the result is not used.
func CompileValue(n *yamlsrc.Node, roots []string, report *yamlsrc.Report) *Value {
	v := &Value{}
	v.root = v.compile(n, roots, report)
	return v
}

func (v *Value) compile(n *yamlsrc.Node, roots []string, report *yamlsrc.Report) valueNode {
	out := valueNode{kind: n.Kind}
	switch n.Kind {
	case yamlsrc.Scalar:
		if !strings.Contains(n.Text, opening) {
			out.literal = n.Value()
			break
		}
		out.text = newText(n, roots, report)
		v.uses.Add(&out.text.uses)
		if out.text.IsLiteral() {
			out.literal, out.text = out.text.literal, nil
		}
	case yamlsrc.Seq:
		for _, item := range n.Items {
			out.items = append(out.items, v.compile(item, roots, report))
		}
	case yamlsrc.Map:
		for _, e := range n.Entries {
			if strings.Contains(e.Key, opening) {
				report.Addf(e.KeyPos, n.Path, `make the mapping itself an expression: "${{ {(.body.key): .body.value} }}"`, "a key cannot be an expression")
				continue
			}
			label, err := encode.AppendJSON(nil, e.Key)
			if err != nil {
				report.Addf(e.KeyPos, n.Path, "use another key", "the key cannot be written as JSON: %v", err)
				continue
			}
			out.keys = append(out.keys, e.Key)
			out.labels = append(out.labels, append(label, ':'))
			out.items = append(out.items, v.compile(e.Value, roots, report))
		}
	case yamlsrc.Null:
	}
	return out
}

// Eval gives the value as JSON-like data. A string that is exactly one expression keeps
// the type of what the expression gives; otherwise expressions are interpolated. What
// comes from an expression may be part of the scope: it is to be read, not changed.
func (v *Value) Eval(scope Scope) (any, error) { return v.root.eval(scope) }

func (n *valueNode) eval(scope Scope) (any, error) {
	switch n.kind {
	case yamlsrc.Scalar:
		if n.text == nil {
			return n.literal, nil
		}
		return n.text.value(scope)
	case yamlsrc.Seq:
		out := make([]any, 0, len(n.items))
		for i := range n.items {
			item, err := n.items[i].eval(scope)
			if errors.Is(err, ErrEmpty) {
				continue
			}
			if err != nil {
				return nil, err
			}
			out = append(out, item)
		}
		return out, nil
	case yamlsrc.Map:
		out := make(map[string]any, len(n.items))
		for i := range n.items {
			item, err := n.items[i].eval(scope)
			if errors.Is(err, ErrEmpty) {
				continue
			}
			if err != nil {
				return nil, err
			}
			out[n.keys[i]] = item
		}
		return out, nil
	case yamlsrc.Null:
	}
	return nil, nil
}

// JSON is Eval, encoded, with the keys of the file's mappings in the file's order.
// Numbers that no expression touched keep their digits; HTML characters are not escaped.
func (v *Value) JSON(scope Scope) (json.RawMessage, error) {
	out, err := v.root.append(make([]byte, 0, 256), scope)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// append writes without building the value first: mapping is the gateway's hot path.
func (n *valueNode) append(dst []byte, scope Scope) ([]byte, error) {
	open, shut := byte('['), byte(']')
	switch n.kind {
	case yamlsrc.Map:
		open, shut = '{', '}'
	case yamlsrc.Seq:
	case yamlsrc.Scalar, yamlsrc.Null:
		v, err := n.eval(scope)
		if err != nil {
			return nil, err
		}
		out, err := encode.AppendJSON(dst, v)
		if err != nil {
			return nil, n.unwritable(err)
		}
		return out, nil
	}
	dst = append(dst, open)
	start := len(dst)
	for i := range n.items {
		before := len(dst)
		if before > start {
			dst = append(dst, ',')
		}
		if n.kind == yamlsrc.Map {
			dst = append(dst, n.labels[i]...)
		}
		out, err := n.items[i].append(dst, scope)
		switch {
		case errors.Is(err, ErrEmpty):
			dst = dst[:before]
		case err != nil:
			return nil, err
		default:
			dst = out
		}
	}
	return append(dst, shut), nil
}

func (n *valueNode) unwritable(err error) error {
	if n.text == nil || n.text.whole == nil {
		return fmt.Errorf("encode a literal: %w", err)
	}
	return n.text.whole.fault("gives something that JSON cannot hold: " + jq.Shorten(err.Error()))
}

// Reads reports whether an expression takes anything of a root.
func (v *Value) Reads(root string) bool { return v.uses.Reads(root) }

// Fields lists, sorted, the first-level fields used below root: {"job"} for
// .saved.job; all reports that the whole root is used in a way that cannot be listed.
func (v *Value) Fields(root string) (fields []string, all bool) { return v.uses.Of(root) }
