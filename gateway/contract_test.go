package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/config/yamlsrc"
	"headgate/dispatch"
	"headgate/dispatch/tracking"
	"headgate/dispatch/transform"
	"headgate/policies"
	"headgate/routes"
)

const body = `{"email":"ada@example.com","n":12345678901234567890}`

func TestAccepted(t *testing.T) {
	r := start(t, func(_ *rig, o *Options) { o.Retention = 72 * time.Hour })
	const from = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	res := r.do("POST", "/profiles/42?source=app", body, "traceparent", from)
	want := `{"tracking_id":"trk_1","status":"in_progress","status_url":"/tracking/trk_1","targets":{"crm":"pending","analytics":"pending"}}`
	if res.status != 202 || res.body != want {
		t.Fatalf("got %d %s", res.status, res.body)
	}
	for name, value := range map[string]string{
		"Location": "/tracking/trk_1", "Retry-After": "1", "Content-Type": "application/json", "Server": "", "Cache-Control": "no-store",
	} {
		if got := res.header.Get(name); got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	in := r.acceptor.intakes[0]
	if in.Tenant != "keys/acme" || r.acceptor.traces[0] != from || in.Params["id"] != "42" || in.Idem != nil || in.Retention != 72*time.Hour {
		t.Errorf("the intake is wrong: %+v", in)
	}
	if got := string(r.acceptor.payloads[0]["crm"]); got != body {
		t.Errorf("the payload is not the body: %s", got)
	}
}

func TestPublicURL(t *testing.T) {
	r := start(t, func(_ *rig, o *Options) { o.PublicURL = "https://api.example.com/" })
	res := r.do("POST", "/profiles/42", body)
	if got := res.header.Get("Location"); got != "https://api.example.com/tracking/trk_1" || res.doc["status_url"] != got {
		t.Fatalf("Location is %q, body %s", got, res.body)
	}
}

func TestParamsOnlyWhenNeeded(t *testing.T) {
	r := start(t, func(r *rig, _ *Options) { r.table.routes[0].Fanout.Bindings[0].Plan.NeedsParams = false })
	r.do("POST", "/profiles/42", body)
	if r.acceptor.intakes[0].Params != nil {
		t.Fatal("params are kept though no target needs them")
	}
}

// TestRefusals has the rows of the HTTP contract that refuse before anything is done.
func TestRefusals(t *testing.T) {
	deny := func(stage policies.Stage, p policies.Problem) policies.Policy {
		return fakePolicy{"deny", stage, func(context.Context, *policies.Request) policies.Decision {
			return policies.Deny(p, "for the operator only")
		}}
	}
	tests := []struct {
		name         string
		method, path string
		body         string
		header       []string
		extra        policies.Policy
		change       func(*routes.Route)
		status       int
		slug         string
		wantHeader   string // "Name: value"
	}{
		{name: "unknown path", path: "/nothing", status: 404, slug: "not-found"},
		{name: "other case", path: "/Profiles/42", status: 404, slug: "not-found"},
		{name: "trailing slash", path: "/profiles/42/", status: 404, slug: "not-found"},
		{name: "method", method: "GET", status: 405, slug: "method-not-allowed", wantHeader: "Allow: POST"},
		{name: "no credentials", header: []string{"X-API-Key", ""}, status: 401, slug: "unauthenticated", wantHeader: `Www-Authenticate: ApiKey realm="test"`},
		{name: "not allowed", extra: deny(policies.Authorize, policies.Problem{}), status: 403, slug: "forbidden"},
		{
			name: "too fast", extra: deny(policies.Admit, policies.Problem{Status: 429, Retry: 1500 * time.Millisecond}),
			status: 429, slug: "rate-limited", wantHeader: "Retry-After: 2",
		},
		{
			name: "backlog", extra: deny(policies.Admit, policies.Problem{Status: 503, Type: "unavailable", Retry: time.Second}),
			status: 503, slug: "unavailable", wantHeader: "Retry-After: 1",
		},
		{
			name: "admission comes before content", body: "{", extra: deny(policies.Admit, policies.Problem{Status: 429}),
			status: 429, slug: "rate-limited",
		},
		{name: "not JSON", body: "{", status: 400, slug: "bad-json"},
		{name: "wrong type", header: []string{"Content-Type", "text/plain"}, status: 415, slug: "unsupported-media-type"},
		{
			name: "schema", extra: deny(policies.Content, policies.Problem{
				Status: 422, Type: "schema-violation", Errors: []policies.FieldError{{Detail: "is missing", Pointer: "/email"}},
			}),
			status: 422, slug: "schema-violation",
		},
		{name: "own title", extra: deny(policies.Content, policies.Problem{Status: 418, Type: "teapot", Title: "Short and stout"}), status: 418, slug: "teapot"},
		{name: "too large", body: `"` + strings.Repeat("x", 100<<10) + `"`, status: 413, slug: "body-too-large"},
		{name: "unknown encoding", header: []string{"Content-Encoding", "br"}, status: 415, slug: "unsupported-encoding", wantHeader: "Accept-Encoding: gzip, identity"},
		{name: "not gzip", header: []string{"Content-Encoding", "gzip"}, status: 400, slug: "bad-encoding"},
		{name: "key required", change: func(r *routes.Route) { r.Idempotency = routes.IdempotencyRequired }, status: 400, slug: "idempotency-key-required"},
		{name: "key too long", header: []string{"Idempotency-Key", strings.Repeat("k", 256)}, status: 400, slug: "bad-idempotency-key"},
		{name: "key empty", header: []string{"Idempotency-Key", `""`}, status: 400, slug: "bad-idempotency-key"},
		{name: "key twice", header: []string{"Idempotency-Key", "a", "Idempotency-Key", "b"}, status: 400, slug: "bad-idempotency-key"},
		{
			name: "body not JSON and nobody looked", body: "plain", header: []string{"Content-Type", "text/plain"},
			change: func(r *routes.Route) { r.Policies = r.Policies[:1] }, status: 400, slug: "bad-json",
		},
		{
			name: "panic", extra: fakePolicy{"bug", policies.Content, func(context.Context, *policies.Request) policies.Decision { panic("secret detail") }},
			status: 500, slug: "internal",
		},
		{
			name: "panic in a goroutine", extra: fakePolicy{"bug", policies.Admit, func(context.Context, *policies.Request) policies.Decision { panic("secret detail") }},
			status: 500, slug: "internal",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, func(r *rig, _ *Options) {
				route := r.table.routes[0]
				if tt.extra != nil {
					route.Policies = append(route.Policies, tt.extra)
				}
				if tt.change != nil {
					tt.change(route)
				}
			})
			method, path, text := "POST", "/profiles/42", body
			if tt.method != "" {
				method = tt.method
			}
			if tt.path != "" {
				path = tt.path
			}
			if tt.body != "" {
				text = tt.body
			}
			res := r.do(method, path, text, tt.header...)
			wantProblem(t, res, tt.status, tt.slug)
			if name, value, ok := strings.Cut(tt.wantHeader, ": "); ok && res.header.Get(name) != value {
				t.Errorf("%s is %q, want %q", name, res.header.Get(name), value)
			}
			if strings.Contains(res.body, "operator") || strings.Contains(res.body, "secret") {
				t.Errorf("the answer tells too much: %s", res.body)
			}
			if n := r.acceptor.accepted(); n != 0 {
				t.Errorf("%d dispatches were accepted", n)
			}
		})
	}
}

