package ratelimit

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ulule/limiter/v3"
	"github.com/ulule/limiter/v3/drivers/store/memory"

	"headgate/config/yamlsrc"
	"headgate/policies"
	"headgate/policies/policytest"
)

// counter is a Deps.Limit that counts in memory, in windows that never end.
type counter struct {
	mu   sync.Mutex
	hits map[string]int64
	fail func(key string) error
}

func (c *counter) Limit(ctx context.Context, key string, limit int64, per time.Duration) (policies.LimitState, error) {
	if err := ctx.Err(); err != nil {
		return policies.LimitState{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		if err := c.fail(key); err != nil {
			return policies.LimitState{}, err
		}
	}
	if c.hits == nil {
		c.hits = map[string]int64{}
	}
	c.hits[key]++
	n := c.hits[key]
	return policies.LimitState{Remaining: max(limit-n, 0), Reset: per / 2, Exceeded: n > limit}, nil
}

func build(t testing.TB, text string, c *counter) (*Policy, *yamlsrc.Report) {
	t.Helper()
	report := &yamlsrc.Report{}
	b := policies.Build{Name: "r", Node: yamlsrc.Parse("routes.yaml", []byte(text), report), Report: report}
	if c != nil {
		b.Deps.Limit = c.Limit
	}
	return New(b), report
}

func mustBuild(t testing.TB, text string, c *counter) *Policy {
	t.Helper()
	p, report := build(t, text, c)
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	return p
}

func from(ip string) *policies.Request {
	return &policies.Request{Route: "r", Client: netip.MustParseAddr(ip)}
}

func TestConformance(t *testing.T) {
	build := func() policies.Policy {
		c := &counter{}
		p := mustBuild(t, "[{limit: 1, per: 1m, by: ip}, {limit: 100, per: 1h, by: route}]", c)
		p.Check(context.Background(), from("192.0.2.66")) // uses up its limit
		return p
	}
	policytest.Run(t, build, from("192.0.2.1"), from("192.0.2.66"))
}

func TestHeaders(t *testing.T) {
	c := &counter{}
	p := mustBuild(t, "[{limit: 2, per: 1m, by: principal}, {limit: 100, per: 1h, by: route}]", c)
	r := from("192.0.2.1")
	r.Principal = policies.Principal{Authenticator: "a", ID: "x"}

	d := p.Check(context.Background(), r)
	if !d.Allow {
		t.Fatal(d.Log)
	}
	if got, want := d.Headers["RateLimit-Policy"], `"principal-1m";q=2;w=60, "route-1h";q=100;w=3600`; got != want {
		t.Errorf("RateLimit-Policy: %s, want %s", got, want)
	}
	if got, want := d.Headers["RateLimit"], `"principal-1m";r=1;t=30`; got != want {
		t.Errorf("RateLimit: %s, want %s", got, want)
	}

	p.Check(context.Background(), r)
	d = p.Check(context.Background(), r)
	if d.Allow || d.Problem.Status != 429 || d.Problem.Type != "rate-limited" || d.Problem.Retry != 30*time.Second {
		t.Fatalf("third request: %+v", d)
	}
	if got, want := d.Headers["RateLimit"], `"principal-1m";r=0;t=30`; got != want {
		t.Errorf("RateLimit on the refusal: %s, want %s", got, want)
	}
}

func TestRetryIsNeverBelowASecond(t *testing.T) {
	p := mustBuild(t, "[{limit: 1, per: 1m, by: ip}]", nil)
	p.limit = func(context.Context, string, int64, time.Duration) (policies.LimitState, error) {
		return policies.LimitState{Exceeded: true, Reset: 3 * time.Millisecond}, nil
	}
	if d := p.Check(context.Background(), from("192.0.2.1")); d.Problem.Retry != time.Second {
		t.Errorf("retry after %s", d.Problem.Retry)
	}
}

func TestCountedApart(t *testing.T) {
	principal := func(auth, tenant, id string) func(*policies.Request) {
		return func(r *policies.Request) {
			r.Principal = policies.Principal{Authenticator: auth, Tenant: tenant, ID: id}
		}
	}
	client := func(ip string) func(*policies.Request) {
		return func(r *policies.Request) { r.Client = netip.MustParseAddr(ip) }
	}
	header := func(ip string, v ...string) func(*policies.Request) {
		return func(r *policies.Request) {
			r.Client = netip.MustParseAddr(ip)
			r.Header = policies.Header{"X-Device": v}
		}
	}
	tests := []struct {
		name, by string
		a, b     func(*policies.Request)
		same     bool
	}{
		{"two principals", "principal", principal("a", "t", "1"), principal("a", "t", "2"), false},
		{"same id of two issuers", "principal", principal("a", "t", "1"), principal("b", "t", "1"), false},
		{"parts do not run together", "principal", principal("a", "t1", "2"), principal("a", "t", "12"), false},
		{"tenant shared by principals", "tenant", principal("a", "t", "1"), principal("a", "t", "2"), true},
		{"same tenant of two issuers", "tenant", principal("a", "t", "1"), principal("b", "t", "1"), false},
		{"nobody counts by address", "principal", client("192.0.2.1"), client("192.0.2.2"), false},
		{"two addresses", "ip", client("192.0.2.1"), client("192.0.2.2"), false},
		{"IPv4 in IPv6", "ip", client("192.0.2.1"), client("::ffff:192.0.2.1"), true},
		{"one /64", "ip", client("2001:db8::1"), client("2001:db8::ffff:2"), true},
		{"two /64", "ip", client("2001:db8::1"), client("2001:db8:0:1::1"), false},
		{"route", "route", client("192.0.2.1"), client("192.0.2.2"), true},
		{"header values", "header:x-device", header("192.0.2.1", "a"), header("192.0.2.1", "b"), false},
		{"one header from two addresses", "header:X-Device", header("192.0.2.1", "a"), header("192.0.2.2", "a"), true},
		{"no header, one address", "header:X-Device", header("192.0.2.1"), header("192.0.2.1", ""), true},
		{"no header, two addresses", "header:X-Device", header("192.0.2.1"), header("192.0.2.2"), false},
		{"an address sent as header", "header:X-Device", header("192.0.2.1"), header("192.0.2.2", "192.0.2.1"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &counter{}
			p := mustBuild(t, "[{limit: 1, per: 1m, by: '"+tt.by+"'}]", c)
			for _, set := range []func(*policies.Request){tt.a, tt.b} {
				r := &policies.Request{Route: "r"}
				set(r)
				p.Check(context.Background(), r)
			}
			if same := len(c.hits) == 1; same != tt.same {
				t.Errorf("keys %v, want one: %v", c.hits, tt.same)
			}
			for key := range c.hits {
				if strings.Contains(key, "192.0.2") || !strings.HasPrefix(key, "r:0:") {
					t.Errorf("key %q", key)
				}
			}
		})
	}
}

func TestRedisAway(t *testing.T) {
	away := errors.New("dial tcp: connection refused")
	onlyRoute := func(key string) error {
		if strings.Contains(key, ":route:") {
			return away
		}
		return nil
	}
	tests := []struct {
		name, yaml string
		fail       func(string) error
		hits       int
		status     int // 0: allowed
		headers    bool
	}{
		{"deny by default", "[{limit: 1, per: 1m, by: ip}]", func(string) error { return away }, 1, 503, false},
		{"allow when told", "[{limit: 1, per: 1m, by: ip, on_error: allow}]", func(string) error { return away }, 5, 0, false},
		{"one rule away, allowed", "[{limit: 1, per: 1m, by: ip}, {limit: 1, per: 1m, by: route, on_error: allow}]", onlyRoute, 1, 0, true},
		{"one rule away, the other exceeded", "[{limit: 1, per: 1m, by: ip}, {limit: 1, per: 1m, by: route}]", onlyRoute, 2, 429, true},
		{"one rule away, denied", "[{limit: 1, per: 1m, by: ip}, {limit: 1, per: 1m, by: route}]", onlyRoute, 1, 503, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := mustBuild(t, tt.yaml, &counter{fail: tt.fail})
			var d policies.Decision
			for range tt.hits {
				d = p.Check(context.Background(), from("192.0.2.1"))
			}
			if d.Allow != (tt.status == 0) || d.Problem.Status != tt.status {
				t.Errorf("decision %+v", d)
			}
			if (len(d.Headers) > 0) != tt.headers {
				t.Errorf("headers %v", d.Headers)
			}
			if !strings.Contains(d.Log, "connection refused") {
				t.Errorf("log %q", d.Log)
			}
			if tt.status == 503 && (d.Problem.Type != "unavailable" || d.Problem.Retry != time.Second) {
				t.Errorf("problem %+v", d.Problem)
			}
		})
	}
}

