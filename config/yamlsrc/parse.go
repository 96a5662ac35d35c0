package yamlsrc

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"
)

// maxDepth bounds the nesting of a file: the parser below is recursive.
const maxDepth = 200

// Parse reads one YAML (or JSON) document. It always returns a node; what is wrong is
// added to report, every problem at a position in the file called name.
func Parse(name string, text []byte, report *Report) (root *Node) {
	report.addSource(name, text)
	start := Pos{File: name, Line: 1, Column: 1}
	root = &Node{Kind: Null, Pos: start}
	// The parser is a library that is fed whatever a person typed; should it panic on
	// some input, that is a problem of this file and not the end of the process.
	defer func() {
		if r := recover(); r != nil {
			report.Addf(start, "", "look for unbalanced brackets or stray characters", "the file cannot be parsed as YAML")
		}
	}()
	if !utf8.Valid(text) {
		report.Addf(start, "", "save the file as UTF-8", "the file is not valid UTF-8")
		return root
	}
	if line, deep := tooDeep(text); deep {
		report.Addf(Pos{File: name, Line: line, Column: 1}, "", "flatten it", "nested more than %d levels deep", maxDepth)
		return root
	}
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		pos, message := syntaxError(name, err)
		report.Addf(pos, "", quoteHint(text, pos.Line), "%s", message)
		return root
	}
	docs := file.Docs[:0:0]
	for _, d := range file.Docs {
		if d.Body != nil {
			docs = append(docs, d)
		}
	}
	if len(docs) == 0 {
		return root
	}
	c := &converter{file: name, anchors: map[string]*Node{}, report: report}
	if len(docs) > 1 {
		report.Addf(c.pos(docs[1].Body.GetToken()), "", "put it into a file of its own",
			"a second document after --- would be ignored")
	}
	root = c.convert(docs[0].Body, "")
	unquotedExpressions(root, report)
	return root
}

func syntaxError(name string, err error) (Pos, string) {
	pos := Pos{File: name, Line: 1, Column: 1}
	var syntax *yaml.SyntaxError
	if errors.As(err, &syntax) {
		if syntax.Token != nil && syntax.Token.Position != nil {
			pos.Line, pos.Column = max(syntax.Token.Position.Line, 1), max(syntax.Token.Position.Column, 1)
		}
		return pos, syntax.Message
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return pos, first
}

// quoteHint recognises the most common reason for a syntax error in these files: an
// unquoted expression inside YAML's flow syntax, or one that holds ": " or " #".
func quoteHint(text []byte, line int) string {
	lines := strings.Split(string(text), "\n")
	for i := max(line-2, 0); i < min(line+1, len(lines)); i++ {
		if strings.Contains(lines[i], "${{") {
			return `put the expression into quotes: "${{ … }}"`
		}
	}
	return "check indentation, quotes and brackets around this place"
}

// unquotedExpressions reports expressions that YAML's own flow syntax has torn apart:
// {a: ${{ .b }}} parses, but not as anybody meant it.
func unquotedExpressions(n *Node, report *Report) {
	if n.Kind == Scalar && !n.Quoted && strings.Contains(n.Text, "${{") && !strings.Contains(n.Text, "}}") {
		report.Addf(n.Pos, n.Path, `put the expression into quotes: "${{ … }}"`, "the expression is cut short by YAML's own syntax: %s", n.Text)
	}
	for _, e := range n.Entries {
		if e.Key == "$" || strings.HasPrefix(e.Key, "${") {
			report.Addf(e.KeyPos, n.Path, `put the expression into quotes: "${{ … }}"`, "an expression inside {…} needs quotes")
			continue
		}
		unquotedExpressions(e.Value, report)
	}
	for _, item := range n.Items {
		unquotedExpressions(item, report)
	}
}

func tooDeep(text []byte) (line int, deep bool) {
	depth := 0
	line = 1
	for _, b := range text {
		switch b {
		case '\n':
			line++
		case '[', '{':
			if depth++; depth > maxDepth {
				return line, true
			}
		case ']', '}':
			depth = max(depth-1, 0)
		}
	}
	for i, l := range strings.Split(string(text), "\n") {
		if len(l)-len(strings.TrimLeft(l, " -")) > maxDepth {
			return i + 1, true
		}
	}
	return 0, false
}

// Expand replaces ${NAME} in every string below n by what lookup gives for NAME.
// $${ stands for a literal ${; ${{ … }} is left for the expressions. It runs after
// parsing, so that a value can never change the shape of the file.
func (n *Node) Expand(lookup func(name string) (string, error), report *Report) {
	if n.Kind == Scalar && strings.Contains(n.Text, "${") {
		n.Text = expand(n, lookup, report)
	}
	for _, e := range n.Entries {
		e.Value.Expand(lookup, report)
	}
	for _, item := range n.Items {
		item.Expand(lookup, report)
	}
}

func expand(n *Node, lookup func(string) (string, error), report *Report) string {
	var out strings.Builder
	for s := n.Text; s != ""; {
		i := strings.Index(s, "${")
		if i < 0 {
			out.WriteString(s)
			break
		}
		literal := i > 0 && s[i-1] == '$'
		switch {
		case strings.HasPrefix(s[i:], "${{"): // an expression, or an escaped one: not ours
			out.WriteString(s[:i+3])
			s = s[i+3:]
			continue
		case literal:
			out.WriteString(s[:i-1] + "${")
			s = s[i+2:]
			continue
		}
		out.WriteString(s[:i])
		name, rest, closed := strings.Cut(s[i+2:], "}")
		if !closed || !isEnvName(name) {
			report.Addf(n.Pos, n.Path, "write ${NAME}, or $${ for a literal ${", "%q is not the name of an environment variable", "${"+name)
			out.WriteString(s[i : i+2])
			s = s[i+2:]
			continue
		}
		value, err := lookup(name)
		if err != nil {
			report.Addf(n.Pos, n.Path, fmt.Sprintf("set %s, or write the value here", name), "${%s}: %s", name, err)
		}
		out.WriteString(value)
		s = rest
	}
	return out.String()
}

func isEnvName(s string) bool {
	for i, r := range s {
		letter := r == '_' || (r >= 'A' && r <= 'Z') || (r >= 'a' && r <= 'z')
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}
