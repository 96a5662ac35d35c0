package jwt

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"headgate/config/secret"
	"headgate/config/yamlsrc"
	"headgate/policies"
	"headgate/policies/policytest"
)

const hmacSecret = "0123456789abcdef0123456789abcdef" // 32 bytes

var (
	rsaKey = sync.OnceValue(func() *rsa.PrivateKey { return generate(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKey  = sync.OnceValue(func() *ecdsa.PrivateKey { return generate(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	edKey  = sync.OnceValue(func() ed25519.PrivateKey { _, k, err := ed25519.GenerateKey(rand.Reader); return generate(k, err) })
	now    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func generate[K any](key K, err error) K {
	if err != nil {
		panic(err)
	}
	return key
}

func pemOf(t testing.TB, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// compileText knows one form of expression: ${{ .claims.NAME }}.
func compileText(n *yamlsrc.Node, roots []string, report *yamlsrc.Report) func(map[string]any) (string, error) {
	name, ok := strings.CutPrefix(strings.TrimSuffix(n.Text, " }}"), "${{ .claims.")
	if !ok || len(roots) != 1 || roots[0] != "claims" {
		report.Addf(n.Pos, n.Path, "", "not an expression over .claims")
		return nil
	}
	return func(scope map[string]any) (string, error) {
		v, ok := scope["claims"].(map[string]any)[name]
		if !ok {
			return "", errors.New("null cannot be a string")
		}
		return fmt.Sprint(v), nil
	}
}

func build(t testing.TB, dir, text string) (*Authenticator, *yamlsrc.Report) {
	t.Helper()
	report := &yamlsrc.Report{}
	node := yamlsrc.Parse("routes.yaml", []byte(text), report)
	a := New(policies.Build{
		Name: "mobile", Node: node, Report: report, Dir: dir,
		Access: secret.Access{Env: []string{"TEST_*"}},
		Deps:   policies.Deps{CompileText: compileText},
	})
	return a, report
}

func must(t testing.TB, dir, text string) *Authenticator {
	t.Helper()
	a, report := build(t, dir, text)
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

// withKey builds an authenticator that verifies with a public key in a file.
func withKey(t testing.TB, key crypto.PublicKey, algorithms, more string) *Authenticator {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), pemOf(t, key), 0o600); err != nil {
		t.Fatal(err)
	}
	return must(t, dir, fmt.Sprintf("issuer: https://id\naudience: headgate\npublic_key: key.pem\nalgorithms: [%s]\n%s", algorithms, more))
}

func claims(change map[string]any) jwt.MapClaims {
	out := jwt.MapClaims{
		"iss": "https://id", "aud": "headgate", "sub": "user-1",
		"exp": now.Add(time.Hour).Unix(), "org": "acme", "scope": "profiles:write tracking:read",
	}
	maps.Copy(out, change)
	maps.DeleteFunc(out, func(_ string, v any) bool { return v == nil })
	return out
}

// sign makes a token; header overrides the usual header, nil values remove.
func sign(t testing.TB, method jwt.SigningMethod, key any, header map[string]any, c jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, c)
	maps.Copy(token.Header, header)
	maps.DeleteFunc(token.Header, func(_ string, v any) bool { return v == nil })
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func request(token string) *policies.Request {
	return &policies.Request{Header: policies.Header{"Authorization": {"Bearer " + token}}, Now: now}
}

func TestConformance(t *testing.T) {
	build := func() policies.Authenticator {
		return withKey(t, rsaKey().Public(), "RS256", "tenant: ${{ .claims.org }}")
	}
	policytest.RunAuthenticator(t, build,
		request(sign(t, jwt.SigningMethodRS256, rsaKey(), nil, claims(nil))),
		request(sign(t, jwt.SigningMethodRS256, rsaKey(), nil, claims(map[string]any{"exp": now.Add(-time.Hour).Unix()}))),
		&policies.Request{Header: policies.Header{"Authorization": {"Basic dXNlcjpwYXNz"}}, Now: now})
}

func TestClaims(t *testing.T) {
	unix := func(d time.Duration) int64 { return now.Add(d).Unix() }
	tests := []struct {
		name    string
		change  map[string]any
		outcome policies.AuthOutcome
		log     string
	}{
		{"fine", nil, policies.Accepted, ""},
		{"several audiences", map[string]any{"aud": []string{"other", "headgate"}}, policies.Accepted, ""},
		{"expired within the leeway", map[string]any{"exp": unix(-29 * time.Second)}, policies.Accepted, ""},
		{"not yet within the leeway", map[string]any{"nbf": unix(29 * time.Second)}, policies.Accepted, ""},
		{"fractions of seconds", map[string]any{"exp": float64(unix(time.Hour)) + 0.5}, policies.Accepted, ""},

		{"expired", map[string]any{"exp": unix(-time.Hour)}, policies.Rejected, "expired at 2026-03-01T11:00:00Z"},
		{"no exp", map[string]any{"exp": nil}, policies.Rejected, "exp claim is required"},
		{"exp as text", map[string]any{"exp": "tomorrow"}, policies.Rejected, "exp is invalid"},
		{"huge exp", map[string]any{"exp": json.Number("1e300")}, policies.Rejected, "expired"},
		{"not yet", map[string]any{"nbf": unix(time.Hour)}, policies.Rejected, "not valid before 2026-03-01T13:00:00Z"},
		{"nbf as text", map[string]any{"nbf": "today"}, policies.Rejected, "nbf is invalid"},
		{"wrong audience", map[string]any{"aud": "other"}, policies.Rejected, `wrong audience "other", accepted: headgate`},
		{"no audience", map[string]any{"aud": nil}, policies.Rejected, "aud claim is required"},
		{"audience of another type", map[string]any{"aud": 5}, policies.Rejected, "aud claim is required"},
		{"no issuer", map[string]any{"iss": nil}, policies.Rejected, "iss claim is required"},
		{"issuer of another type", map[string]any{"iss": []string{"https://id"}}, policies.Rejected, "iss is invalid"},
		{"another issuer", map[string]any{"iss": "https://evil"}, policies.Absent, `wrong issuer "https://evil"`},
		{"issuer with a slash", map[string]any{"iss": "https://id/"}, policies.Absent, "wrong issuer"},
		{"no subject", map[string]any{"sub": nil}, policies.Rejected, "no sub claim"},
		{"empty subject", map[string]any{"sub": ""}, policies.Rejected, "no sub claim"},
		{"subject of spaces", map[string]any{"sub": " "}, policies.Rejected, "no sub claim"},
		{"subject of another type", map[string]any{"sub": []string{"user-1"}}, policies.Rejected, "no sub claim"},
		{"no subject and no tenant", map[string]any{"sub": nil, "org": nil}, policies.Rejected, "no sub claim"},
		{"two reasons", map[string]any{"exp": unix(-time.Hour), "aud": "x"}, policies.Rejected, "; wrong audience"},
		{"no tenant", map[string]any{"org": nil}, policies.Forbidden, "the claims do not have what tenant takes"},
		{"empty tenant", map[string]any{"org": ""}, policies.Forbidden, "is empty"},
		{"tenant of spaces", map[string]any{"org": "  "}, policies.Forbidden, "is empty"},
	}
	a := withKey(t, rsaKey().Public(), "RS256", "tenant: ${{ .claims.org }}")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			token := sign(t, jwt.SigningMethodRS256, rsaKey(), nil, claims(tt.change))
			check(t, a, token, tt.outcome, tt.log)
		})
	}
}

// check asks twice, so that what is remembered is asked as well, and looks for the
// token in what is told.
func check(t *testing.T, a *Authenticator, token string, want policies.AuthOutcome, log string) {
	t.Helper()
	for range 2 {
		p, result := a.Authenticate(context.Background(), request(token))
		if result.Outcome != want || p.Authenticated() != (want == policies.Accepted) {
			t.Fatalf("outcome %d (%s), want %d", result.Outcome, result.Log, want)
		}
		if !strings.Contains(result.Log, log) {
			t.Errorf("log %q lacks %q", result.Log, log)
		}
		for _, part := range strings.Split(token, ".") {
			if len(part) > 8 && strings.Contains(result.Log+result.Detail, part) {
				t.Errorf("a part of the token is told: %q", result.Log)
			}
		}
	}
}

func TestHeader(t *testing.T) {
	evil := "https://evil.example/keys"
	tests := []struct {
		name    string
		header  map[string]any
		outcome policies.AuthOutcome
		log     string
	}{
		{"no typ", map[string]any{"typ": nil}, policies.Accepted, ""},
		{"access token", map[string]any{"typ": "at+JWT"}, policies.Accepted, ""},
		{"full media type", map[string]any{"typ": "application/at+jwt"}, policies.Accepted, ""},
		{"jku, x5u, jwk and x5c are ignored", map[string]any{"jku": evil, "x5u": evil, "jwk": map[string]any{"kty": "oct", "k": "AAAA"}, "x5c": []string{"AAAA"}}, policies.Accepted, ""},
		{"kid does not matter for one key", map[string]any{"kid": "../../etc/passwd"}, policies.Accepted, ""},
		{"other typ", map[string]any{"typ": "logout+jwt"}, policies.Rejected, `wrong typ "logout+jwt"`},
		{"typ of another type", map[string]any{"typ": 5}, policies.Rejected, "wrong typ"},
		{"crit", map[string]any{"crit": []string{"exp"}}, policies.Rejected, "critical"},
		{"empty crit", map[string]any{"crit": []string{}}, policies.Rejected, "critical"},
		{"crit null", map[string]any{"crit": json.RawMessage("null")}, policies.Rejected, "critical"},
	}
	a := withKey(t, rsaKey().Public(), "RS256", "")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check(t, a, sign(t, jwt.SigningMethodRS256, rsaKey(), tt.header, claims(nil)), tt.outcome, tt.log)
		})
	}
}

func TestForgeries(t *testing.T) {
	a := withKey(t, rsaKey().Public(), "RS256", "")
	good := sign(t, jwt.SigningMethodRS256, rsaKey(), nil, claims(nil))
	parts := strings.Split(good, ".")
	segment := func(v any) string {
		raw, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	other := generate(rsa.GenerateKey(rand.Reader, 2048))
	publicPEM := pemOf(t, rsaKey().Public())
	tests := []struct{ name, token, log string }{
		{"public key as shared secret", sign(t, jwt.SigningMethodHS256, publicPEM, nil, claims(nil)), `wrong algorithm "HS256"`},
		{"none", sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, claims(nil)), `wrong algorithm "none"`},
		{"None", segment(map[string]string{"alg": "None"}) + "." + parts[1] + ".", `wrong algorithm "None"`},
		{"no alg", segment(map[string]string{}) + "." + parts[1] + "." + parts[2], "wrong algorithm"},
		{"alg as list", segment(map[string]any{"alg": []string{"RS256"}}) + "." + parts[1] + "." + parts[2], "wrong algorithm"},
		{"algorithm that is not listed", sign(t, jwt.SigningMethodRS512, rsaKey(), nil, claims(nil)), `wrong algorithm "RS512", accepted: RS256`},
		{"same key, PSS", sign(t, jwt.SigningMethodPS256, rsaKey(), nil, claims(nil)), `wrong algorithm "PS256"`},
		{"another key", sign(t, jwt.SigningMethodRS256, other, nil, claims(nil)), "signature does not fit"},
		{"no signature", parts[0] + "." + parts[1] + ".", "signature does not fit"},
		{"claims changed", parts[0] + "." + segment(claims(map[string]any{"sub": "admin"})) + "." + parts[2], "signature does not fit"},
		{"signature cut", good[:len(good)-6], "signature does not fit"},
		{"two parts", parts[0] + "." + parts[1], "malformed"},
		{"four parts", good + ".x", "malformed"},
		{"padding", parts[0] + "=." + parts[1] + "." + parts[2], "malformed"},
		{"not base64", "a.b!.c", "malformed"},
		{"not JSON", base64.RawURLEncoding.EncodeToString([]byte("{")) + ".e30.e30", "malformed"},
		{"null header", segment(nil) + "." + parts[1] + "." + parts[2], "wrong algorithm"},
		{"too long", strings.Repeat("a", maxToken+1), "more than 8192"},
		{"empty", "", "empty"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { check(t, a, tt.token, policies.Rejected, tt.log) })
	}
	check(t, a, good, policies.Accepted, "")
}

func TestEveryAlgorithm(t *testing.T) {
	keys := map[family]crypto.Signer{familyRSA: rsaKey(), familyEC: ecKey(), familyEd: edKey()}
	for _, name := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "EdDSA"} {
		key := keys[families[name]]
		a := withKey(t, key.Public(), name, "")
		check(t, a, sign(t, jwt.GetSigningMethod(name), key, nil, claims(nil)), policies.Accepted, "")
	}
	for name, size := range map[string]int{"HS256": 32, "HS384": 48, "HS512": 64} {
		t.Run(name, func(t *testing.T) {
			text := strings.Repeat("k", size)
			t.Setenv("TEST_KEY", text)
			a := must(t, "", fmt.Sprintf("{issuer: https://id, audience: headgate, key: {env: TEST_KEY}, algorithms: [%s]}", name))
			check(t, a, sign(t, jwt.GetSigningMethod(name), []byte(text), nil, claims(nil)), policies.Accepted, "")
			t.Setenv("TEST_KEY", text[1:])
			a = must(t, "", fmt.Sprintf("{issuer: https://id, audience: headgate, key: {env: TEST_KEY}, algorithms: [%s]}", name))
			check(t, a, sign(t, jwt.GetSigningMethod(name), []byte(text[1:]), nil, claims(nil)), policies.Unavailable, fmt.Sprintf("needs %d", size))
			if a.Health() == nil {
				t.Error("healthy with a short secret")
			}
		})
	}
}

