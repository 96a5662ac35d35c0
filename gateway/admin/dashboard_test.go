package admin

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestDashboardForLooking: what changes something gets through when the operator says so,
// and never without the token.
func TestDashboardForLooking(t *testing.T) {
	for writes, want := range map[bool]int{false: http.StatusMethodNotAllowed, true: http.StatusOK} {
		s := start(t, func(o *Options) { o.AsynqmonWrites = writes })
		for _, method := range []string{http.MethodPost, http.MethodDelete} {
			if res, text := ask(t, s, method, "/asynqmon/api/queues/crm:pause", "", bearer); res.status != want {
				t.Errorf("writes %v: %s is answered %d %s", writes, method, res.status, text)
			}
			if res, _ := ask(t, s, method, "/asynqmon/api/queues/crm:pause", ""); res.status != http.StatusUnauthorized {
				t.Errorf("writes %v: %s without the token is answered %d", writes, method, res.status)
			}
		}
		if res, text := ask(t, s, http.MethodPost, "/metrics", "", bearer); res.status != http.StatusMethodNotAllowed {
			t.Errorf("writes %v: POST /metrics is answered %d %s", writes, res.status, text)
		}
	}
}

func TestDashboardIsCompressedAndKept(t *testing.T) {
	script := strings.Repeat("let x = 1;\n", 1000)
	s := start(t, func(o *Options) {
		o.Asynqmon = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/asynqmon/static/js/main.5adda2da.chunk.js":
				w.Header().Set("Content-Type", "application/javascript; charset=utf-8")
				fmt.Fprint(w, script)
			case "/asynqmon/api/queues":
				fmt.Fprint(w, `{"queues":[]}`)
			default: // the page, also under names of files that are not there
				fmt.Fprint(w, `<!doctype html><link rel="stylesheet" href="https://fonts.example/css?family=Roboto"/><title>`, script, "</title>")
			}
		})
	})
	for target, want := range map[string]struct{ cache, coding string }{
		"/asynqmon/static/js/main.5adda2da.chunk.js": {"private, max-age=31536000, immutable", "gzip"},
		"/asynqmon/static/js/gone.js":                {"no-store", "gzip"},
		"/asynqmon":                                  {"no-store", "gzip"},
		"/asynqmon/api/queues":                       {"no-store", ""},
	} {
		res, text := ask(t, s, http.MethodGet, target, "", bearer, "Accept-Encoding: gzip")
		if res.header.Get("Cache-Control") != want.cache || res.header.Get("Content-Encoding") != want.coding {
			t.Errorf("%s: %v", target, res.header)
		}
		if res.header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s has no policy", target)
		}
		if want.coding == "" {
			continue
		}
		reader, err := gzip.NewReader(strings.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v", target, err)
		}
		if plain, err := io.ReadAll(reader); err != nil || !strings.Contains(string(plain), script) || strings.Contains(string(plain), "https:") {
			t.Errorf("%s: %d bytes, %v", target, len(plain), err)
		}
		if len(text) > len(script)/10 {
			t.Errorf("%s takes %d bytes of %d", target, len(text), len(script))
		}
	}
	if res, text := ask(t, s, http.MethodGet, "/asynqmon/static/js/main.5adda2da.chunk.js", "", bearer); text != script || res.header.Get("Content-Encoding") != "" {
		t.Errorf("compressed for who did not ask: %v", res.header)
	}
}

// TestDashboardWithoutRedis: a program gets the problem of the rest of the API, and
// Asynqmon's own page, which takes text only, the same as text. What Redis is not the reason
// for stays as Asynqmon says it.
func TestDashboardWithoutRedis(t *testing.T) {
	var away error
	s := start(t, func(o *Options) {
		o.Redis = func(context.Context) error { return away }
		o.Asynqmon = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "queue not found", http.StatusInternalServerError)
		})
	})
	get := func(accept string) (*reply, string) {
		res, text := ask(t, s, http.MethodGet, "/asynqmon/api/queues", "", bearer, "Accept: "+accept)
		return &res, text
	}
	if res, text := get("*/*"); res.status != http.StatusInternalServerError || text != "queue not found\n" {
		t.Errorf("with redis: %d %s", res.status, text)
	}
	away = errors.New("connection refused")
	if res, text := get("*/*"); res.status != http.StatusServiceUnavailable || res.header.Get("Content-Type") != "application/problem+json" || !strings.Contains(text, `"urn:headgate:problem:unavailable"`) || !strings.Contains(text, "headgate doctor") {
		t.Errorf("without redis: %d %s %s", res.status, res.header, text)
	}
	if res, text := get("application/json, text/plain, */*"); res.status != http.StatusServiceUnavailable || !strings.HasPrefix(res.header.Get("Content-Type"), "text/plain") || !strings.HasPrefix(text, "Redis does not answer") {
		t.Errorf("the page without redis: %d %s %s", res.status, res.header, text)
	}
}
