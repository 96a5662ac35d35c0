package jwt

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headgate/config/yamlsrc"
	"headgate/policies"
)

func TestProblems(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"rsa.pem":     string(pemOf(t, rsaKey().Public())),
		"private.pem": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"text.pem":    "hello",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const base = "issuer: https://id\naudience: headgate\n"
	const jwks = base + "jwks_url: https://id/keys\n"
	tests := []struct{ name, yaml, want string }{
		{"nothing", "", `"issuer" is missing`},
		{"a list", "[]", "should be a mapping"},
		{"empty", "{}", `"issuer" is missing`},
		{"no audience", "{issuer: a, jwks_url: https://id/k, algorithms: [RS256]}", `"audience" is missing`},
		{"empty issuer", "issuer: ''\naudience: a\njwks_url: https://id/k\nalgorithms: [RS256]", "routes.yaml:1:9: the issuer is empty"},
		{"empty audience", "{issuer: a, audience: [], jwks_url: https://id/k, algorithms: [RS256]}", "no audience"},
		{"blank audience", "{issuer: a, audience: [''], jwks_url: https://id/k, algorithms: [RS256]}", "an audience is empty"},
		{"no algorithms", jwks, `"algorithms" is missing`},
		{"empty algorithms", jwks + "algorithms: []", "no algorithm is given"},
		{"unknown algorithm", jwks + "algorithms: [RS25]", "routes.yaml:4:14: unknown algorithm \"RS25\""},
		{"none", jwks + "algorithms: [none]", `unknown algorithm "none"`},
		{"two families", base + "key: {env: TEST_KEY}\nalgorithms: [HS256, RS256]", "different families"},
		{"HS with a key set", jwks + "algorithms: [HS256]", "HS256 needs a shared secret"},
		{"HS with a public key", base + "public_key: rsa.pem\nalgorithms: [HS256]", "HS256 needs a shared secret"},
		{"RS with a secret", base + "key: {env: TEST_KEY}\nalgorithms: [RS256]", "RS256 needs a public key"},
		{"no keys", base + "algorithms: [RS256]", "0 sources of keys"},
		{"two sources", jwks + "public_key: rsa.pem\nalgorithms: [RS256]", "2 sources of keys"},
		{"secret in clear", base + "key: hunter2\nalgorithms: [HS256]", "must not stand in the file in clear"},
		{"secret of the operator", base + "key: {env: REDIS_PASSWORD}\nalgorithms: [HS256]", "routes may not read the environment variable REDIS_PASSWORD"},
		{"plain http", base + "jwks_url: http://id.example.com/keys\nalgorithms: [RS256]", "write https://"},
		{"not a URL", base + "jwks_url: keys.json\nalgorithms: [RS256]", "is not the URL of a key set"},
		{"URL with a password", base + "jwks_url: https://u:p@id/keys\nalgorithms: [RS256]", "no credentials"},
		{"no such PEM", base + "public_key: nowhere.pem\nalgorithms: [RS256]", "nowhere.pem"},
		{"not a PEM", base + "public_key: text.pem\nalgorithms: [RS256]", "not a PEM file"},
		{"private key", base + "public_key: private.pem\nalgorithms: [RS256]", "it holds a PRIVATE KEY"},
		{"PEM elsewhere", base + "public_key: ../key.pem\nalgorithms: [RS256]", "routes may not read the file ../key.pem"},
		{"PEM anywhere", base + "public_key: /etc/ssl/key.pem\nalgorithms: [RS256]", "routes may not read the file"},
		{"algorithm of another key", base + "public_key: rsa.pem\nalgorithms: [ES256]", "ES256 does not fit the key in rsa.pem"},
		{"tenant is a mapping", jwks + "algorithms: [RS256]\ntenant: {a: b}", "tenant should be an expression"},
		{"tenant from the request", jwks + "algorithms: [RS256]\ntenant: ${{ .headers.org }}", "not an expression over .claims"},
		{"leeway", jwks + "algorithms: [RS256]\nleeway: 1h", "a leeway of 1h"},
		{"header", jwks + "algorithms: [RS256]\nheader: 'X Token'", "not the name of a header"},
		{"unknown key", jwks + "algorithms: [RS256]\naudiences: [a]", `did you mean "audience"?`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, report := build(t, dir, tt.yaml)
			if a != nil {
				t.Error("built in spite of it")
			}
			if err := report.Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("problems: %v\nwant %q", err, tt.want)
			}
		})
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	_, report := build(t, t.TempDir(), "audience: []\nalgorithms: [RS1]\nleeway: 1h\nkey: {env: X}\npublic_key: x.pem")
	if report.Len() < 5 {
		t.Errorf("only %d: %v", report.Len(), report.Err())
	}
}

func TestAccepted(t *testing.T) {
	for _, url := range []string{"https://id.example.com/keys", "http://localhost:8080/k", "http://127.0.0.1/k", "http://[::1]:1/k", "http://idp:8080/k", "http://idp.auth.svc/k"} {
		if a, report := build(t, "", "{issuer: a, audience: [b, c], algorithms: [RS256, ES256], jwks_url: '"+url+"'}"); a == nil {
			t.Errorf("%s: %v", url, report.Err())
		}
	}
}

func TestRegister(t *testing.T) {
	r := policies.NewRegistry()
	Register(r)
	report := &yamlsrc.Report{}
	node := yamlsrc.Parse("routes.yaml", []byte("{}"), report)
	if a := r.BuildAuthenticator("jwt", node.Pos, policies.Build{Node: node, Report: report}); a != nil {
		t.Errorf("a typed nil came back as %v", a)
	}
}
