package gateway

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"headgate/dispatch"
	"headgate/policies"
	"headgate/routes"
)

func TestReplay(t *testing.T) {
	r := start(t, nil)
	first := r.do("POST", "/profiles/42", body, "Idempotency-Key", "k1")
	again := r.do("POST", "/profiles/42", body, "Idempotency-Key", `"k1"`) // as a structured field
	if again.status != 202 || again.body != first.body || again.header.Get("Location") != first.header.Get("Location") {
		t.Fatalf("got %d %s, first %s", again.status, again.body, first.body)
	}
	if again.header.Get("Idempotent-Replayed") != "true" || first.header.Get("Idempotent-Replayed") != "" {
		t.Error("Idempotent-Replayed is wrong")
	}
	if n := r.acceptor.accepted(); n != 1 {
		t.Errorf("%d were accepted", n)
	}
	idem := r.acceptor.intakes[0].Idem
	if len(idem.Hash) != 32 || len(idem.Fingerprint) != 32 || idem.TTL != r.table.routes[0].IdemTTL {
		t.Errorf("the key is kept as %+v", idem)
	}
}

func TestKeyReused(t *testing.T) {
	tests := []struct{ name, path, body string }{
		{"other body", "/profiles/42", `{"email":"b@example.com"}`},
		{"other path", "/profiles/43", body},
		{"other query", "/profiles/42?dry=1", body},
	}
	r := start(t, nil)
	r.do("POST", "/profiles/42", body, "Idempotency-Key", "k1")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := r.do("POST", tt.path, tt.body, "Idempotency-Key", "k1")
			wantProblem(t, res, 422, "idempotency-key-reused")
			if strings.Contains(res.body, "trk_") {
				t.Errorf("the other request's ID is told: %s", res.body)
			}
		})
	}
}

func TestKeysOfTenantsAreApart(t *testing.T) {
	r := start(t, nil)
	r.do("POST", "/profiles/42", body, "Idempotency-Key", "k1")
	res := r.do("POST", "/profiles/42", body, "Idempotency-Key", "k1", "X-API-Key", "other")
	if res.status != 202 || res.header.Get("Idempotent-Replayed") != "" || r.acceptor.accepted() != 2 {
		t.Fatalf("got %d %s", res.status, res.body)
	}
}

// TestReplayComesBeforeEverythingButAuthentication: neither a full backlog nor a body
// policy or mapping that changed since may refuse a replay.
func TestReplayComesBeforeEverythingButAuthentication(t *testing.T) {
	r := start(t, nil)
	r.do("POST", "/profiles/42", body, "Idempotency-Key", "k1")
	route := *r.table.routes[0]
	for _, stage := range []policies.Stage{policies.Admit, policies.Content} {
		route.Policies = append(route.Policies, fakePolicy{"full", stage, func(context.Context, *policies.Request) policies.Decision {
			return policies.Deny(policies.Problem{Status: 503, Type: "unavailable"}, "")
		}})
	}
	r.table.routes = []*routes.Route{&route}
	if res := r.do("POST", "/profiles/42", body, "Idempotency-Key", "k1"); res.status != 202 {
		t.Errorf("the replay got %d %s", res.status, res.body)
	}
	wantProblem(t, r.do("POST", "/profiles/42", body, "Idempotency-Key", "k2"), 503, "unavailable")
	wantProblem(t, r.do("POST", "/profiles/42", body, "Idempotency-Key", "k1", "X-API-Key", ""), 401, "unauthenticated")
}

// TestLookupFails: a refusal would say that nothing will happen; while it is not known what
// the key stands for, that may be wrong.
func TestLookupFails(t *testing.T) {
	for _, c := range []struct {
		name     string
		onLookup func(context.Context, dispatch.Idem) (dispatch.Receipt, bool, error)
		status   int
		slug     string
	}{
		{"error", func(context.Context, dispatch.Idem) (dispatch.Receipt, bool, error) {
			return dispatch.Receipt{}, false, errors.New("dial redis-7: refused")
		}, 503, "unavailable"},
		{"panic", func(context.Context, dispatch.Idem) (dispatch.Receipt, bool, error) { panic("redis-7") }, 500, "internal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := start(t, func(r *rig, _ *Options) {
				r.acceptor.onLookup = c.onLookup
				r.table.routes[0].Policies = append(r.table.routes[0].Policies, fakePolicy{"no", policies.Content, func(context.Context, *policies.Request) policies.Decision {
					return policies.Deny(policies.Problem{Status: 422, Type: "schema-violation"}, "")
				}})
			})
			res := r.do("POST", "/profiles/42", body, "Idempotency-Key", "k1")
			wantProblem(t, res, c.status, c.slug)
			if r.acceptor.accepted() != 0 || strings.Contains(res.body, "redis") {
				t.Errorf("got %s", res.body)
			}
			wantProblem(t, r.do("POST", "/profiles/42", body), 422, "schema-violation")
		})
	}
}

func TestKeyIgnoredWhenOff(t *testing.T) {
	r := start(t, func(r *rig, _ *Options) { r.table.routes[0].Idempotency = routes.IdempotencyOff })
	for range 2 {
		if res := r.do("POST", "/profiles/42", body, "Idempotency-Key", "k1"); res.status != 202 {
			t.Fatal(res.body)
		}
	}
	if r.acceptor.accepted() != 2 || r.acceptor.intakes[0].Idem != nil {
		t.Fatal("the key was used")
	}
}

// TestRepeatedWhileTheFirstIsInFlight: the look-ups see nothing yet; accept decides.
func TestRepeatedWhileTheFirstIsInFlight(t *testing.T) {
	r := start(t, func(r *rig, _ *Options) {
		r.acceptor.onLookup = func(context.Context, dispatch.Idem) (dispatch.Receipt, bool, error) {
			return dispatch.Receipt{}, false, nil
		}
	})
	var wg sync.WaitGroup
	results := make([]response, 8)
	for i := range results {
		wg.Go(func() {
			res, err := r.send("POST", "/profiles/42", body, "Idempotency-Key", "k1")
			if err != nil {
				t.Error(err)
			}
			results[i] = res
		})
	}
	wg.Wait()
	replayed := 0
	for _, res := range results {
		if res.status != 202 || res.body != results[0].body {
			t.Errorf("got %d %s", res.status, res.body)
		}
		if res.header.Get("Idempotent-Replayed") == "true" {
			replayed++
		}
	}
	if replayed != len(results)-1 || r.acceptor.accepted() != 1 {
		t.Errorf("%d of %d were replays", replayed, len(results))
	}
}

func TestParseKey(t *testing.T) {
	tests := []struct {
		values []string
		key    string
		ok     bool
	}{
		{[]string{"8e03978e-40d5"}, "8e03978e-40d5", true},
		{[]string{`"8e03978e-40d5"`}, "8e03978e-40d5", true},
		{[]string{`"a\"b\\c"`}, `a"b\c`, true},
		{[]string{`"`}, `"`, true},
		{[]string{strings.Repeat("ü", 255)}, strings.Repeat("ü", 255), true},
		{[]string{strings.Repeat("ü", 256)}, "", false},
		{[]string{""}, "", false},
		{[]string{`""`}, "", false},
		{[]string{"a\tb"}, "", false},
		{[]string{"a", "a"}, "", false},
	}
	for _, tt := range tests {
		key, ok := parseKey(tt.values)
		if ok != tt.ok || ok && key != tt.key {
			t.Errorf("parseKey(%q) = %q, %v", tt.values, key, ok)
		}
	}
}
