// Package yamlsrc owns YAML with positions: it parses a file into a small tree,
// decodes the tree strictly into Go types and gathers every problem it meets, each
// at file:line:column with a hint. It knows nothing of what the files mean.
package yamlsrc

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
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

	end int // a scalar's last line, when it has several
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

// MarshalJSON writes Value.
func (n *Node) MarshalJSON() ([]byte, error) { return json.Marshal(n.Value()) }

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

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func itemPath(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
