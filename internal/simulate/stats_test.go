package simulate_test

import (
	"net/http"
	"strings"
	"testing"

	"headgate/internal/simulate"
)

func TestStatsTellRepeatsFromDuplicates(t *testing.T) {
	c := serve(t, simulate.NewSync("crm"))
	// On a reused connection net/http would send a dropped request with a key again by itself.
	c.http.Transport.(*http.Transport).DisableKeepAlives = true
	send := func(path, key, how string) {
		c.try("PUT", path, "{}", "Idempotency-Key", key, "X-Simulate", how)
	}
	send("/contacts/1", "a", "status=503") // first
	send("/contacts/1", "a", "drop=after") // repeat; nothing was answered 2xx yet
	send("/contacts/1", "a", "delay=1ms")  // repeat; this one is answered
	send("/contacts/1", "a", "delay=1ms")  // repeat and duplicate
	send("/contacts/2", "a", "delay=1ms")  // the same key elsewhere is neither
	send("/contacts/2", "b", "delay=1ms")
	c.try("POST", "/contacts/2", "{}")
	c.try("GET", "/v3/jobs/abc", "{}")

	s := c.stats()
	equal(t, "requests", s.Requests, 8)
	equal(t, "by path", s.ByPath, map[string]int{"PUT /contacts/{id}": 6, "POST /contacts/{id}": 1, "GET /v3/jobs/abc": 1})
	equal(t, "by status", s.ByStatus, map[int]int{0: 1, 200: 5, 201: 1, 503: 1})
	equal(t, "unique keys", s.UniqueKeys, 2)
	equal(t, "repeats", s.Repeats, 3)
	equal(t, "duplicates", s.Duplicates, 1)
	equal(t, "per key", s.Keys, map[string]int{"a": 5, "b": 1})
	equal(t, "in flight", []int{s.InFlight, s.MaxInFlight}, []int{0, 1})
	if s.First == nil || s.Last == nil || s.Last.Before(*s.First) {
		t.Errorf("first %v, last %v", s.First, s.Last)
	}
	if strings.Contains(c.do(200, "GET", "/__stats", "").body, `"keys"`) {
		t.Error("keys without being asked for")
	}

	c.do(204, "DELETE", "/__stats", "")
	s = c.stats()
	equal(t, "after reset", []int{s.Requests, s.UniqueKeys, s.Repeats, s.Duplicates, len(s.ByPath), len(s.Keys)}, []int{0, 0, 0, 0, 0, 0})
	equal(t, "recorded after reset", len(c.requests("")), 0)
	send("/contacts/1", "a", "delay=1ms")
	equal(t, "duplicates after reset", c.stats().Duplicates, 0)
}

func TestPathPatternsAreBounded(t *testing.T) {
	b := simulate.NewSync("crm").KeepRequests(0)
	c := serve(t, b)
	for i := range 600 {
		c.do(200, "PUT", "/p/"+strings.Repeat("x", i+1), "")
	}
	s := b.Stats()
	if len(s.ByPath) > 501 || s.ByPath["PUT (other)"] != 100 {
		t.Errorf("%d patterns, %d others", len(s.ByPath), s.ByPath["PUT (other)"])
	}
}

func TestPathPatterns(t *testing.T) {
	b := simulate.NewSync("crm")
	c := serve(t, b)
	for path, want := range map[string]string{
		"/api/bulk/2.0/contacts/imports/384/data": "PUT /api/bulk/2.0/contacts/imports/{id}/data",
		"/services/data/v59.0/jobs/7504x":         "PUT /services/data/v59.0/jobs/{id}",
		"/users/alice":                            "PUT /users/alice",
		"/":                                       "PUT /",
	} {
		b.Reset()
		c.do(200, "PUT", path, "")
		equal(t, path, b.Stats().ByPath, map[string]int{want: 1})
	}
}

func TestRequestsAreRecordedAsSent(t *testing.T) {
	b := simulate.NewSync("crm").KeepRequests(3)
	c := serve(t, b)
	c.do(200, "PUT", "/first", "")
	c.do(200, "PUT", "/second", "")
	c.do(200, "PUT", "/a%2Fb/c?x=%20&y", `{"name":"Zoë"}`, "X-Custom", "v", "Idempotency-Key", "k")
	c.do(503, "PUT", "/binary", "\xff\x00", "X-Simulate", "status=503")
	c.do(200, "PUT", "/long", strings.Repeat("é", 40000)+"end")

	all := c.requests("")
	equal(t, "kept", len(all), 3)
	got := all[0]
	equal(t, "path", got.Path, "/a%2Fb/c")
	equal(t, "query", got.Query, "x=%20&y")
	equal(t, "body", string(got.Body), `{"name":"Zoë"}`)
	equal(t, "headers", []string{got.Header.Get("X-Custom"), got.Header.Get("Idempotency-Key"), got.Method}, []string{"v", "k", "PUT"})
	equal(t, "status", got.Status, 200)
	equal(t, "binary body", string(all[1].Body), "\xff\x00")
	equal(t, "binary status", all[1].Status, 503)
	equal(t, "cut", []int{len(all[2].Body), all[2].Size}, []int{64 << 10, 80003})

	last := c.requests("?last=2")
	equal(t, "last two", []string{last[0].Path, last[1].Path}, []string{"/binary", "/long"})
	equal(t, "same from Go", b.Requests(1)[0].Path, "/long")
	c.do(400, "GET", "/__requests?last=none", "")

	b.KeepRequests(0)
	c.do(200, "PUT", "/off", "")
	equal(t, "switched off", len(c.requests("")), 0)
	equal(t, "still counted", b.Stats().Requests, 6)
}

func BenchmarkSync(b *testing.B) {
	backend := simulate.NewSync("crm").KeepRequests(0)
	defer backend.Close()
	benchmark(b, backend)
}
