package gateway

import (
	"bytes"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"headgate/policies"
)

// call is one request with what is noted about it on its way. Everything in it is a
// copy: Fiber reuses its buffers for the next request once the handler returned.
type call struct {
	req      *policies.Request
	rawQuery string
	// header collects what policies want on the answer, whatever it will be.
	header headers
	note   note
}

// note is what the access log says besides method, status and duration.
type note struct {
	route, tenant, trackingID, reason string
	pattern                           string // the path as the file has it, for the trace
}

// readCall copies a request out of Fiber, and is the only function that reads one
// there. Its answer is nil unless the request is refused; the call is never nil.
func readCall(fc *fiber.Ctx, trusted []netip.Prefix, now time.Time) (*call, *answer) {
	raw := fc.Request()
	c := &call{req: &policies.Request{Method: string(raw.Header.Method()), Now: now}}
	header, ok := copyHeader(string(raw.Header.RawHeaders()))
	if !ok {
		return c, c.malformed("folded header", "The headers are not well-formed.")
	}
	c.req.Header = header
	if len(header["Content-Length"]) > 0 && len(header["Transfer-Encoding"]) > 0 {
		// Two lengths are how a request is smuggled past a proxy that believes the other.
		return c, c.malformed("two lengths", "The request has both Content-Length and Transfer-Encoding.")
	}
	if raw.Header.IsHTTP11() && len(header["Host"]) != 1 {
		return c, c.malformed("no host", "The request has no Host header.")
	}
	if a := c.readTarget(string(raw.Header.RequestURI())); a != nil {
		return c, a
	}
	c.req.Body = bytes.Clone(raw.Body())
	c.req.Client = clientAddr(peerAddr(fc.Context().RemoteAddr()), header["X-Forwarded-For"], trusted)
	return c, nil
}

// copyHeader reads the header block itself instead of asking fasthttp, which adds a
// chunked body's trailers to the headers: a client could append to X-Forwarded-For
// behind a trusted proxy's back. fasthttp has validated names and values.
func copyHeader(block string) (policies.Header, bool) {
	lines := strings.Count(block, "\n")
	out := make(policies.Header, lines)
	values := make([]string, 0, lines) // all of them: most names are there once
	for line := range strings.SplitSeq(block, "\n") {
		line = strings.TrimSuffix(line, "\r")
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || line[0] == ' ' || line[0] == '\t' {
			return nil, false
		}
		name, value = policies.CanonicalHeader(name), strings.Trim(value, " \t")
		if before := out[name]; before != nil {
			out[name] = append(before, value)
			continue
		}
		values = append(values, value)
		out[name] = values[len(values)-1 : len(values) : len(values)] // what is appended to it goes elsewhere
	}
	return out, true
}

// readTarget splits the request target (RFC 9112, 3.2) into path and query. It works on
// the bytes as they came: fasthttp would take //evil/path for a host.
func (c *call) readTarget(target string) *answer {
	if rest, ok := cutScheme(target); ok {
		slash := strings.IndexAny(rest, "/?")
		if slash < 0 || rest[slash] == '?' {
			return c.malformed("bad target", "The request target has no path.")
		}
		target = rest[slash:]
	}
	path, query, _ := strings.Cut(target, "?")
	if !strings.HasPrefix(path, "/") || strings.Contains(target, "#") {
		return c.malformed("bad target", "The request target is not a path.")
	}
	if !cleanPath(path) {
		return c.malformed("bad path", "The path has bad percent-encoding, control characters or dot segments.")
	}
	c.req.Path, c.rawQuery = path, query
	if query == "" {
		return nil
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return c.malformed("bad query", "The query is not well-formed.")
	}
	c.req.Query = values
	return nil
}

func cutScheme(target string) (string, bool) {
	for _, scheme := range []string{"http://", "https://"} {
		if len(target) > len(scheme) && strings.EqualFold(target[:len(scheme)], scheme) {
			return target[len(scheme):], true
		}
	}
	return target, false
}

// cleanPath refuses what only attacks contain: parameters end up in the URLs of
// backends, where an encoded dot segment would climb and a control character split.
func cleanPath(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		plain, err := url.PathUnescape(segment)
		if err != nil || plain == "." || plain == ".." || !utf8.ValidString(plain) {
			return false
		}
		if strings.ContainsFunc(plain, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return false
		}
	}
	return true
}

// malformed refuses the request and closes its connection: where the next one begins is
// not certain.
func (c *call) malformed(reason, detail string) *answer {
	c.note.reason = reason
	a := problem("bad-request", http.StatusBadRequest, detail)
	a.close = true
	return a
}

func peerAddr(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
