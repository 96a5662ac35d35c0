package scopes

import (
	"context"
	"strings"
	"testing"

	"headgate/policies"
	"headgate/policies/policytest"
)

func with(scopes ...string) *policies.Request {
	return &policies.Request{Principal: policies.Principal{Authenticator: "mobile", ID: "u1", Scopes: scopes}}
}

func TestConformance(t *testing.T) {
	build := func() policies.Policy { return New([]string{"profiles:write"}) }
	policytest.Run(t, build, with("profiles:write"), with("profiles:read"))
}

func TestScopes(t *testing.T) {
	tests := []struct {
		name     string
		required []string
		have     []string
		allow    bool
	}{
		{"all there", []string{"a", "b"}, []string{"b", "x", "a"}, true},
		{"one missing", []string{"a", "b"}, []string{"a"}, false},
		{"none there", []string{"a"}, nil, false},
		{"none asked", nil, nil, true},
		{"a prefix is not enough", []string{"profiles:write"}, []string{"profiles"}, false},
		{"case counts", []string{"A"}, []string{"a"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := New(tt.required).Check(context.Background(), with(tt.have...))
			if d.Allow != tt.allow {
				t.Fatalf("allow = %v, want %v", d.Allow, tt.allow)
			}
		})
	}
}

func TestDenialNamesScopes(t *testing.T) {
	d := New([]string{"a", "b"}).Check(context.Background(), with("a"))
	if got, want := d.Headers["WWW-Authenticate"], `Bearer error="insufficient_scope", scope="a b"`; got != want {
		t.Errorf("challenge = %s, want %s", got, want)
	}
	if d.Problem.Status != 403 || d.Problem.Type != "insufficient-scope" {
		t.Errorf("problem = %+v", d.Problem)
	}
	if !strings.Contains(d.Log, `["b"]`) {
		t.Errorf("log does not name the missing scope: %s", d.Log)
	}
}

func TestChallengeCannotBeBrokenOut(t *testing.T) {
	d := New([]string{"a\"\r\nX-Evil: 1"}).Check(context.Background(), with())
	if strings.ContainsAny(d.Headers["WWW-Authenticate"], "\r\n") {
		t.Errorf("line break in a header: %q", d.Headers["WWW-Authenticate"])
	}
}
