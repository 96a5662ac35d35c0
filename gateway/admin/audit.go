package admin

import (
	"net"
	"net/http"
	"strings"
)

// audited carries a change out and logs who asked for what and what came of it, whatever
// that was.
func (s *Server) audited(c *call, path string, serve func(c *call)) {
	kept := &statusOf{ResponseWriter: c.w, status: http.StatusOK}
	c.w = kept
	panics := true
	defer func() {
		if panics {
			kept.status = http.StatusInternalServerError
		}
		s.o.Log.InfoContext(c.r.Context(), "admin audit", append([]any{
			"method", strings.Clone(c.r.Method), "path", strings.Clone(path), "status", kept.status, "peer", peer(c.r),
		}, c.told...)...)
		if c.last != nil {
			c.last()
		}
	}()
	serve(c)
	panics = false
}

// peer is the address that a request came from, without its port.
func peer(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return strings.Clone(host)
	}
	return strings.Clone(r.RemoteAddr)
}

// statusOf remembers the status of an answer.
type statusOf struct {
	http.ResponseWriter
	status int
	wrote  bool
}

// WriteHeader implements http.ResponseWriter.
func (s *statusOf) WriteHeader(status int) {
	if !s.wrote {
		s.status, s.wrote = status, true
	}
	s.ResponseWriter.WriteHeader(status)
}

// Flush implements http.Flusher: a long answer is sent line by line.
func (s *statusOf) Flush() {
	if f, ok := s.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}
