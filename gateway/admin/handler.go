package admin

import (
	"net/http"
	"net/http/pprof"
	"strings"

	"headgate/gateway/wire"
)

// handler decides in three steps: what is open, by the exact bytes of the path; then, for
// everything else and before anything is looked up, the token; then, where a browser's
// cookie stands for it, that the request does not come from another site. A path written
// in another way (//metrics, /%6detrics) is therefore never open.
func (s *Server) handler() http.Handler {
	open := map[string]http.HandlerFunc{
		"/livez":  s.livez,
		"/readyz": s.readyz,
		"/login":  s.login,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Not the request's own context: that is Fiber's, which is used again afterwards.
		r = r.WithContext(withConn(s.base, r.Context()))
		path, _, _ := strings.Cut(r.RequestURI, "?")
		secure(w.Header())
		if h, ok := open[path]; ok {
			if path != "/login" && r.Method != http.MethodGet && r.Method != http.MethodHead {
				notAllowed(w, []string{http.MethodGet, http.MethodHead})
				return
			}
			h(w, r)
			return
		}
		switch s.shown(r) {
		case byNothing:
			s.challenge(w, r)
			return
		case byCookie:
			if err := s.origins.Check(r); err != nil {
				writeProblem(w, problem(http.StatusForbidden, "cross-origin", "Cross-origin request", "A browser sent this from another site. Changes with a login's cookie come from this listener's own pages only; programs send the token as Authorization: Bearer."))
				return
			}
		case byToken:
		}
		s.inside(w, r, path)
	})
}

// inside serves who has shown the token.
func (s *Server) inside(w http.ResponseWriter, r *http.Request, path string) {
	if path == "/logout" {
		s.logout(w, r)
		return
	}
	if s.serveAPI(w, r, path) {
		return
	}
	if path == "/asynqmon" || strings.HasPrefix(path, "/asynqmon/") {
		s.queues(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		notAllowed(w, []string{http.MethodGet, http.MethodHead})
		return
	}
	switch {
	case path == "/":
		s.index(w)
	case strings.HasPrefix(path, "/debug/pprof/"):
		profile(w, r, strings.TrimPrefix(path, "/debug/pprof/"))
	default:
		notFound(w)
	}
}

// profile serves net/http/pprof by hand: its own registration is on the default mux,
// which is never served.
func profile(w http.ResponseWriter, r *http.Request, name string) {
	switch name {
	case "cmdline":
		notFound(w) // flags are none of a profile's business
	case "profile":
		pprof.Profile(w, r)
	case "symbol":
		pprof.Symbol(w, r)
	case "trace":
		pprof.Trace(w, r)
	default:
		pprof.Index(w, r)
	}
}

// secure sets what every answer has; handlers may replace the policy.
func secure(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
}

func problem(status int, slug, title, detail string) wire.Problem {
	return wire.Problem{Type: wire.URN(slug), Title: title, Status: status, Detail: detail}
}

func writeProblem(w http.ResponseWriter, p wire.Problem) {
	w.Header().Set("Content-Type", wire.ProblemType)
	w.WriteHeader(p.Status)
	_, _ = w.Write(p.JSON())
}

func notFound(w http.ResponseWriter) {
	writeProblem(w, problem(http.StatusNotFound, "not-found", "Not found", "There is nothing here."))
}
