package transform

import (
	"strings"

	"headgate/config/yamlsrc"
	"headgate/dispatch/transform/jq"
)

// Each is the one place of a value at which a list stands that is mapped item by item, or
// taken as it is.
type Each struct {
	expr *expr
	each *jq.Each
}

// Eval gives what stands in the list for one item of the root: any number of items.
func (e *Each) Eval(item any) ([]any, error) {
	out, err := e.each.Eval(item)
	if err != nil {
		return nil, e.expr.fault(err.Error())
	}
	return out, nil
}

// Each finds the only place of the value that takes anything of a root, and takes of it the
// list, item by item. hollow is the value with the root itself in that place. false: the root
// is needed as a whole, or not at all.
func (v *Value) Each(root string) (hollow *Value, each *Each, ok bool) {
	places := 0
	copied := v.root.hollow(root, &places, &each)
	if places != 1 || each == nil {
		return nil, nil, false
	}
	return &Value{root: copied, uses: v.uses}, each, true
}

// IsList reports whether the value is that list and nothing else.
func (e *Each) IsList(of *Value) bool { return of.root.text != nil && of.root.text.whole == e.expr }

// hollow gives the node with the root in the places that take it, which are counted. each is
// set when one of them does item by item.
func (n *valueNode) hollow(root string, places *int, each **Each) valueNode {
	out := *n
	if n.text != nil && n.text.uses.Reads(root) {
		*places++
		if n.text.whole == nil {
			return out
		}
		found, ok := jq.EachOf(n.text.whole.source, root)
		if !ok {
			return out
		}
		*each = &Each{expr: n.text.whole, each: found}
		itself := &yamlsrc.Node{Kind: yamlsrc.Scalar, Path: n.text.whole.where, Text: strings.Join([]string{opening, "." + root, closing}, " ")}
		out.text = newText(itself, []string{root}, new(yamlsrc.Report))
		return out
	}
	out.items = make([]valueNode, len(n.items))
	for i := range n.items {
		out.items[i] = n.items[i].hollow(root, places, each)
	}
	return out
}
