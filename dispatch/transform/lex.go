package transform

import (
	"strings"

	"headgate/config/yamlsrc"
	"headgate/dispatch/transform/jq"
)

const (
	opening = "${{"
	closing = "}}"
	escaped = "$${{" // stands for a literal ${{

	// maxSource bounds one expression; what is longer is a program and belongs elsewhere.
	maxSource = 16 << 10
	// maxClosings bounds how many places are tried as the end of one expression, since
	// each costs a parse.
	maxClosings = 100
)

// segment is a stretch of a scalar: literal text, or an expression.
type segment struct {
	text  string    // literal text with escapes undone, or the expression's source
	query *jq.Query // nil for text
}

// split cuts a scalar into text and expressions. What is wrong goes into report; the
// segments are of no use then.
func split(n *yamlsrc.Node, report *yamlsrc.Report) []segment {
	var out []segment
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			out = append(out, segment{text: literal.String()})
			literal.Reset()
		}
	}
	for s := n.Text; s != ""; {
		i := strings.IndexByte(s, '$')
		if i < 0 {
			literal.WriteString(s)
			break
		}
		literal.WriteString(s[:i])
		s = s[i:]
		switch {
		case strings.HasPrefix(s, escaped):
			literal.WriteString(opening)
			s = s[len(escaped):]
		case strings.HasPrefix(s, opening):
			flush()
			seg, rest := expression(n, s[len(opening):], report)
			out = append(out, seg)
			s = rest
		default:
			literal.WriteByte('$')
			s = s[1:]
		}
	}
	flush()
	return out
}

// expression reads one expression from s, which begins behind the opening. Only jq's own
// grammar knows which }} ends it: objects end in }} too, and strings may hold it. So
// the shortest text that parses is taken.
func expression(n *yamlsrc.Node, s string, report *yamlsrc.Report) (seg segment, rest string) {
	var firstErr error
	guess := likelyEnd(s)
	end := -1
	for tries := 0; tries < maxClosings; tries++ {
		i := strings.Index(s[end+1:], closing)
		if i < 0 {
			break
		}
		if end += 1 + i; end > maxSource {
			break
		}
		source := strings.TrimSpace(s[:end])
		if source == "" {
			report.Addf(n.Pos, n.Path, "write what it should give, such as ${{ .body.email }}", "the expression is empty")
			return segment{}, s[end+len(closing):]
		}
		query, err := jq.Parse(source)
		if err == nil {
			return segment{text: source, query: query}, s[end+len(closing):]
		}
		if firstErr == nil || end == guess {
			firstErr = err
		}
	}
	switch {
	case firstErr == nil && end < 0:
		report.Addf(n.Pos, n.Path, "end it with }}, or write $${{ for a literal ${{", "the expression %s has no end", jq.Quote(s))
		return segment{}, ""
	case firstErr == nil:
		report.Addf(n.Pos, n.Path, "let the backend, or several shorter expressions, do it", "an expression is longer than %d characters", maxSource)
		return segment{}, ""
	}
	source := strings.TrimSpace(s[:guess])
	report.Addf(n.Pos, n.Path, jq.Manual, "the expression %s is not valid: %v", jq.Quote(source), firstErr)
	return segment{}, s[guess+len(closing):]
}

// likelyEnd guesses where an expression that does not parse was meant to end: the first
// }} outside strings and braces, for want of it the first at all. -1 when there is none.
func likelyEnd(s string) int {
	depth, inString := 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{':
			depth++
		case c == '}' && depth > 0:
			depth--
		case strings.HasPrefix(s[i:], closing):
			return i
		}
	}
	return strings.Index(s, closing)
}
