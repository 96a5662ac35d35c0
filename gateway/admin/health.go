package admin

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// State is how a Check stands.
type State string

// The states. Only Failed makes a server not ready.
const (
	OK      State = "ok"
	Warning State = "warning" // it works, but an operator should look
	Failed  State = "failed"
)

// Check is one thing that requests need.
type Check struct {
	Name   string `json:"name"` // such as "redis"
	State  State  `json:"state"`
	Detail string `json:"detail,omitempty"` // for who has the token: it may name where secrets are kept
}

// readyWithin bounds the checks: a probe that hangs says as little as none. It is less than
// headgate health and doctor wait, so that they tell what does not answer: Redis, not this.
const readyWithin = 2 * time.Second

// livez says that the process answers. It asks nothing else: a restart does not mend
// what is outside.
func (s *Server) livez(w http.ResponseWriter, _ *http.Request) {
	plain(w, "ok\n")
}

// readyz says whether requests can be taken. ?verbose lists every check, for who has the
// token: whoever merely reaches the listener learns how many have failed.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	verbose, known := r.URL.Query().Has("verbose"), s.shown(r) != byNothing
	if verbose && !known {
		s.challenge(w, r)
		return
	}
	var checks, failed []Check
	if s.o.Ready != nil {
		ctx, cancel := context.WithTimeout(r.Context(), readyWithin)
		defer cancel()
		checks = s.o.Ready(ctx)
	}
	for _, c := range checks {
		if c.State != OK && c.State != Warning { // a state that nobody set is no good state
			failed = append(failed, c)
		}
	}
	if len(failed) > 0 {
		p := problem(http.StatusServiceUnavailable, "not-ready", "Not ready", fmt.Sprintf("%d of %d checks failed.", len(failed), len(checks)))
		switch {
		case verbose:
			p.Checks = checks
		case known:
			p.Checks = failed
		}
		w.Header().Set("Retry-After", "1")
		writeProblem(w, p)
		return
	}
	if !verbose {
		plain(w, "ok\n")
		return
	}
	var out strings.Builder
	for _, c := range checks {
		fmt.Fprintf(&out, "[%s] %s", c.State, c.Name)
		if c.Detail != "" {
			out.WriteString(": " + c.Detail)
		}
		out.WriteByte('\n')
	}
	out.WriteString("ready\n")
	plain(w, out.String())
}

func plain(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(text))
}
