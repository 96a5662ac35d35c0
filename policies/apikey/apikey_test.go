package apikey

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"headgate/config/yamlsrc"
	"headgate/policies"
	"headgate/policies/policytest"
)

const acmeKey = "acme-key-of-some-length-0001"

func sum(key string) string {
	s := sha256.Sum256([]byte(key))
	return hex.EncodeToString(s[:])
}

func build(t testing.TB, text string) (*Authenticator, *yamlsrc.Report) {
	t.Helper()
	report := &yamlsrc.Report{}
	node := yamlsrc.Parse("routes.yaml", []byte(text), report)
	return New(policies.Build{Name: "partners", Node: node, Report: report}), report
}

func good(t testing.TB) *Authenticator {
	t.Helper()
	a, report := build(t, fmt.Sprintf(`
keys:
- {id: acme, sha256: "%s", tenant: acme, scopes: ["profiles:write"]}
- {id: beta, sha256: "%s"}
`, sum(acmeKey), strings.ToUpper(sum("beta-key"))))
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	return a
}

func request(values ...string) *policies.Request {
	return &policies.Request{Header: policies.Header{"X-Api-Key": values}}
}

func TestConformance(t *testing.T) {
	policytest.RunAuthenticator(t, func() policies.Authenticator { return good(t) },
		request(acmeKey), request("not-a-key-that-is-known"), &policies.Request{})
}

func TestAuthenticate(t *testing.T) {
	tests := []struct {
		name    string
		values  []string
		outcome policies.AuthOutcome
		id      string
		log     string
	}{
		{"first", []string{acmeKey}, policies.Accepted, "acme", ""},
		{"second", []string{"beta-key"}, policies.Accepted, "beta", ""},
		{"unknown", []string{"gamma"}, policies.Rejected, "", "not known"},
		{"the hash is not the key", []string{sum(acmeKey)}, policies.Rejected, "", "not known"},
		{"space counts", []string{acmeKey + " "}, policies.Rejected, "", "not known"},
		{"empty", []string{""}, policies.Rejected, "", "empty"},
		{"two headers", []string{acmeKey, acmeKey}, policies.Rejected, "", "2 headers"},
		{"huge", []string{strings.Repeat("x", maxKey+1)}, policies.Rejected, "", "bytes long"},
		{"none", nil, policies.Absent, "", "no X-Api-Key"},
	}
	a := good(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, result := a.Authenticate(context.Background(), request(tt.values...))
			if result.Outcome != tt.outcome || p.ID != tt.id {
				t.Errorf("outcome %d, id %q (%s)", result.Outcome, p.ID, result.Log)
			}
			if !strings.Contains(result.Log, tt.log) {
				t.Errorf("log %q lacks %q", result.Log, tt.log)
			}
		})
	}
	p, _ := a.Authenticate(context.Background(), request(acmeKey))
	if p.TenantKey() != "partners/acme" || !p.HasScopes([]string{"profiles:write"}) {
		t.Errorf("principal %+v", p)
	}
}

func TestProblems(t *testing.T) {
	hash := sum("k")
	tests := []struct{ name, yaml, want string }{
		{"no keys", "header: X-Key", `"keys" is missing`},
		{"empty keys", "keys: []", "nobody could pass"},
		{"key in clear", "keys: [{id: a, sha256: hunter2-hunter2}]", "printf %s KEY | sha256sum"},
		{"not hex", fmt.Sprintf("keys: [{id: a, sha256: %s}]", strings.Repeat("z", 64)), "64 hex digits"},
		{"same id", fmt.Sprintf("keys:\n- {id: a, sha256: %s}\n- {id: a, sha256: %s}", hash, sum("l")), `routes.yaml:3:8: the id "a" is used twice`},
		{"same key", fmt.Sprintf("keys:\n- {id: a, sha256: %s}\n- {id: b, sha256: %s}", hash, strings.ToUpper(hash)), "keys[0] is the same key"},
		{"no id", fmt.Sprintf("keys: [{sha256: %s}]", hash), `"id" is missing`},
		{"empty id", fmt.Sprintf("keys: [{id: '', sha256: %s}]", hash), "the id is empty"},
		{"bad header", fmt.Sprintf("header: 'X Key'\nkeys: [{id: a, sha256: %s}]", hash), "not the name of a header"},
		{"unknown key", fmt.Sprintf("keys: [{id: a, sha256: %s, scope: [a]}]", hash), `did you mean "scopes"?`},
		{"not a mapping", "keys: [abc]", "should be a mapping"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, report := build(t, tt.yaml)
			if a != nil {
				t.Error("built in spite of it")
			}
			if err := report.Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("problems: %v\nwant %q", err, tt.want)
			}
		})
	}
}

func TestProblemDoesNotRepeatTheKey(t *testing.T) {
	_, report := build(t, "keys: [{id: a, sha256: hunter2-hunter2}]")
	for _, p := range report.Problems() {
		if strings.Contains(p.Message+p.Hint, "hunter2") {
			t.Errorf("the key is repeated: %s", p.Message)
		}
	}
}

func TestRegister(t *testing.T) {
	r := policies.NewRegistry()
	Register(r)
	report := &yamlsrc.Report{}
	node := yamlsrc.Parse("routes.yaml", []byte("{}"), report)
	if a := r.BuildAuthenticator("api_key", node.Pos, policies.Build{Node: node, Report: report}); a != nil {
		t.Errorf("a typed nil came back as %v", a)
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	a, r := good(b), request(acmeKey)
	for b.Loop() {
		if _, result := a.Authenticate(context.Background(), r); result.Outcome != policies.Accepted {
			b.Fatal(result.Log)
		}
	}
}
