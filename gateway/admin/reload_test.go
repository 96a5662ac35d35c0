package admin

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"headgate/config/secret"
)

func TestReload(t *testing.T) {
	var did Reload
	reloads := 0
	s := start(t, func(o *Options) {
		o.Reload = func(context.Context) Reload { reloads++; return did }
		o.Reloads = func(context.Context) ReloadState { return ReloadState{Hash: "0123456789abcdef", Watch: "off"} }
	})
	const asJSON = "Content-Type: application/json"
	did = Reload{OK: true, By: "api", Changed: &Changed{Keys: []string{"watch"}}}
	var state ReloadState
	res, text := ask(t, s, "POST", "/reload", "{}", bearer, asJSON)
	if err := json.Unmarshal([]byte(text), &state); err != nil || res.status != 200 || state.Hash != "0123456789abcdef" || state.Last == nil || !state.Last.Changed.Any() {
		t.Errorf("%d %s %v", res.status, text, err)
	}
	did = Reload{Detail: "1 problem", Problems: []FileProblem{{Detail: "d", File: "f", Line: 3, Column: 4}}}
	res, text = ask(t, s, "POST", "/reload", "", bearer, asJSON)
	if res.status != 422 || !strings.Contains(text, `"errors":[{"detail":"d","file":"f","line":3,"column":4}]`) || !strings.Contains(text, "reload-refused") {
		t.Errorf("%d %s", res.status, text)
	}
	// Nothing is read again by accident, or by another site's form.
	for what, request := range map[string]struct {
		method, body, header string
		status               int
	}{
		"looking":           {"GET", "", bearer, 200},
		"another method":    {"PUT", "{}", bearer, 405},
		"a form":            {"POST", "", "Content-Type: application/x-www-form-urlencoded", 415},
		"an unknown wish":   {"POST", `{"dry_run": true}`, asJSON, 400},
		"without the token": {"POST", "{}", "X-Nothing: 1", 401},
	} {
		before := reloads
		headers := []string{request.header}
		if request.status != 401 {
			headers = append(headers, bearer)
		}
		if res, text := ask(t, s, request.method, "/reload", request.body, headers...); res.status != request.status || reloads != before {
			t.Errorf("%s: %d %s; reloads %d", what, res.status, text, reloads-before)
		}
	}
}

// TestSetToken: the former token and its sessions open nothing any longer.
func TestSetToken(t *testing.T) {
	s := start(t, nil)
	cookie, _ := s.session.cookie()
	s.SetToken(secret.New("another"))
	for credential, want := range map[string]int{
		bearer: 401, "Cookie: " + cookieName + "=" + cookie: 401, "Authorization: Bearer another": 200,
	} {
		if res, _ := ask(t, s, "GET", "/metrics", "", credential); res.status != want {
			t.Errorf("%q: %d, want %d", credential, res.status, want)
		}
	}
}
