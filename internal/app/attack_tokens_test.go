package app_test

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// guarded is a route for two tenants of a key each, and for an issuer's tokens.
const guardedRoute = `
auth:
  partners:
    api_key:
      keys:
        - {id: acme, sha256: ACME, tenant: acme, scopes: [write]}
        - {id: evil, sha256: EVIL, tenant: evil, scopes: [write]}
  issuer:
    jwt: {issuer: https://id.example.com, audience: headgate, public_key: PEM, algorithms: [RS256], tenant: "${{ .claims.org }}"}
targets:
  crm: {url: "CRM", post: /}
routes:
  - name: records
    match: POST /records/:id
    auth: {any: [issuer, partners], scopes: [write]}
    targets: {crm: }
`

// guardedRig starts the route; pem is the issuer's public key as its file holds it.
func guardedRig(t *testing.T, key *rsa.PrivateKey) (r *attackRig, public []byte) {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	public = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	file := filepath.Join(t.TempDir(), "issuer.pem")
	if err := os.WriteFile(file, public, 0o600); err != nil {
		t.Fatal(err)
	}
	sum := func(key string) string { s := sha256.Sum256([]byte(key)); return hex.EncodeToString(s[:]) }
	crm := serve(t, "127.0.0.1:0", func(w http.ResponseWriter, _ *http.Request) { says(w, 200, `{}`) })
	routes := strings.NewReplacer("ACME", sum("key-of-acme"), "EVIL", sum("key-of-evil"), "PEM", file, "CRM", crm.URL).Replace(guardedRoute)
	return attacked(t, "", routes, nil), public
}

func segment(v any) string {
	text, _ := json.Marshal(v)
	return base64.RawURLEncoding.EncodeToString(text)
}

// Tokens that nobody signed: no algorithm, another algorithm under the public key, a kid
// that names a file or a query, keys that the token brings along. In more detail:
// TestForgeries, TestHeader and TestKeyIsForOneAlgorithm in policies/jwt.
func TestAttackForgedTokens(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	r, public := guardedRig(t, key)
	claims := segment(map[string]any{
		"iss": "https://id.example.com", "aud": "headgate", "sub": "admin", "org": "acme", "scope": "write", "exp": time.Now().Add(time.Hour).Unix(),
	})
	hs256 := func(header map[string]any, secret []byte) string {
		signed := segment(header) + "." + claims
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(signed))
		return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	for name, token := range map[string]string{
		"none":                   segment(map[string]any{"alg": "none"}) + "." + claims + ".",
		"None":                   segment(map[string]any{"alg": "nOnE"}) + "." + claims + ".",
		"confusion, PEM":         hs256(map[string]any{"alg": "HS256"}, public),
		"confusion, trimmed PEM": hs256(map[string]any{"alg": "HS256"}, []byte(strings.TrimSpace(string(public)))),
		"confusion, RS256":       hs256(map[string]any{"alg": "RS256"}, public),
		"kid of an empty file":   hs256(map[string]any{"alg": "HS256", "kid": "../../../../dev/null"}, nil),
		"kid as a query":         hs256(map[string]any{"alg": "HS256", "kid": "x' UNION SELECT 'a'--"}, []byte("a")),
		"kid as a command":       hs256(map[string]any{"alg": "HS256", "kid": "|sleep 5"}, nil),
		"key brought along":      hs256(map[string]any{"alg": "HS256", "jwk": map[string]any{"kty": "oct", "k": "YQ"}}, []byte("a")),
		"key fetched":            hs256(map[string]any{"alg": "HS256", "jku": "http://evil.test/keys"}, []byte("a")),
		"crit":                   hs256(map[string]any{"alg": "RS256", "crit": []string{"exp"}}, nil),
		"no signature":           segment(map[string]any{"alg": "RS256"}) + "." + claims + ".",
		"garbage":                "a.b.c",
	} {
		r.token = token
		status, text, err := r.do(t.Context(), http.MethodPost, "/records/1", `{}`)
		if err != nil || status != http.StatusUnauthorized || strings.Contains(string(text), "sql") || strings.Contains(string(text), "dev/null") {
			t.Errorf("%s: %d %s %v", name, status, text, err)
		}
	}
	signed := segment(map[string]any{"alg": "RS256", "kid": "../../etc/passwd"}) + "." + claims
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	r.token = signed + "." + base64.RawURLEncoding.EncodeToString(signature)
	if status, text, err := r.do(t.Context(), http.MethodPost, "/records/1", `{}`); err != nil || status != http.StatusAccepted {
		t.Errorf("the issuer's own: %d %s %v", status, text, err)
	}
}