// TestOneWave holds every answer back until all rules have asked: rules that asked in
// turn would never get there.
func TestOneWave(t *testing.T) {
	p := mustBuild(t, "[{limit: 1, per: 1m, by: ip}, {limit: 1, per: 1m, by: route}, {limit: 1, per: 1h, by: route}]", nil)
	var all sync.WaitGroup
	all.Add(3)
	p.limit = func(context.Context, string, int64, time.Duration) (policies.LimitState, error) {
		all.Done()
		all.Wait()
		return policies.LimitState{}, nil
	}
	if d := p.Check(context.Background(), from("192.0.2.1")); !d.Allow {
		t.Error(d.Log)
	}
}

func TestWithoutLimit(t *testing.T) {
	if d := mustBuild(t, "[{limit: 1, per: 1m, by: ip}]", nil).Check(context.Background(), from("192.0.2.1")); !d.Allow {
		t.Error(d.Log)
	}
}

func TestProblems(t *testing.T) {
	tests := []struct{ name, yaml, want string }{
		{"not a list", "limit: 100", "should be a list"},
		{"empty", "[]", "no limit is given"},
		{"nothing", "", "no limit is given"},
		{"no limit", "[{per: 1m, by: ip}]", `"limit" is missing`},
		{"zero", "[{limit: 0, per: 1m, by: ip}]", "lets nothing pass"},
		{"short window", "[{limit: 1, per: 100ms, by: ip}]", "routes.yaml:1:18: a window of 100ms"},
		{"broken window", "[{limit: 1, per: 1500ms, by: ip}]", "whole seconds"},
		{"by what", "[{limit: 1, per: 1m, by: user}]", "by should be principal, tenant, ip, route or header:NAME"},
		{"header without name", "[{limit: 1, per: 1m, by: 'header:'}]", "header:NAME"},
		{"on_error", "[{limit: 1, per: 1m, by: ip, on_error: ignore}]", "deny or allow"},
		{"unknown key", "[{limits: 1, per: 1m, by: ip}]", `did you mean "limit"?`},
		{"twice", "[{limit: 1, per: 60s, by: ip}, {limit: 2, per: 1m, by: ip}]", "rule 0 already counts by ip per 1m"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, report := build(t, tt.yaml, nil)
			if p != nil {
				t.Error("built in spite of it")
			}
			if err := report.Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("problems: %v\nwant %q", err, tt.want)
			}
		})
	}
}