func TestPrincipal(t *testing.T) {
	tests := []struct {
		name, yaml string
		change     map[string]any
		id, tenant string
		scopes     []string
	}{
		{"usual", "tenant: ${{ .claims.org }}", nil, "user-1", "mobile/acme", []string{"profiles:write", "tracking:read"}},
		{"no tenant configured", "", nil, "user-1", "mobile/", []string{"profiles:write", "tracking:read"}},
		{"scp list", "", map[string]any{"scope": nil, "scp": []string{"a", "b"}}, "user-1", "mobile/", []string{"a", "b"}},
		{"own claim", "scopes_claim: permissions", map[string]any{"permissions": []any{"p", 5}}, "user-1", "mobile/", []string{"p"}},
		{"own claim, missing", "scopes_claim: permissions", nil, "user-1", "mobile/", nil},
		{"digits are kept", "tenant: ${{ .claims.org }}", map[string]any{"org": json.Number("12345678901234567890")}, "user-1", "mobile/12345678901234567890", []string{"profiles:write", "tracking:read"}},
		{"subject is a number", "", map[string]any{"sub": 42}, "42", "mobile/", []string{"profiles:write", "tracking:read"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := withKey(t, rsaKey().Public(), "RS256", tt.yaml)
			p, result := a.Authenticate(context.Background(), request(sign(t, jwt.SigningMethodRS256, rsaKey(), nil, claims(tt.change))))
			if result.Outcome != policies.Accepted {
				t.Fatal(result.Log)
			}
			if p.ID != tt.id || p.TenantKey() != tt.tenant || fmt.Sprint(p.Scopes) != fmt.Sprint(tt.scopes) {
				t.Errorf("principal %+v", p)
			}
			if p.Claims["iss"] != "https://id" {
				t.Errorf("claims %v", p.Claims)
			}
		})
	}
}