// Another tenant's tracking ID: looking, waiting, canceling and replaying answer as for
// one that never was, byte for byte, and nothing happens to the dispatch.
func TestAttackForeignTrackingID(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	r, _ := guardedRig(t, key)
	r.token = "none of theirs" // the header of keys counts
	status, text, err := r.do(t.Context(), http.MethodPost, "/records/1", `{}`, "Authorization", "", "X-Api-Key", "key-of-acme")
	var accepted struct {
		ID string `json:"tracking_id"`
	}
	if err != nil || status != http.StatusAccepted || json.Unmarshal(text, &accepted) != nil {
		t.Fatalf("%d %s %v", status, text, err)
	}
	last := accepted.ID[len(accepted.ID)-1:]
	never := accepted.ID[:len(accepted.ID)-1] + map[bool]string{true: "B", false: "A"}[last == "A"]
	for _, c := range []struct{ method, suffix string }{
		{http.MethodGet, ""}, {http.MethodGet, "?wait=1"}, {http.MethodDelete, ""}, {http.MethodPost, "/replay"},
	} {
		foreign, said, err := r.do(t.Context(), c.method, "/tracking/"+accepted.ID+c.suffix, "", "Authorization", "", "X-Api-Key", "key-of-evil", "Prefer", "wait=1")
		unknown, saidUnknown, errUnknown := r.do(t.Context(), c.method, "/tracking/"+never+c.suffix, "", "Authorization", "", "X-Api-Key", "key-of-evil", "Prefer", "wait=1")
		if err != nil || errUnknown != nil || foreign != http.StatusNotFound || unknown != foreign || string(said) != string(saidUnknown) {
			t.Errorf("%s %s: %d %s, an unknown one %d %s", c.method, c.suffix, foreign, said, unknown, saidUnknown)
		}
		if status, _, err := r.do(t.Context(), c.method, "/tracking/"+accepted.ID+c.suffix, "", "Authorization", ""); err != nil || status != http.StatusUnauthorized {
			t.Errorf("%s %s without credentials: %d %v", c.method, c.suffix, status, err)
		}
	}
	status, text, err = r.do(t.Context(), http.MethodGet, "/tracking/"+accepted.ID, "", "Authorization", "", "X-Api-Key", "key-of-acme", "Prefer", "wait=10")
	if err != nil || status != http.StatusOK || !strings.Contains(string(text), `"status":"succeeded"`) {
		t.Errorf("its owner sees %d %s %v", status, text, err)
	}
	// The same idempotency key of another tenant is another key.
	for i, who := range []string{"key-of-acme", "key-of-evil"} {
		status, text, err := r.do(t.Context(), http.MethodPost, "/records/1", `{}`, "Authorization", "", "X-Api-Key", who, "Idempotency-Key", "shared")
		if err != nil || status != http.StatusAccepted || (i > 0 && strings.Contains(string(text), accepted.ID)) {
			t.Errorf("%s: %d %s %v", who, status, text, err)
		}
		_ = json.Unmarshal(text, &accepted)
	}
}

// A client writes the address it would like to have. Limits go by the connection, unless
// a proxy that is trusted speaks. In more detail: TestClientAddr in gateway.
func TestAttackForgedForwardedFor(t *testing.T) {
	const routes = `
targets: {crm: {url: "http://127.0.0.1:1", post: /}}
routes: [{name: records, match: POST /records, auth: none, rate_limit: [{limit: 3, per: 1h, by: ip}], targets: {crm: }}]
`
	for name, c := range map[string]struct {
		operator, header string
		passes           bool
	}{
		"untrusted":        {"", "203.0.113.%d", false},
		"behind the proxy": {"trusted_proxies: [127.0.0.1]\n", "203.0.113.%d", true},
		"left of the peer": {"trusted_proxies: [127.0.0.1]\n", "203.0.113.%d, 198.51.100.7", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := attacked(t, c.operator, routes, nil)
			limited := 0
			for i := range 8 {
				forged := fmt.Sprintf(c.header, i)
				status, text, err := r.do(t.Context(), http.MethodPost, "/records", `{}`, "X-Forwarded-For", forged, "X-Real-Ip", forged, "Forwarded", "for="+forged, "Cf-Connecting-Ip", forged)
				switch {
				case err != nil:
					t.Fatal(err)
				case status == http.StatusTooManyRequests:
					limited++
				case status != http.StatusAccepted:
					t.Errorf("%d %s", status, text)
				}
			}
			if want := map[bool]int{true: 0, false: 5}[c.passes]; limited != want {
				t.Errorf("%d of 8 were limited, want %d", limited, want)
			}
		})
	}
}