// TestOneWave: all limits are under way at the same time, while the body is checked, and
// what the body policy writes is not seen by them. A request that nothing refuses needs
// no look-up of its key.
func TestOneWave(t *testing.T) {
	var all sync.WaitGroup
	all.Add(3)
	meet := func() { all.Done(); all.Wait() } // hangs unless all three are there at once
	admit := func(name string) policies.Policy {
		return fakePolicy{name, policies.Admit, func(_ context.Context, r *policies.Request) policies.Decision {
			meet()
			if r.HasJSON || r.Principal.Tenant != "acme" {
				return policies.Deny(policies.Problem{Status: 500}, "sees what it must not, or not what it must")
			}
			return policies.Pass()
		}}
	}
	content := fakePolicy{"after body", policies.Content, func(_ context.Context, r *policies.Request) policies.Decision {
		meet()
		return policies.Decision{Allow: r.HasJSON}
	}}
	r := start(t, func(r *rig, _ *Options) {
		route := r.table.routes[0]
		route.Policies = append(route.Policies, content, admit("a"), admit("b"))
		r.acceptor.onLookup = func(context.Context, dispatch.Idem) (dispatch.Receipt, bool, error) {
			t.Error("the key was looked up")
			return dispatch.Receipt{}, false, nil
		}
	})
	if res := r.do("POST", "/profiles/42", body, "Idempotency-Key", "k"); res.status != 202 {
		t.Fatalf("got %d %s", res.status, res.body)
	}
}

