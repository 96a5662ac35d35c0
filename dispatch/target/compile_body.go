package target

import (
	"mime"
	"net/http"
	"slices"
	"strings"

	"headgate/config/yamlsrc"
	"headgate/dispatch/encode"
	"headgate/dispatch/transform"
)

// Keys that say what a call, or a part of one, sends.
var (
	bodyKeys = []string{"json", "ndjson", "csv", "xml", "form", "multipart", "raw"}
	partKeys = []string{"json", "ndjson", "csv", "raw"}
)

// body compiles what a call sends; nil when that is nothing.
func (c *compiler) body(n *yamlsrc.Node, method string, sends bool) *body {
	kind, at, ok := c.bodyKey(n, bodyKeys)
	if !ok {
		return nil
	}
	contentType := n.Get("content_type")
	if at == nil {
		if !sends || method == http.MethodGet || method == http.MethodDelete || method == "" {
			if contentType != nil {
				c.problem(contentType, "add a body, such as json, or leave content_type out", "content_type without a body")
			}
			if gzip := n.Get("gzip"); gzip != nil && gzip.Value() == true {
				c.problem(gzip, "add a body, such as json, or leave gzip out", "gzip without a body")
			}
			return nil
		}
		kind = "json"
	} else if method == http.MethodGet {
		c.problem(at, "put values into the query: /path?name=${{ … }}", "a GET has no body")
	}
	b := &body{}
	if gzip := n.Get("gzip"); gzip != nil {
		b.gzip = gzip.Value() == true
	}
	if kind == "multipart" {
		if contentType != nil {
			c.problem(contentType, "leave it out", "the Content-Type of multipart is set, with the boundary")
		}
		b.parts = c.parts(at)
		return b
	}
	b.content = c.content(kind, at)
	b.contentType = c.contentType(contentType, b.content)
	return b
}

// bodyKey finds which of keys n has; at is nil when there is none, ok false when that
// was reported.
func (c *compiler) bodyKey(n *yamlsrc.Node, keys []string) (kind string, at *yamlsrc.Node, ok bool) {
	for _, key := range keys {
		value := n.Get(key)
		if value == nil {
			continue
		}
		if kind != "" {
			c.problem(value, "keep one of them", "a second body beside %s", kind)
			return "", nil, false
		}
		if value.Kind == yamlsrc.Null && key != "raw" { // raw is reported as no string
			c.problem(value, "write a value, or leave the key out", "%s is empty", key)
		}
		kind, at = key, value
	}
	return kind, at, true
}

// content compiles a body of one kind; nil when what is there was reported. No node
// stands for the payload.
func (c *compiler) content(kind string, n *yamlsrc.Node) *content {
	var encoder encode.Encoder
	value, known := n, true
	switch {
	case kind == "csv" && n.Kind == yamlsrc.Map:
		encoder, value = c.csv(n), n.Get("rows")
	case kind == "xml":
		encoder, value = c.xml(n), n.Get("value")
	default:
		encoder, known = encode.ByName(kind)
	}
	if !known {
		c.problem(n, yamlsrc.UnknownHint(kind, encode.Names()), "there is no encoder called %q", kind)
		return nil
	}
	out := &content{encoder: encoder}
	switch {
	case n == nil || (kind == "json" && c.isPayload(n)):
		out.payload = true
	case value == nil: // reported as missing
	case value.Kind == yamlsrc.Null && kind == "csv" && value != n:
		c.problem(value, "write an expression that gives a list", "rows is empty")
	case kind == "raw":
		if n.Kind != yamlsrc.Scalar {
			return nil // reported
		}
		out.text = c.text(n, c.roots.request)
	case kind == "ndjson" || kind == "csv":
		out.value = c.list(value)
	default:
		out.value = c.value(value, c.roots.request)
	}
	return out
}

// list compiles what gives a list: an expression, or a list in the file.
func (c *compiler) list(n *yamlsrc.Node) *transform.Value {
	if n.Kind == yamlsrc.Map {
		c.problem(n, "write an expression that gives a list, such as ${{ ."+c.roots.request[0]+" }}, or a list of the file's own", "%s is a list, not a mapping", lastKey(n.Path))
		return nil
	}
	if n.Kind == yamlsrc.Seq {
		return c.value(n, c.roots.request)
	}
	return c.expression(n, c.roots.request)
}

// contentType checks one that is written; otherwise it is that of the encoder.
func (c *compiler) contentType(n *yamlsrc.Node, of *content) string {
	if n == nil {
		if of == nil {
			return ""
		}
		return of.encoder.ContentType()
	}
	if _, _, err := mime.ParseMediaType(n.Text); err != nil {
		c.problem(n, "write one such as text/csv; charset=utf-8", "content_type is no media type: %s", err)
	}
	return n.Text
}

// isPayload recognises the body that passes the payload, or the records of a batch, on as
// it is: it is sent byte for byte, without being decoded.
func (c *compiler) isPayload(n *yamlsrc.Node) bool {
	inner, ok := strings.CutPrefix(n.Text, "${{")
	if !ok || n.Kind != yamlsrc.Scalar {
		return false
	}
	inner, ok = strings.CutSuffix(inner, "}}")
	return ok && strings.TrimSpace(inner) == "."+c.roots.request[0]
}

// ownHeaders refuses headers that would contradict how the body is written.
func (c *compiler) ownHeaders(n *yamlsrc.Node, s *step) {
	if s.body == nil {
		return
	}
	for name, why := range map[string]string{
		"Content-Type":     "the Content-Type of multipart is set, with the boundary",
		"Content-Encoding": "gzip sets Content-Encoding",
	} {
		if name == "Content-Type" && s.body.parts == nil || name == "Content-Encoding" && !s.body.gzip {
			continue
		}
		for _, e := range slices.Concat(entries(n.Get("headers")), entries(c.target.Get("headers"))) {
			if http.CanonicalHeaderKey(e.Key) == name {
				c.report.Addf(e.KeyPos, e.Value.Path, "leave the header out", "%s", why)
				break
			}
		}
	}
}