func TestLimiter(t *testing.T) {
	store := memory.NewStoreWithOptions(limiter.StoreOptions{Prefix: "t", CleanUpInterval: time.Hour})
	limit := NewLimiter(store)
	for i, want := range []policies.LimitState{{Remaining: 1}, {Remaining: 0}, {Remaining: 0, Exceeded: true}} {
		got, err := limit(context.Background(), "k", 2, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if got.Remaining != want.Remaining || got.Exceeded != want.Exceeded {
			t.Errorf("hit %d: %+v, want %+v", i+1, got, want)
		}
		if got.Reset <= 58*time.Second || got.Reset > time.Minute {
			t.Errorf("hit %d: the window ends in %s", i+1, got.Reset)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := limit(ctx, "k", 2, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestRegister(t *testing.T) {
	r := policies.NewRegistry()
	Register(r)
	report := &yamlsrc.Report{}
	node := yamlsrc.Parse("routes.yaml", []byte("[]"), report)
	if p := r.BuildPolicy("rate_limit", node.Pos, policies.Build{Node: node, Report: report}); p != nil {
		t.Errorf("a typed nil came back as %v", p)
	}
}

func BenchmarkCheck(b *testing.B) {
	p := mustBuild(b, "[{limit: 100, per: 1m, by: principal}, {limit: 1000, per: 1m, by: route}]", nil)
	p.limit = func(context.Context, string, int64, time.Duration) (policies.LimitState, error) {
		return policies.LimitState{Remaining: 5, Reset: time.Minute}, nil
	}
	r := from("192.0.2.1")
	for b.Loop() {
		if !p.Check(context.Background(), r).Allow {
			b.Fatal("denied")
		}
	}
}
