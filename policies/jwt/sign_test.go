package jwt

import (
	"testing"
	"time"

	"headgate/config/secret"
	"headgate/policies"
)

func TestSignedTokenIsAccepted(t *testing.T) {
	t.Setenv("SIGN_TEST_KEY", "a-key-of-at-least-thirty-two-bytes!")
	cfg := &Config{
		Issuer: "https://id.example.com", Audience: policies.Strings{"headgate"}, Key: secret.Ref{Env: "SIGN_TEST_KEY"},
		Algorithms: []string{"HS256"}, Header: "Authorization", ScopesClaim: "permissions",
	}
	a := newAuthenticator("mobile", cfg, newStatic(secretLoader(cfg.Key, cfg.Algorithms)), nil)
	defer a.Close()
	token, err := a.Sign(map[string]any{"sub": "alice", "scope": "a b"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	r := &policies.Request{Header: policies.Header{"Authorization": {"Bearer " + token}}, Now: time.Now()}
	p, result := a.Authenticate(t.Context(), r)
	if result.Outcome != policies.Accepted || p.ID != "alice" || !p.HasScopes([]string{"a", "b"}) {
		t.Fatalf("%+v %+v", p, result)
	}
	for _, claims := range []map[string]any{nil, {"sub": ""}} {
		if token, err := a.Sign(claims, time.Minute); err == nil {
			t.Errorf("a token that would be refused was signed: %s", token)
		}
	}
	r.Now = r.Now.Add(time.Hour)
	if _, result := a.Authenticate(t.Context(), r); result.Outcome != policies.Rejected {
		t.Fatalf("accepted an hour after: %+v", result)
	}
}

func TestOnlySharedSecretsCanSign(t *testing.T) {
	a := newAuthenticator("mobile", &Config{Issuer: "i", Audience: policies.Strings{"a"}, JWKSURL: "https://x.example"}, newStatic(nil), nil)
	if _, err := a.Sign(nil, time.Minute); err == nil || a.CanSign() {
		t.Fatal("a token of a public key was signed")
	}
}
