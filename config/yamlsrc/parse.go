package yamlsrc

import (
	"bytes"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxDepth bounds the nesting of a file: the parser below is recursive. maxBytes bounds
// its length: the parser's time grows with the square of some shapes.
const (
	maxDepth = 200
	maxBytes = 4 << 20
)

const quoteIt = `put the expression into quotes: "${{ … }}"`

// Parse reads one YAML (or JSON) document. It always returns a node; what is wrong is
// added to report, every problem at a position in the file called name. A byte order
// mark is dropped and line ends become \n, as YAML asks.
func Parse(name string, text []byte, report *Report) (root *Node) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if bytes.IndexByte(text, '\r') >= 0 {
		text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
	}
	report.addSource(name, text)
	start := Pos{File: name, Line: 1, Column: 1}
	root = &Node{Kind: Null, Pos: start}
	if len(text) > maxBytes {
		report.Addf(start, "", "split the file", "the file is larger than %d MB", maxBytes>>20)
		return root
	}
	if at := invalidUTF8(text); at >= 0 {
		line := 1 + bytes.Count(text[:at], []byte("\n"))
		report.Addf(Pos{File: name, Line: line, Column: 1}, "", "save the file as UTF-8", "the file is not valid UTF-8")
		return root
	}
	// The parser is a library that is fed whatever a person typed; should it panic on
	// some input, that is a problem of this file and not the end of the process.
	defer func() {
		if r := recover(); r != nil {
			report.Addf(start, "", "look for unbalanced brackets or stray characters", "the file cannot be parsed as YAML")
		}
	}()
	tokens := lexer.Tokenize(string(text))
	if line, deep := tooDeep(tokens); deep {
		report.Addf(report.clamp(Pos{File: name, Line: line}), "", "flatten it", "nested more than %d levels deep", maxDepth)
		return root
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		pos, message := syntaxError(name, err)
		pos = report.clamp(pos)
		message, hint := explain(report.line(pos), pos.Column, message)
		report.Addf(pos, "", hint, "%s", message)
		return root
	}
	c := &converter{file: name, anchors: map[string]*Node{}, report: report}
	if body := c.single(file); body != nil {
		root = c.convert(body, "")
		cutExpressions(root, report)
	}
	return root
}

func invalidUTF8(text []byte) int {
	if utf8.Valid(text) {
		return -1
	}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// single gives the body of the only document; further ones are problems, because the
// rest of the program would never see them.
func (c *converter) single(file *ast.File) (body ast.Node) {
	for _, doc := range file.Docs {
		switch doc.Body.(type) {
		case nil, *ast.CommentGroupNode:
			continue
		case *ast.DirectiveNode:
			c.report.Addf(c.pos(doc.Body.GetToken()), "", "leave the line out", "YAML directives are not used here")
			continue
		}
		if body != nil {
			c.report.Addf(c.start(doc.Body), "", "put it into a file of its own", "a second document after --- would be ignored")
			return body
		}
		body = doc.Body
	}
	return body
}

func syntaxError(name string, err error) (Pos, string) {
	pos := Pos{File: name, Line: 1, Column: 1}
	var syntax yaml.Error
	if errors.As(err, &syntax) {
		if tk := syntax.GetToken(); tk != nil && tk.Position != nil {
			pos.Line, pos.Column = tk.Position.Line, tk.Position.Column
		}
		return pos, syntax.GetMessage()
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return pos, first
}

// explain recognises the most common reason for a syntax error in these files: an
// unquoted expression inside YAML's flow syntax, or one that holds ": ".
func explain(line string, column int, message string) (better, hint string) {
	before := string([]rune(line)[:min(column, len([]rune(line)))])
	switch at := strings.LastIndex(before, "${"); {
	case strings.Contains(message, "must be specified") && strings.HasSuffix(before, "${") && !strings.Contains(line[at:], "${{"):
		return "${NAME} inside {…} or […] needs quotes", `put it into quotes: "${NAME}"`
	case strings.Contains(message, "must be specified") && strings.HasSuffix(before, "${"):
		return "an expression inside {…} or […] needs quotes", quoteIt
	case strings.Contains(line, "${{"):
		return message, quoteIt
	case strings.Contains(message, "that cannot start any token") && strings.HasPrefix(line, "\t"):
		return "a tab cannot indent in YAML", "indent with spaces"
	}
	return message, "check indentation, quotes and brackets around this place"
}

// cutExpressions reports expressions that a comment sign or a line's end has cut short.
func cutExpressions(n *Node, report *Report) {
	if n.Kind == Scalar && !n.Quoted && strings.Contains(n.Text, "${{") && !strings.Contains(n.Text, "}}") {
		report.addOnlyf(n.Pos, n.Path, quoteIt, "the expression is cut short by YAML's own syntax: %s", shorten(n.Text))
	}
	for _, e := range n.Entries {
		cutExpressions(e.Value, report)
	}
	for _, item := range n.Items {
		cutExpressions(item, report)
	}
}

// tooDeep finds the line where nesting passes maxDepth: brackets that are open, the
// indentation of a line, and signs that each wrap the value behind them.
func tooDeep(tokens token.Tokens) (line int, deep bool) {
	flow, run, indent := 0, 0, 0
	for _, tk := range tokens {
		if tk.Prev == nil || tk.Prev.Position.Line != tk.Position.Line {
			indent = tk.Position.Column
		}
		switch tk.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow = max(flow-1, 0)
		case token.SequenceEntryType, token.MappingKeyType, token.TagType, token.AnchorType:
			run++
		default:
			run = 0
		}
		depth := flow + run
		if flow == 0 {
			depth += indent
		}
		if depth > maxDepth {
			return tk.Position.Line, true
		}
	}
	return 0, false
}
