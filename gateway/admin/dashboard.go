package admin

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/http"
	"path"
	"regexp"
	"strings"
)

// inlineScript finds the scripts that Asynqmon's page carries in itself.
var inlineScript = regexp.MustCompile(`(?is)<script>(.*?)</script>`)

// dashboard serves Asynqmon with what it lacks: a policy that lets its page work and
// nothing else (it would load fonts from outside), and media types that a browser which
// may not guess accepts.
func (s *Server) dashboard(w http.ResponseWriter, r *http.Request) {
	if s.o.Asynqmon == nil {
		notFound(w)
		return
	}
	kept := &recorder{header: w.Header().Clone(), status: http.StatusOK}
	s.o.Asynqmon.ServeHTTP(kept, r)
	h := kept.header
	kind := h.Get("Content-Type")
	if kind == "" {
		kind = http.DetectContentType(kept.body.Bytes())
	}
	switch ext := path.Ext(r.URL.Path); {
	case kept.status != http.StatusOK:
	case strings.HasPrefix(kind, "text/html"): // also under names of files it does not have
	case strings.HasPrefix(r.URL.Path, "/asynqmon/api/"):
		kind = "application/json"
	case ext == ".svg":
		kind = "image/svg+xml"
	case ext == ".json":
		kind = "application/json"
	}
	h.Set("Content-Type", kind)
	h.Set("Content-Security-Policy", dashboardPolicy(kept.body.Bytes(), strings.HasPrefix(kind, "text/html")))
	maps.Copy(w.Header(), h)
	w.WriteHeader(kept.status)
	_, _ = w.Write(kept.body.Bytes())
}

// dashboardPolicy allows the page's own inline scripts by their digests. Its styles are
// made at run time, which no digest can foresee.
func dashboardPolicy(body []byte, html bool) string {
	scripts := "'self'"
	if html {
		for _, m := range inlineScript.FindAllSubmatch(body, -1) {
			sum := sha256.Sum256(m[1])
			scripts += " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
		}
	}
	return "default-src 'none'; script-src " + scripts + "; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
		"connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// recorder keeps an answer until its headers can be decided.
type recorder struct {
	header http.Header
	status int
	wrote  bool
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if !r.wrote {
		r.status, r.wrote = status, true
	}
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(p []byte) (int, error) {
	r.wrote = true
	return r.body.Write(p)
}