func TestErrorsOfASchemaAreListed(t *testing.T) {
	r := start(t, func(r *rig, _ *Options) {
		r.table.routes[0].Policies = append(r.table.routes[0].Policies, fakePolicy{"schema", policies.Content, func(context.Context, *policies.Request) policies.Decision {
			return policies.Deny(policies.Problem{Status: 422, Type: "schema-violation", Errors: []policies.FieldError{{Detail: "is missing", Pointer: "/email"}}}, "")
		}})
	})
	res := r.do("POST", "/profiles/42", body)
	if !strings.Contains(res.body, `"errors":[{"detail":"is missing","pointer":"/email"}]`) {
		t.Fatalf("got %s", res.body)
	}
}

func TestMappingFailed(t *testing.T) {
	report := &yamlsrc.Report{}
	node := yamlsrc.Parse("routes.yaml", []byte("email: ${{ .body.email | ascii_downcase }}\n"), report)
	mapping := transform.CompileValue(node, []string{"body"}, report)
	if report.Len() > 0 {
		t.Fatal(report)
	}
	r := start(t, func(r *rig, _ *Options) { r.table.routes[0].Fanout.Bindings[0].Transform = mapping })
	res := r.do("POST", "/profiles/42", `{"email":7}`)
	wantProblem(t, res, 422, "mapping-failed")
	if !strings.Contains(res.body, "target crm: ") {
		t.Errorf("the target is not named: %s", res.body)
	}
}

func TestAcceptErrors(t *testing.T) {
	tests := []struct {
		name   string
		err    error
		key    string
		status int
		slug   string
		detail string
	}{
		{"unknown", &dispatch.OutcomeUnknownError{ID: "trk_9", Err: errors.New("read: reset")}, "k", 503, "outcome-unknown", "same Idempotency-Key"},
		{"unknown without a key", &dispatch.OutcomeUnknownError{ID: "trk_9", Err: errors.New("read: reset")}, "", 503, "outcome-unknown", "may do it twice"},
		{"unknown without an ID", context.DeadlineExceeded, "k", 503, "outcome-unknown", "same Idempotency-Key"},
		{"unavailable", fmt.Errorf("accept: %w", tracking.ErrUnavailable), "k", 503, "unavailable", "Nothing was recorded"},
		{"too large", fmt.Errorf("accept: %w", tracking.ErrTooLarge), "k", 413, "body-too-large", "too large"},
		{"other", errors.New("secret host redis-7"), "k", 500, "internal", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, func(r *rig, _ *Options) {
				r.acceptor.onAccept = func(context.Context, dispatch.Intake) (dispatch.Receipt, error) { return dispatch.Receipt{}, tt.err }
			})
			res := r.do("POST", "/profiles/42", body, "Idempotency-Key", tt.key)
			wantProblem(t, res, tt.status, tt.slug)
			if tt.status == 503 && res.header.Get("Retry-After") != "1" {
				t.Error("no Retry-After")
			}
			var unknown *dispatch.OutcomeUnknownError
			if errors.As(tt.err, &unknown) && res.doc["tracking_id"] != "trk_9" {
				t.Errorf("no tracking ID: %s", res.body)
			}
			if detail, _ := res.doc["detail"].(string); !strings.Contains(detail, tt.detail) || strings.Contains(res.body, "redis") {
				t.Errorf("detail is %q", detail)
			}
		})
	}
}

func TestRateLimitHeadersOfSeveralPolicies(t *testing.T) {
	limit := func(name, value string) policies.Policy {
		return fakePolicy{name, policies.Admit, func(context.Context, *policies.Request) policies.Decision {
			return policies.Decision{Allow: true, Headers: map[string]string{"RateLimit": value}}
		}}
	}
	r := start(t, func(r *rig, _ *Options) {
		r.table.routes[0].Policies = append(r.table.routes[0].Policies, limit("a", `"a";r=1`), limit("b", `"b";r=2`))
	})
	res := r.do("POST", "/profiles/42", body)
	if got := res.header.Get("RateLimit"); res.status != 202 || got != `"a";r=1, "b";r=2` {
		t.Fatalf("got %d, RateLimit %q", res.status, got)
	}
}

func TestAccessLogHoldsNoRequestData(t *testing.T) {
	r := start(t, nil)
	r.do("POST", "/profiles/ada-path?token=in-query", `{"email":"in-body"}`, "X-API-Key", "acme", "Authorization", "Bearer in-header")
	line := r.log.String()
	for _, want := range []string{`"route":"profile-changed"`, `"status":202`, `"tracking_id":"trk_1"`, `"tenant":"keys/acme"`} {
		if !strings.Contains(line, want) {
			t.Errorf("%s is missing in %s", want, line)
		}
	}
	for _, leak := range []string{"ada-path", "in-query", "in-body", "in-header"} {
		if strings.Contains(line, leak) {
			t.Errorf("%s leaked into %s", leak, line)
		}
	}
}
