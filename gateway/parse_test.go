package gateway

import (
	"net/netip"
	"testing"
	"time"

	"headgate/gateway/wire"
	"headgate/policies"
	"headgate/routes"
)

func TestReadPrefer(t *testing.T) {
	tests := []struct {
		values []string
		want   prefer
	}{
		{nil, prefer{}},
		{[]string{"respond-async"}, prefer{async: true}},
		{[]string{"respond-async, wait=10"}, prefer{async: true, wait: 10 * time.Second}},
		{[]string{"Respond-Async", "Wait=10"}, prefer{async: true, wait: 10 * time.Second}},
		{[]string{`wait="10"`}, prefer{wait: 10 * time.Second}},
		{[]string{"wait = 10 ; priority=\"a,b\" , respond-async;x"}, prefer{async: true, wait: 10 * time.Second}},
		{[]string{`return="a, wait=3"; b`}, prefer{}},
		{[]string{`foo="\", wait=3"`, "wait=4"}, prefer{wait: 4 * time.Second}},
		{[]string{"wait=5, wait=9"}, prefer{wait: 5 * time.Second}},
		{[]string{"wait=3600"}, prefer{wait: 20 * time.Second}},
		{[]string{"wait=99999999999999999999"}, prefer{}},
		{[]string{"wait=-1"}, prefer{}},
		{[]string{"wait=1.5"}, prefer{}},
		{[]string{"wait"}, prefer{}},
		{[]string{"", ",,", ";"}, prefer{}},
	}
	for _, tt := range tests {
		if got := readPrefer(tt.values, 20*time.Second); got != tt.want {
			t.Errorf("%q: got %+v, want %+v", tt.values, got, tt.want)
		}
	}
}

func FuzzReadPrefer(f *testing.F) {
	f.Add(`respond-async, wait=10; x="a,b"`)
	f.Fuzz(func(t *testing.T, value string) {
		if p := readPrefer([]string{value}, time.Minute); p.wait < 0 || p.wait > time.Minute {
			t.Fatalf("waits %v", p.wait)
		}
	})
}

func TestClientAddr(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	tests := []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"no proxy", "203.0.113.5", nil, "203.0.113.5"},
		{"forged", "203.0.113.5", []string{"198.51.100.1"}, "203.0.113.5"},
		{"one proxy", "10.0.0.1", []string{"203.0.113.5"}, "203.0.113.5"},
		{"forged through a proxy", "10.0.0.1", []string{"198.51.100.1, 203.0.113.5"}, "203.0.113.5"},
		{"two proxies", "10.0.0.1", []string{"198.51.100.1", "203.0.113.5, 10.0.0.2"}, "203.0.113.5"},
		{"only proxies", "10.0.0.1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"no header", "10.0.0.1", nil, "10.0.0.1"},
		{"garbage", "10.0.0.1", []string{"unknown"}, "10.0.0.1"},
		{"garbage behind a proxy", "10.0.0.1", []string{"198.51.100.1, unknown, 10.0.0.2"}, "10.0.0.2"},
		{"with ports", "10.0.0.1", []string{"203.0.113.5:4711"}, "203.0.113.5"},
		{"IPv6 with port", "fd00::1", []string{"[2001:db8::5]:4711"}, "2001:db8::5"},
		{"IPv6 in brackets", "fd00::1", []string{"[2001:db8::5]"}, "2001:db8::5"},
		{"mapped", "10.0.0.1", []string{"::ffff:203.0.113.5"}, "203.0.113.5"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := clientAddr(netip.MustParseAddr(tt.peer), tt.forwarded, trusted); got.String() != tt.want {
				t.Errorf("got %v, want %s", got, tt.want)
			}
		})
	}
}

// TestSplit: a policy that would not be run must not let requests pass.
func TestSplit(t *testing.T) {
	list := func(stages ...policies.Stage) *routes.Route {
		r := &routes.Route{}
		for _, stage := range stages {
			r.Policies = append(r.Policies, fakePolicy{stage: stage})
		}
		return r
	}
	for _, tt := range []struct {
		route                 *routes.Route
		first, admit, content int
	}{
		{list(), 0, 0, 0},
		{list(policies.Content), 0, 0, 1},
		{list(policies.Admit, policies.Admit), 0, 2, 0},
		{list(policies.Identify, policies.Authorize, policies.Authorize), 3, 0, 0},
		{list(policies.Identify, policies.Admit, policies.Content, policies.Content), 1, 1, 2},
		{list(policies.Content, policies.Admit, policies.Identify, policies.Content), 1, 1, 2},
	} {
		if st := split(tt.route); len(st.first) != tt.first || len(st.admit) != tt.admit || len(st.content) != tt.content {
			t.Errorf("%+v of %+v", st, tt.route.Policies)
		}
	}
	for _, bad := range []*routes.Route{list(policies.Content + 1), list(-1)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v is split", bad.Policies)
				}
			}()
			split(bad)
		}()
	}
}

func TestScopeLeavesCredentialsOut(t *testing.T) {
	s := Scope(&policies.Request{
		Route:             "r",
		Header:            policies.Header{"Authorization": {"x"}, "Cookie": {"x"}, "X-Api-Key": {"x"}, "Proxy-Authorization": {"x"}, "X-Region": {"eu", "us"}, "X-Partner": {"x"}},
		CredentialHeaders: []string{"X-Partner"},
		Query:             map[string][]string{"one": {"1"}, "two": {"1", "2"}},
		Params:            map[string]string{"id": "42"},
	})
	header, _ := s["headers"].(map[string]any)
	if len(header) != 1 || header["x-region"] != "eu" {
		t.Errorf("headers are %v", header)
	}
	query, _ := s["query"].(map[string]any)
	if list, ok := query["two"].([]any); query["one"] != "1" || !ok || len(list) != 2 {
		t.Errorf("query is %v", query)
	}
	if s["body"] != nil || s["claims"] == nil || s["route"] != "r" {
		t.Errorf("scope is %v", s)
	}
}

func TestProblemsAreWellDescribed(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range Problems() {
		if seen[p.Slug] || p.Title == "" || p.Meaning == "" || len(p.Statuses) == 0 {
			t.Errorf("%+v", p)
		}
		seen[p.Slug] = true
	}
	for _, b := range wire.BuiltIn() {
		if !seen[b.Slug] || titleOf(b.Slug, b.Status) != b.Title {
			t.Errorf("%+v is described otherwise or not at all", b)
		}
	}
}
