package transform

import (
	"strings"

	"headgate/dispatch/transform/jq"
)

// URL is Eval with each interpolated value percent-encoded (path segment and query
// safe), unless the whole text is one expression. A value that would change the path is
// an error: one that leaves a segment of the path empty, or makes it "." or "..".
func (t *Text) URL(scope Scope) (string, error) {
	if t.parts == nil {
		return t.Eval(scope)
	}
	var out strings.Builder
	path := segmentGuard{}
	for i := range t.parts {
		p := &t.parts[i]
		if p.expr == nil {
			out.WriteString(p.text)
			if err := path.literal(p.text); err != nil {
				return "", err
			}
			continue
		}
		text, err := p.expr.inserted(scope)
		if err != nil {
			return "", err
		}
		path.insert(p.expr, text)
		writeEscaped(&out, text)
	}
	if err := path.end(); err != nil {
		return "", err
	}
	return out.String(), nil
}

// segmentGuard follows the segments of a path while a URL is put together.
type segmentGuard struct {
	segment strings.Builder
	by      *expr // the expression that had a part in the segment
	done    bool  // the query has begun
}

func (g *segmentGuard) literal(text string) error {
	for !g.done {
		i := strings.IndexAny(text, "/?#")
		if i < 0 {
			g.segment.WriteString(text)
			return nil
		}
		g.segment.WriteString(text[:i])
		if err := g.end(); err != nil {
			return err
		}
		g.done = text[i] != '/'
		text = text[i+1:]
	}
	return nil
}

func (g *segmentGuard) insert(e *expr, text string) {
	if !g.done {
		g.by = e
		g.segment.WriteString(text)
	}
}

func (g *segmentGuard) end() error {
	if g.done {
		return nil
	}
	segment, by := g.segment.String(), g.by
	g.segment.Reset()
	g.by = nil
	if by == nil {
		return nil
	}
	// Proxies and servers read %2e as a dot, so it is one here too.
	switch strings.NewReplacer("%2e", ".", "%2E", ".").Replace(segment) {
	case "":
		return by.fault("is empty, which would change the path of the URL: a segment of a path needs a value")
	case ".", "..":
		return by.fault("makes " + jq.Quote(segment) + " of a segment of the URL's path, which would change the path")
	}
	return nil
}

// writeEscaped percent-encodes everything but the unreserved characters of RFC 3986,
// section 2.3: what is inserted can end neither a segment nor a query parameter.
func writeEscaped(out *strings.Builder, s string) {
	const hex = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		c := s[i]
		if isUnreserved(c) {
			out.WriteByte(c)
			continue
		}
		out.WriteByte('%')
		out.WriteByte(hex[c>>4])
		out.WriteByte(hex[c&15])
	}
}

func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}
