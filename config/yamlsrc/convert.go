package yamlsrc

import (
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// maxNodes bounds what aliases may expand to, so that a few lines of nested aliases
// cannot fill the memory.
const maxNodes = 200_000

type converter struct {
	file    string
	anchors map[string]*Node
	count   int
	report  *Report
}

func (c *converter) pos(tk *token.Token) Pos {
	if tk == nil || tk.Position == nil {
		return Pos{File: c.file, Line: 1, Column: 1}
	}
	return c.report.clamp(Pos{File: c.file, Line: tk.Position.Line, Column: tk.Position.Column})
}

// start is where a person would say that n begins: a block mapping at its first key,
// which the parser places at the first colon.
func (c *converter) start(n ast.Node) Pos {
	switch v := n.(type) {
	case *ast.MappingNode:
		if !v.IsFlowStyle && len(v.Values) > 0 {
			return c.start(v.Values[0])
		}
	case *ast.MappingValueNode:
		return c.pos(v.Key.GetToken())
	}
	return c.pos(n.GetToken())
}

func (c *converter) convert(n ast.Node, path string) *Node {
	c.count++
	if n == nil {
		return &Node{Kind: Null, Path: path, Pos: Pos{File: c.file, Line: 1, Column: 1}}
	}
	at := c.start(n)
	if c.count > maxNodes {
		if c.count == maxNodes+1 {
			c.report.Addf(at, path, "split the file", "more than %d values in one file", maxNodes)
		}
		return &Node{Kind: Null, Path: path, Pos: at}
	}
	switch v := n.(type) {
	case *ast.MappingNode:
		return c.mapping(v.Values, at, path)
	case *ast.MappingValueNode:
		return c.mapping([]*ast.MappingValueNode{v}, at, path)
	case *ast.SequenceNode:
		out := &Node{Kind: Seq, Pos: at, Path: path}
		for i, item := range v.Values {
			out.Items = append(out.Items, c.convert(item, itemPath(path, i)))
		}
		return out
	case *ast.AnchorNode:
		out := c.convert(v.Value, path)
		c.anchors[v.Name.GetToken().Value] = out
		return out
	case *ast.AliasNode:
		return c.alias(v, at, path)
	case *ast.TagNode:
		c.report.Addf(at, path, "leave the tag out", "YAML tags such as %s are not used here", v.Start.Value)
		return c.convert(v.Value, path)
	case *ast.LiteralNode:
		return &Node{Kind: Scalar, Pos: at, Path: path, Text: v.Value.Value, Quoted: true, end: at.Line + 1 + breaks(v.Value.Token)}
	case *ast.NullNode:
		return &Node{Kind: Null, Pos: at, Path: path}
	case *ast.StringNode:
		return &Node{Kind: Scalar, Pos: at, Path: path, Text: v.Value, Quoted: isQuoted(v.Token), end: at.Line + breaks(v.Token)}
	default:
		return &Node{Kind: Scalar, Pos: at, Path: path, Text: strings.TrimSpace(n.GetToken().Value)}
	}
}

func (c *converter) alias(v *ast.AliasNode, at Pos, path string) *Node {
	name := v.Value.GetToken().Value
	target, ok := c.anchors[name]
	if !ok {
		c.report.Addf(at, path, "write the anchor before its use: &"+name, "unknown alias *%s", name)
		return &Node{Kind: Null, Pos: at, Path: path}
	}
	return c.copy(target, path)
}

// copy re-roots an aliased subtree under the path of its use; positions stay those of
// the anchor, since that is where a mistake has to be mended.
func (c *converter) copy(n *Node, path string) *Node {
	if c.count++; c.count > maxNodes {
		if c.count == maxNodes+1 {
			c.report.Addf(n.Pos, path, "use fewer nested aliases", "aliases expand to more than %d values", maxNodes)
		}
		return &Node{Kind: Null, Path: path, Pos: n.Pos}
	}
	out := *n
	out.Path = path
	out.Entries, out.Items = nil, nil
	for _, e := range n.Entries {
		e.Value = c.copy(e.Value, join(path, e.Key))
		out.Entries = append(out.Entries, e)
	}
	for i, item := range n.Items {
		out.Items = append(out.Items, c.copy(item, itemPath(path, i)))
	}
	return &out
}

func (c *converter) mapping(values []*ast.MappingValueNode, at Pos, path string) *Node {
	out := &Node{Kind: Map, Pos: at, Path: path}
	seen := map[string]Pos{}
	var merged []Entry
	for _, v := range values {
		keyPos := c.pos(v.Key.GetToken())
		if v.Key.IsMergeKey() {
			merged = append(merged, c.merge(v.Value, path)...)
			continue
		}
		key, ok := c.key(v, keyPos, path)
		if !ok {
			continue
		}
		if first, dup := seen[key]; dup {
			c.report.Addf(keyPos, join(path, key), "keep one of them", "%q is here twice, first in line %d", key, first.Line)
			continue
		}
		seen[key] = keyPos
		value := c.convert(v.Value, join(path, key))
		if v.Value == nil || v.Value.GetToken().Type == token.ImplicitNullType {
			value.Pos = keyPos // nothing is written; the parser places it behind the line
		}
		out.Entries = append(out.Entries, Entry{Key: key, KeyPos: keyPos, Value: value})
	}
	for _, e := range merged {
		if _, own := seen[e.Key]; !own {
			seen[e.Key] = e.KeyPos
			out.Entries = append(out.Entries, e)
		}
	}
	return out
}

// key gives a key's text. Keys that are no plain words are problems: an expression
// that YAML's flow syntax has torn apart ends up as one.
func (c *converter) key(v *ast.MappingValueNode, at Pos, path string) (string, bool) {
	switch k := v.Key.(type) {
	case *ast.StringNode:
		if !isQuoted(k.Token) && strings.HasPrefix(k.Value, "${") {
			c.report.Addf(at, path, quoteIt, "an expression inside {…} needs quotes")
			return "", false
		}
		return k.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		return v.Key.GetToken().Value, true
	}
	c.report.Addf(at, path, "use a plain word as the key", "a key must be a plain word")
	return "", false
}

// merge gives the entries of a merge key's value: a mapping or a list of mappings, of
// which the first to have a key wins.
func (c *converter) merge(n ast.Node, path string) []Entry {
	from := c.convert(n, path)
	switch from.Kind {
	case Map:
		return from.Entries
	case Seq:
		var out []Entry
		for _, item := range from.Items {
			if item.Kind != Map {
				c.report.Addf(item.Pos, path, "merge mappings only: <<: *name", "<< merges mappings, not %s", item.describe())
				continue
			}
			out = append(out, c.copy(item, path).Entries...)
		}
		return out
	case Null, Scalar:
	}
	c.report.Addf(from.Pos, path, "merge mappings only: <<: *name", "<< merges mappings, not %s", from.describe())
	return nil
}

func isQuoted(tk *token.Token) bool {
	return tk.Type == token.SingleQuoteType || tk.Type == token.DoubleQuoteType
}

// breaks counts the line ends within a token.
func breaks(tk *token.Token) int {
	return strings.Count(strings.TrimSpace(tk.Origin), "\n")
}
