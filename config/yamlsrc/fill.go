package yamlsrc

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// parameter is the place of a value in a template: $(name). It is neither ${NAME}, which
// is a variable, nor jq.
var parameter = regexp.MustCompile(`\$\(([a-z][a-z0-9_]*)\)`)

// Lookup gives the value of a parameter; nil when it has none. known is false for a name
// that is no parameter at all.
type Lookup func(name string) (value *Node, known bool)

// Fill gives a copy of n, with its paths below path, in which each $(name) stands for its
// value; nil when nothing is left. A scalar that is exactly $(name) becomes the value,
// whatever it is, and keeps the position at which that was written. Within a longer text
// the value's own text is put in, and within ${{ … }} the value as a JSON literal, which no
// value can break out of. A scalar that asks for a parameter without a value is left out,
// with its key, and a mapping or list of which nothing is left goes with it.
func (n *Node) Fill(path string, value Lookup, report *Report) *Node {
	f := filler{value, report}
	return f.node(n, path)
}

type filler struct {
	value  Lookup
	report *Report
}

func (f filler) node(n *Node, path string) *Node {
	out := *n
	out.Path, out.Entries, out.Items = path, nil, nil
	switch n.Kind {
	case Scalar:
		return f.scalar(&out)
	case Null:
		return &out
	case Map:
		for _, e := range n.Entries {
			if parameter.MatchString(e.Key) {
				f.report.Addf(e.KeyPos, path, "write the key itself", "a key takes no parameters")
			}
			if e.Value = f.node(e.Value, join(path, e.Key)); e.Value != nil {
				out.Entries = append(out.Entries, e)
			}
		}
	case Seq:
		for _, item := range n.Items {
			if filled := f.node(item, itemPath(path, len(out.Items))); filled != nil {
				out.Items = append(out.Items, filled)
			}
		}
	}
	if len(out.Entries)+len(out.Items) == 0 && len(n.Entries)+len(n.Items) > 0 {
		return nil
	}
	return &out
}

// scalar fills in a copy of a scalar; nil when it asks for what has no value.
func (f filler) scalar(n *Node) *Node {
	whole := parameter.FindStringSubmatch(n.Text)
	if whole != nil && whole[0] == n.Text {
		if value := f.find(n, whole[1]); value != nil {
			return value.at(n.Path)
		}
		return nil
	}
	var out strings.Builder
	for s := n.Text; s != ""; {
		text, expression := s, ""
		switch i := strings.Index(s, "${{"); {
		case i > 0 && s[i-1] == '$': // a literal ${{
			text = s[:i+len("${{")]
		case i >= 0:
			text, expression = s[:i], s[i:i+expressionLength(s[i:])]
		}
		s = s[len(text)+len(expression):]
		if !f.text(n, text, &out) || !f.expression(n, expression, &out) {
			return nil
		}
	}
	n.Text = out.String()
	return n
}

// find gives the value of a parameter; nil when there is none.
func (f filler) find(n *Node, name string) *Node {
	value, known := f.value(name)
	if !known {
		f.report.Addf(n.Pos, n.Path, "declare it under with", "there is no parameter $(%s)", name)
	}
	return value
}

// text writes literal text with its values; false when one of them is not there.
func (f filler) text(n *Node, s string, out *strings.Builder) bool {
	return f.each(s, out, func(name, _ string) (string, bool) {
		value := f.find(n, name)
		switch {
		case value == nil:
			return "", false
		case value.Kind != Scalar:
			value.Wrong("a text", f.report)
		case strings.Contains(value.Text, "$"):
			// Together with what stands beside it, it could become an expression, or escape one.
			f.report.Addf(value.Pos, value.Path, "write the text itself, without $", "%s becomes a part of a longer text and takes no expressions", last(value.Path))
		}
		return value.Text, true
	})
}

// expression writes an expression with its values; false when one of them is not there.
func (f filler) expression(n *Node, s string, out *strings.Builder) bool {
	return f.each(s, out, func(name, before string) (string, bool) {
		if quoted(before) {
			f.report.Addf(n.Pos, n.Path, `write it outside of the quotes: "…" + $(name)`, "$(%s) stands within a string of an expression", name)
		}
		value := f.find(n, name)
		if value == nil {
			return "", false
		}
		if value.mentions("${{") {
			f.report.Addf(value.Pos, value.Path, "write the value itself", "%s becomes a part of an expression and takes none", last(value.Path))
		}
		text, err := json.Marshal(value)
		if err != nil {
			f.report.Addf(value.Pos, value.Path, "write numbers and strings plainly", "%s cannot be put into an expression: %s", last(value.Path), err)
		}
		return string(text), true
	})
}

// each writes s with what put gives for each parameter, which is told what stands before it.
func (filler) each(s string, out *strings.Builder, put func(name, before string) (string, bool)) bool {
	done := 0
	for _, at := range parameter.FindAllStringSubmatchIndex(s, -1) {
		text, ok := put(s[at[2]:at[3]], s[:at[0]])
		if !ok {
			return false
		}
		out.WriteString(s[done:at[0]] + text)
		done = at[1]
	}
	out.WriteString(s[done:])
	return true
}

// quoted reports whether the beginning of an expression ends within a string, where a
// literal would be text.
func quoted(beginning string) bool {
	_, open := scan(beginning)
	return len(open) > 0 && open[len(open)-1] == quote
}

// mentions reports whether a scalar at or below n has the text.
func (n *Node) mentions(text string) bool {
	return n.Kind == Scalar && strings.Contains(n.Text, text) ||
		slices.ContainsFunc(n.Entries, func(e Entry) bool { return e.Value.mentions(text) }) ||
		slices.ContainsFunc(n.Items, func(item *Node) bool { return item.mentions(text) })
}

// at gives a copy of n with its paths below path.
func (n *Node) at(path string) *Node {
	out := *n
	out.Path, out.Entries, out.Items = path, nil, nil
	for _, e := range n.Entries {
		e.Value = e.Value.at(join(path, e.Key))
		out.Entries = append(out.Entries, e)
	}
	for i, item := range n.Items {
		out.Items = append(out.Items, item.at(itemPath(path, i)))
	}
	return &out
}
