package admin

import (
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"
)

// pages are the few of our own: no scripts, nothing from outside.
var (
	//go:embed pages.html
	pagesSource string
	pages       = template.Must(template.New("pages").Parse(pagesSource))
)

// challenge answers who has not shown the token. A browser is sent to the form; a
// program gets a 401 that says what is wanted, or a 429 when it has guessed too often.
func (s *Server) challenge(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && r.Header.Get("Authorization") == "" && strings.Contains(r.Header.Get("Accept"), "text/html") {
		redirect(w, "/login")
		return
	}
	if r.Header.Get("Authorization") != "" {
		if seconds := s.tooOften(w, r); seconds > 0 {
			writeProblem(w, problem(http.StatusTooManyRequests, "rate-limited", "Too many requests",
				fmt.Sprintf("Too many different wrong tokens came from this address, which is not listened to for %d s.", seconds)))
			return
		}
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="headgate admin"`)
	writeProblem(w, problem(http.StatusUnauthorized, "unauthenticated", "Not authenticated", "This needs the admin token."))
}

// login shows the form and takes it, from its own page and from programs. Another site's page
// that a browser shows could otherwise spend the guesses of the browser's address, and keep out
// who works there.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		page(w, http.StatusOK, "login", "")
	case http.MethodPost:
		if err := s.origins.Check(r); err != nil {
			page(w, http.StatusForbidden, "login", "This came from a page of another site, or through a proxy that does not hand on the Host header. Log in here.")
			return
		}
		if err := r.ParseForm(); err != nil || !s.proven(r, r.PostForm.Get("token")) {
			if seconds := s.tooOften(w, r); seconds > 0 {
				page(w, http.StatusTooManyRequests, "login", fmt.Sprintf("Too many wrong tokens came from your address. Try again in %d seconds.", seconds))
				return
			}
			s.o.Log.WarnContext(r.Context(), "admin login refused", "peer", strings.Clone(r.RemoteAddr))
			page(w, http.StatusUnauthorized, "login", "That is not the token.")
			return
		}
		value, ends := s.session.cookie()
		setCookie(w, r, value, ends)
		redirect(w, "/")
	default:
		notAllowed(w, []string{http.MethodGet, http.MethodHead, http.MethodPost})
	}
}

// logout forgets the cookie. It takes POST only: no image tag may log one out.
func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		notAllowed(w, []string{http.MethodPost})
		return
	}
	setCookie(w, r, "", time.Time{})
	redirect(w, "/login")
}

// setCookie sets the session's cookie; an empty value deletes it.
func setCookie(w http.ResponseWriter, r *http.Request, value string, ends time.Time) {
	// Behind a proxy that ends TLS the browser's side is what counts. A client that lies
	// here only hurts its own cookie.
	overTLS := r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
	c := &http.Cookie{ //nolint:gosec // G124: a browser on loopback without TLS would drop a Secure cookie
		Name: cookieName, Value: value, Path: "/", Expires: ends,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: overTLS,
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

func redirect(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

// index shows what there is.
func (s *Server) index(w http.ResponseWriter) {
	page(w, http.StatusOK, "index", map[string]bool{
		"metrics": s.o.Metrics != nil, "asynqmon": s.o.Asynqmon != nil, "targets": s.o.Targets != nil,
		"deadletters": s.o.DeadLetters != nil, "config": s.o.Config != nil, "loglevel": s.o.Level != nil,
	})
}

func page(w http.ResponseWriter, status int, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = pages.ExecuteTemplate(w, name, data)
}
