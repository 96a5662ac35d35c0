// Package yamlsrc owns YAML with positions: it parses a file into a small tree,
// decodes the tree strictly into Go types and gathers every problem it meets, each
// at file:line:column with a hint. It knows nothing of what the files mean.
package yamlsrc

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// Kind says what a Node holds.
type Kind int

// The kinds of Node.
const (
	Null Kind = iota
	Scalar
	Map
	Seq
)

// Pos is a place in a file. Line and Column count from 1; zero means unknown.
type Pos struct {
	File         string
	Line, Column int
}

// String gives file:line:column.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Node is one value of a parsed file, with its position and its path from the root
// ("targets.crm.retry"). Aliases and merge keys are already resolved.
type Node struct {
	Pos
	Kind    Kind
	Path    string
	Text    string // a scalar's text, unquoted and unescaped
	Quoted  bool   // the scalar was quoted or a block scalar: always a string
	Entries []Entry
	Items   []*Node
}

// Entry is one key of a mapping, in file order.
type Entry struct {
	Key    string
	KeyPos Pos
	Value  *Node
}

// Get returns the value under key, nil when n is no mapping or has no such key.
func (n *Node) Get(key string) *Node {
	if n == nil {
		return nil
	}
	for i := range n.Entries {
		if n.Entries[i].Key == key {
			return n.Entries[i].Value
		}
	}
	return nil
}

// IsString reports whether a scalar is a string by YAML's core schema: quoted, or
// plain and neither a number nor a boolean.
func (n *Node) IsString() bool {
	if n.Kind != Scalar {
		return false
	}
	_, isString := n.Value().(string)
	return isString
}

// Value gives the node as plain Go data: nil, bool, string, json.Number (the digits
// as written, so that 1.10 stays 1.10), []any or map[string]any.
func (n *Node) Value() any {
	switch n.Kind {
	case Scalar:
		return n.scalar()
	case Seq:
		out := make([]any, len(n.Items))
		for i, item := range n.Items {
			out[i] = item.Value()
		}
		return out
	case Map:
		out := make(map[string]any, len(n.Entries))
		for _, e := range n.Entries {
			out[e.Key] = e.Value.Value()
		}
		return out
	case Null:
	}
	return nil
}

func (n *Node) scalar() any {
	if n.Quoted {
		return n.Text
	}
	switch n.Text {
	case "true", "True", "TRUE":
		return true
	case "false", "False", "FALSE":
		return false
	}
	if isJSONNumber(n.Text) {
		return json.Number(n.Text)
	}
	if i, err := strconv.ParseInt(n.Text, 0, 64); err == nil && looksNumeric(n.Text) {
		return json.Number(strconv.FormatInt(i, 10))
	}
	return n.Text
}

func looksNumeric(s string) bool {
	return strings.HasPrefix(s, "0x") || strings.HasPrefix(s, "0o") || strings.HasPrefix(s, "+")
}

func isJSONNumber(s string) bool {
	if s == "" || (s[0] != '-' && (s[0] < '0' || s[0] > '9')) {
		return false
	}
	var number json.Number
	return json.Unmarshal([]byte(s), &number) == nil
}

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
	return Pos{File: c.file, Line: max(tk.Position.Line, 1), Column: max(tk.Position.Column, 1)}
}

func (c *converter) convert(n ast.Node, path string) *Node {
	c.count++
	if n == nil {
		return &Node{Kind: Null, Path: path, Pos: Pos{File: c.file, Line: 1, Column: 1}}
	}
	at := c.pos(n.GetToken())
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
		return c.mapping([]*ast.MappingValueNode{v}, c.pos(v.Key.GetToken()), path)
	case *ast.SequenceNode:
		out := &Node{Kind: Seq, Pos: at, Path: path}
		for i, item := range v.Values {
			out.Items = append(out.Items, c.convert(item, fmt.Sprintf("%s[%d]", path, i)))
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
		return &Node{Kind: Scalar, Pos: at, Path: path, Text: v.Value.Value, Quoted: true}
	case *ast.NullNode:
		return &Node{Kind: Null, Pos: at, Path: path}
	case *ast.StringNode:
		quoted := v.Token.Type == token.SingleQuoteType || v.Token.Type == token.DoubleQuoteType
		return &Node{Kind: Scalar, Pos: at, Path: path, Text: v.Value, Quoted: quoted}
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
		out.Items = append(out.Items, c.copy(item, fmt.Sprintf("%s[%d]", path, i)))
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
			from := c.convert(v.Value, path)
			merged = append(merged, from.Entries...)
			continue
		}
		key := v.Key.GetToken().Value
		if s, ok := v.Key.(*ast.StringNode); ok {
			key = s.Value
		}
		if first, dup := seen[key]; dup {
			c.report.Addf(keyPos, join(path, key), "keep one of them", "%q is here twice, first in line %d", key, first.Line)
			continue
		}
		seen[key] = keyPos
		value := c.convert(v.Value, join(path, key))
		if value.Kind == Null && (value.Line == 1 && value.Column == 1) {
			value.Pos = keyPos
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

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
