package admin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path"
	"regexp"
	"strings"

	"headgate/dispatch/tracking"
)

// staticPath is where Asynqmon has what its page is made of.
const staticPath = "/asynqmon/static/"

// inlineScript finds the scripts that Asynqmon's page carries in itself.
var inlineScript = regexp.MustCompile(`(?is)<script>(.*?)</script>`)

// queues serves the dashboard of the queues. Every change there is another method than GET.
func (s *Server) queues(w http.ResponseWriter, r *http.Request) {
	switch look := r.Method == http.MethodGet || r.Method == http.MethodHead; {
	case s.asynqmon == nil:
		notFound(w)
	case !look && !s.o.AsynqmonWrites:
		w.Header().Set("Allow", "GET, HEAD")
		writeProblem(w, problem(http.StatusMethodNotAllowed, "method-not-allowed", "Method not allowed",
			"The dashboard is for looking only; admin.asynqmon: write in the operator's file lets it change queues and tasks."))
	case !look:
		s.audited(&call{w: w, r: r}, r.URL.Path, func(c *call) { s.asynqmon.ServeHTTP(c.w, c.r) })
	default:
		s.asynqmon.ServeHTTP(w, r)
	}
}

// outsideStyle finds the style sheets that the page would load from outside: they hold
// fonts, and it looks well without.
var outsideStyle = regexp.MustCompile(`<link rel="stylesheet" href="https://[^"]*"/?>`)

// dashboard serves Asynqmon with what it lacks: a policy that lets its page work and
// nothing else, media types that a browser which
// may not guess accepts, and leave to keep what never changes.
type dashboard struct{ s *Server }

// ServeHTTP implements http.Handler.
func (d dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kept := &recorder{header: w.Header().Clone(), status: http.StatusOK}
	d.s.o.Asynqmon.ServeHTTP(kept, r)
	if kept.status == http.StatusInternalServerError && strings.HasPrefix(r.URL.Path, "/asynqmon/api/") && !d.redisAnswers(r) {
		d.unavailable(w, r, kept.body.String())
		return
	}
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
	if kept.status == http.StatusOK && strings.HasPrefix(r.URL.Path, staticPath) && !strings.HasPrefix(kind, "text/html") {
		// Their names hold a digest of what is in them. Private: it takes the token to get them.
		h.Set("Cache-Control", "private, max-age=31536000, immutable")
	}
	body, html := kept.body.Bytes(), strings.HasPrefix(kind, "text/html")
	if html {
		body = outsideStyle.ReplaceAll(body, nil)
	}
	h.Set("Content-Security-Policy", dashboardPolicy(body, html))
	maps.Copy(w.Header(), h)
	w.WriteHeader(kept.status)
	_, _ = w.Write(body)
}

// redisAnswers tells whether it was not Redis for which Asynqmon has failed: it says 500 of
// everything.
func (d dashboard) redisAnswers(r *http.Request) bool {
	if d.s.o.Redis == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(r.Context(), readyWithin)
	defer cancel()
	return d.s.o.Redis(ctx) == nil
}

// unavailable answers that Redis does not. Asynqmon's page asks for text among others, and
// shows no error when it gets an object; everybody else gets the problem.
func (d dashboard) unavailable(w http.ResponseWriter, r *http.Request, cause string) {
	p := d.s.failure(r.Context(), fmt.Errorf("%w: asynqmon: %s", tracking.ErrUnavailable, strings.TrimSpace(cause)))
	if !strings.Contains(r.Header.Get("Accept"), "text/plain") {
		writeProblem(w, p)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(p.Status)
	_, _ = io.WriteString(w, p.Detail)
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