// TestUnreadableSecret: whether a token is good cannot be told without its key, and is
// told again once it is there.
func TestUnreadableSecret(t *testing.T) {
	t.Setenv("TEST_KEY", "")
	a := must(t, "", "{issuer: https://id, audience: headgate, key: {env: TEST_KEY}, algorithms: [HS256]}")
	a.source.(*static).every = 0
	token := sign(t, jwt.SigningMethodHS256, []byte(hmacSecret), nil, claims(nil))
	check(t, a, token, policies.Unavailable, "TEST_KEY is not set or empty")
	check(t, a, sign(t, jwt.SigningMethodHS256, []byte(hmacSecret), nil, claims(map[string]any{"iss": "https://other"})), policies.Absent, "wrong issuer")
	t.Setenv("TEST_KEY", hmacSecret)
	check(t, a, token, policies.Accepted, "")
}

func TestWhereTheTokenIs(t *testing.T) {
	good := sign(t, jwt.SigningMethodRS256, rsaKey(), nil, claims(nil))
	tests := []struct {
		name, yaml string
		header     policies.Header
		outcome    policies.AuthOutcome
	}{
		{"bearer", "", policies.Header{"Authorization": {"Bearer " + good}}, policies.Accepted},
		{"scheme in small letters", "", policies.Header{"Authorization": {"bearer  " + good}}, policies.Accepted},
		{"own header", "header: x-token", policies.Header{"X-Token": {good}}, policies.Accepted},
		{"own header with a scheme", "header: X-Token", policies.Header{"X-Token": {"Bearer " + good}}, policies.Accepted},
		{"no header", "", policies.Header{}, policies.Absent},
		{"another scheme", "", policies.Header{"Authorization": {"DPoP " + good}}, policies.Absent},
		{"no scheme", "", policies.Header{"Authorization": {good}}, policies.Absent},
		{"scheme only", "", policies.Header{"Authorization": {"Bearer"}}, policies.Rejected},
		{"two headers", "", policies.Header{"Authorization": {"Bearer " + good, "Bearer " + good}}, policies.Rejected},
		{"own header, in the usual place", "header: X-Token", policies.Header{"Authorization": {"Bearer " + good}}, policies.Absent},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := withKey(t, rsaKey().Public(), "RS256", tt.yaml)
			_, result := a.Authenticate(context.Background(), &policies.Request{Header: tt.header, Now: now})
			if result.Outcome != tt.outcome {
				t.Errorf("outcome %d (%s), want %d", result.Outcome, result.Log, tt.outcome)
			}
		})
	}
}

func TestWithoutExpressions(t *testing.T) {
	a := withKey(t, rsaKey().Public(), "RS256", "")
	a.tenant = func(map[string]any) (string, error) { return "", errNoExpressions }
	check(t, a, sign(t, jwt.SigningMethodRS256, rsaKey(), nil, claims(nil)), policies.Forbidden, "not available")
}
