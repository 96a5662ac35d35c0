package routes

import (
	"context"
	"testing"
	"time"

	"headgate/policies"
	"headgate/policies/policytest"
)

func authOf(names ...string) *Auth {
	var closed []string
	var list []named
	for _, n := range names {
		list = append(list, named{&fakeAuth{name: n, closed: &closed}, n})
	}
	return newAuth(list)
}

func request(credentials string) *policies.Request {
	return &policies.Request{Header: policies.Header{"Authorization": {credentials}}}
}

func TestAuthCheck(t *testing.T) {
	const both = `Fake realm="first", Fake realm="second"`
	for name, tc := range map[string]struct {
		credentials string
		status      int
		kind        string
		challenge   string
		principal   string
		log         string
	}{
		"the first":      {"first", 0, "", "", "first", ""},
		"the second":     {"second", 0, "", "", "second", ""},
		"none":           {"", 401, "unauthenticated", both, "", "first: nothing here; second: nothing here"},
		"rejected":       {"first bad", 401, "invalid-credentials", both, "", "first: wrong key"},
		"no tenant":      {"second homeless", 403, "no-tenant", "", "", "second: no org"},
		"cannot tell":    {"first keyless", 503, "unavailable", "", "", "first: no keys"},
		"strange answer": {"first odd", 0, "forbidden", "", "", "first: : unknown outcome"},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(tc.credentials)
			d := authOf("first", "second").Check(context.Background(), r)
			if d.Allow != (tc.principal != "") || d.Problem.Status != tc.status || d.Problem.Type != tc.kind || d.Log != tc.log {
				t.Errorf("%+v", d)
			}
			if got := d.Headers["WWW-Authenticate"]; got != tc.challenge {
				t.Errorf("challenge %q, want %q", got, tc.challenge)
			}
			if r.Principal.Authenticator != tc.principal || (tc.principal == "" && r.Principal.ID != "") {
				t.Errorf("principal %+v", r.Principal)
			}
		})
	}
}

func TestAuthSaysWhenToComeBack(t *testing.T) {
	d := authOf("first").Check(context.Background(), request("first keyless"))
	if d.Problem.Retry != time.Second || d.Problem.Title != "Temporarily unavailable" || d.Problem.Detail == "" {
		t.Errorf("%+v", d.Problem)
	}
}

func TestAuthConforms(t *testing.T) {
	policytest.Run(t, func() policies.Policy { return authOf("first", "second") }, request("second"), request("first bad"))
}
