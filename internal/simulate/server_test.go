package simulate_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"headgate/internal/simulate"
)

func TestQuickstartServesTheDemo(t *testing.T) {
	s, err := simulate.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "names", s.Names(), []string{"crm", "newsletter", "marketing", "analytics", "billing"})
	transport := &http.Transport{}
	root := &client{t: t, http: &http.Client{Transport: transport}, base: "http://" + s.Addr()}
	for path, want := range map[string]int{
		"/crm/contacts/1": 200, "/newsletter/v3/marketing/contacts/imports/x": 401,
		"/marketing/api/bulk/2.0/syncs/1": 401, "/analytics/x": 503, "/billing/x": 422, "/nobody/x": 404, "/": 200, "/crm": 200,
	} {
		root.do(want, "GET", path, "")
	}
	equal(t, "listing", root.do(200, "GET", "/", "").json(t, "backends", "crm"), s.URL("crm"))
	equal(t, "path without prefix", s.Backend("analytics").Requests(0)[0].Path, "/x")
	equal(t, "unknown", []any{s.URL("nobody"), s.Backend("nobody") == nil}, []any{"", true})

	transport.CloseIdleConnections()
	for range 2 {
		if err := s.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if r := root.try("GET", "/", ""); r.err == nil {
		t.Error("still answering after Close")
	}
}

func TestCloseCutsWhatDoesNotEnd(t *testing.T) {
	b := simulate.NewSync("crm")
	s, err := simulate.Start("127.0.0.1:0", b)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c := &client{t: t, http: &http.Client{Transport: transport}, base: s.URL("crm")}
	done := make(chan error, 1)
	go func() { done <- c.try("PUT", "/x", "{}", "X-Simulate", "hang").err }()
	await(t, "the request hangs", func() bool { return b.Stats().InFlight == 1 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // not even the grace is given
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if <-done == nil {
		t.Error("a hanging request was answered")
	}
	await(t, "the handler ends", func() bool { return b.Stats().InFlight == 0 })
}

func TestStartRefuses(t *testing.T) {
	for name, backends := range map[string][]*simulate.Backend{
		"two backends":        {simulate.NewSync("a"), simulate.NewRejecting("a")},
		`"" cannot be`:        {simulate.NewSync("")},
		`"a/b" cannot be`:     {simulate.NewSync("a/b")},
		`"__stats" cannot be`: {simulate.NewSync("__stats")},
	} {
		if _, err := simulate.Start("127.0.0.1:0", backends...); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one with %q", err, name)
		}
	}
	if _, err := simulate.Start("127.0.0.1:-1"); err == nil {
		t.Error("bad address accepted")
	}
}

func TestURLOfWildcardAddress(t *testing.T) {
	s, err := simulate.Start(":0", simulate.NewSync("crm"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close(context.Background()) }()
	if u := s.URL("crm"); !strings.HasPrefix(u, "http://127.0.0.1:") {
		t.Errorf("URL %s cannot be called", u)
	}
}

func TestBackendWithoutServer(t *testing.T) {
	b := simulate.NewEloqua(simulate.EloquaOptions{})
	defer b.Close()
	s := httptest.NewServer(b)
	defer s.Close()
	c := &client{t: t, http: s.Client(), base: s.URL}
	equal(t, "base", c.do(200, "GET", "/id", "", "Basic", `Acme\me:pw`).json(t, "urls", "base"), s.URL)
}

// benchmark measures a backend without the network.
func benchmark(b *testing.B, backend http.Handler) {
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		backend.ServeHTTP(w, httptest.NewRequest("PUT", "/contacts/1", strings.NewReader(`{"a":1}`)))
		if !json.Valid(w.Body.Bytes()) {
			b.Fatal("no JSON")
		}
	}
}
