package target

import (
	"slices"
	"strings"

	"headgate/config/yamlsrc"
	"headgate/dispatch/encode"
)

// DecodeYAML implements yamlsrc.Decoder. What is no mapping gives the rows, and is
// compiled from its node.
func (s *CSV) DecodeYAML(n *yamlsrc.Node, report *yamlsrc.Report) {
	*s = CSV{LineEnding: "lf", Delimiter: ","}
	if n.Kind == yamlsrc.Map {
		type plain CSV
		n.Decode((*plain)(s), report)
	}
}

// csv checks the mapping form. It was decoded with the target, and is once more, since
// it may stand in a part.
func (c *compiler) csv(n *yamlsrc.Node) encode.CSV {
	var spec CSV
	spec.DecodeYAML(n, new(yamlsrc.Report))
	out := encode.CSV{
		Missing: spec.Missing, Null: spec.Null, Delimiter: spec.Delimiter, CRLF: spec.LineEnding == "crlf", FormulaGuard: spec.FormulaGuard,
	}
	if spec.LineEnding != "lf" && spec.LineEnding != "crlf" {
		c.problem(find(n, "line_ending"), "write lf or crlf", "there is no line ending called %q", spec.LineEnding)
	}
	if !encode.ValidDelimiter(spec.Delimiter) {
		c.problem(find(n, "delimiter"), `write one character, such as ";" or "\t"`, "%q cannot stand between cells", spec.Delimiter)
	}
	for _, key := range []string{"missing", "null"} {
		if at := n.Get(key); at != nil && strings.Contains(at.Text, "${{") {
			c.problem(at, "write the text itself", "%s takes no expressions", key)
		}
	}
	if at := n.Get("columns"); at != nil {
		out.Columns = c.columns(at)
	}
	return out
}

func (c *compiler) columns(n *yamlsrc.Node) []string {
	const hint = "write union, or a list of names such as [email, name]"
	if n.Kind == yamlsrc.Scalar && n.Text == "union" {
		return nil
	}
	if n.Kind != yamlsrc.Seq || len(n.Items) == 0 {
		c.problem(n, hint, "columns should be union or a list of names")
		return nil
	}
	var out []string
	for _, item := range n.Items {
		switch {
		case item.Kind != yamlsrc.Scalar || item.Text == "":
			c.problem(item, hint, "a column is the name of a key")
		case strings.Contains(item.Text, "${{"):
			c.problem(item, "write the name itself, or union", "columns take no expressions")
		case slices.Contains(out, item.Text):
			c.problem(item, "keep one of them", "the column %q is there already", item.Text)
		}
		out = append(out, item.Text)
	}
	return out
}

func (c *compiler) xml(n *yamlsrc.Node) encode.XML {
	out := encode.XML{}
	for key, into := range map[string]*string{"root": &out.Root, "item": &out.Item} {
		at := n.Get(key)
		if at == nil || at.Kind != yamlsrc.Scalar {
			continue // reported, or left out
		}
		if !encode.ValidXMLName(at.Text) {
			c.problem(at, "use letters, digits, -, _ and ., a letter first", "%q is no name for an element", at.Text)
		}
		*into = at.Text
	}
	return out
}

// parts compiles a multipart body. It is never nil: that says that the body has parts.
func (c *compiler) parts(n *yamlsrc.Node) []part {
	out := []part{}
	if n.Kind == yamlsrc.Seq && len(n.Items) == 0 {
		c.problem(n, "add a part: {name: file, json: …}", "multipart is empty")
	}
	for _, item := range n.Items {
		if item.Kind != yamlsrc.Map {
			continue // reported
		}
		kind, at, ok := c.bodyKey(item, partKeys)
		if !ok {
			continue
		}
		if at == nil {
			c.problem(item, "add json, ndjson, csv or raw", "the part sends nothing")
			continue
		}
		p := part{content: c.content(kind, at)}
		contentType := item.Get("content_type")
		p.contentType = c.contentType(contentType, p.content)
		if name := item.Get("name"); name != nil && name.Kind == yamlsrc.Scalar {
			if name.Text == "" {
				c.problem(name, "write the name that the backend looks for", "name is empty")
			}
			p.name = c.text(name, c.roots.request)
		}
		if filename := item.Get("filename"); filename != nil && filename.Kind == yamlsrc.Scalar {
			p.filename = c.text(filename, c.roots.request)
		} else if kind == "raw" && contentType == nil {
			p.contentType = "" // a field of a form, which browsers send without one, too
		}
		out = append(out, p)
	}
	return out
}
