package jwt

import (
	"net"
	"net/url"
	"strings"
	"time"

	"headgate/config/secret"
	"headgate/config/unit"
	"headgate/config/yamlsrc"
	"headgate/policies"
)

// Config is the YAML of an authenticator for JSON Web Tokens.
type Config struct {
	Issuer      string           `yaml:"issuer,required" jsonschema_description:"The iss that tokens must have. They must also have exp, and a sub that is not empty: limits are counted by it."`
	Audience    policies.Strings `yaml:"audience,required" jsonschema_description:"The aud that tokens must have; of several, one." jsonschema:"oneof_type=string;array"`
	JWKSURL     string           `yaml:"jwks_url" jsonschema_description:"Where the issuer publishes its keys. They are fetched in the background, never for a request. A token with a kid that is not among them is refused."`
	Key         secret.Ref       `yaml:"key" jsonschema_description:"Shared secret for HS256, HS384 and HS512; at least as long as the hash (32, 48, 64 bytes). It is the one key, so the kid of a token is ignored."`
	PublicKey   string           `yaml:"public_key" jsonschema_description:"Path of a PEM file with the issuer's public key (RSA, ECDSA or Ed25519), absolute or relative to this file. It is the one key, so the kid of a token is ignored."`
	Algorithms  []string         `yaml:"algorithms,required" jsonschema_description:"Accepted signature algorithms, such as [RS256]. Shared secrets (HS…) and public keys are never mixed."`
	Tenant      *yamlsrc.Node    `yaml:"tenant" jsonschema_description:"Expression over .claims that gives the tenant, such as ${{ .claims.org }}. A token for which it gives nothing is refused with 403." jsonschema:"type=string"`
	ScopesClaim string           `yaml:"scopes_claim" jsonschema_description:"Claim that holds the scopes, as a list or separated by spaces. Default: scope, else scp."`
	Leeway      unit.Duration    `yaml:"leeway" jsonschema_description:"How far the issuer's clock may be off, for exp and nbf." jsonschema:"default=30s"`
	Header      string           `yaml:"header" jsonschema_description:"Request header that carries the token; in Authorization it follows Bearer." jsonschema:"default=Authorization"`
}

// maxLeeway bounds how long a token may outlive its end.
const maxLeeway = 10 * time.Minute

// New builds the authenticator; nil when something is wrong, which is in b.Report. It
// fetches nothing: that begins with the first token, or when Health is asked.
func New(b policies.Build) *Authenticator {
	before := b.Report.Len()
	cfg := Config{Leeway: unit.Duration(30 * time.Second), Header: "Authorization"}
	b.Node.Decode(&cfg, b.Report)
	if b.Node.Kind != yamlsrc.Map {
		if b.Report.Len() == before {
			b.Node.Wrong("a mapping", b.Report)
		}
		return nil
	}
	c := checker{Build: b, cfg: &cfg}
	c.basics()
	c.algorithms()
	source := c.source()
	tenant := c.tenant()
	if b.Report.Len() > before {
		return nil
	}
	return newAuthenticator(b.Name, &cfg, source, tenant)
}

// checker reports what is wrong with a Config.
type checker struct {
	policies.Build
	cfg *Config
}

// problem reports at key, or at the whole where there is no such key.
func (c *checker) problem(key, hint, format string, args ...any) {
	at := c.Node.Get(key)
	if at == nil {
		at = c.Node
	}
	c.Report.Addf(at.Pos, at.Path, hint, format, args...)
}

func (c *checker) has(key string) bool { return c.Node.Get(key) != nil }

func (c *checker) basics() {
	cfg := c.cfg
	if c.has("issuer") && cfg.Issuer == "" {
		c.problem("issuer", "write the iss of the tokens, such as https://id.example.com", "the issuer is empty")
	}
	if c.has("audience") && len(cfg.Audience) == 0 {
		c.problem("audience", "write the aud of the tokens", "no audience is given")
	}
	for _, audience := range cfg.Audience {
		if audience == "" {
			c.problem("audience", "write the aud of the tokens", "an audience is empty")
		}
	}
	if cfg.Leeway.D() > maxLeeway {
		c.problem("leeway", "write 30s, and set the clocks", "a leeway of %s lets tokens live on for too long", cfg.Leeway)
	}
	if !policies.IsHeaderName(cfg.Header) {
		c.problem("header", "write a name such as Authorization", "%q is not the name of a header", cfg.Header)
	}
	cfg.Header = policies.CanonicalHeader(cfg.Header)
}

func (c *checker) algorithms() {
	if c.has("algorithms") && len(c.cfg.Algorithms) == 0 {
		c.problem("algorithms", "write the algorithms that the issuer uses, such as [RS256]", "no algorithm is given")
	}
	shared, public := "", ""
	for i, name := range c.cfg.Algorithms {
		f, ok := families[name]
		if !ok {
			at := c.Node.Get("algorithms").Items[i]
			c.Report.Addf(at.Pos, at.Path, yamlsrc.UnknownHint(name, algorithmNames()), "unknown algorithm %q", name)
			continue
		}
		if f == familyHMAC {
			shared = name
		} else {
			public = name
		}
	}
	switch {
	case shared != "" && public != "":
		// With both, a public key could be presented as a shared secret (RFC 8725, 2.1).
		c.problem("algorithms", "make two authenticators of it", "%s and %s belong to different families of keys", shared, public)
	case shared != "" && (c.has("jwks_url") || c.has("public_key")):
		c.problem("algorithms", "use RS256, ES256 or EdDSA, or a key: {env: …}", "%s needs a shared secret, not a public key", shared)
	case public != "" && c.has("key"):
		c.problem("algorithms", "use HS256, or give jwks_url or public_key", "%s needs a public key, not a shared secret", public)
	}
}

// source finds out where the keys come from.
func (c *checker) source() source {
	given := 0
	for _, key := range []string{"jwks_url", "key", "public_key"} {
		if c.has(key) {
			given++
		}
	}
	if given != 1 {
		c.Report.Addf(c.Node.Pos, c.Node.Path, "keep exactly one of jwks_url, key and public_key", "%d sources of keys are given", given)
		return nil
	}
	switch cfg := c.cfg; {
	case c.has("jwks_url"):
		c.checkURL()
		return newRemote(cfg.JWKSURL, c.Name, c.Deps.HTTP, c.Deps.Log, c.Deps.Kept, defaultTiming)
	case c.has("key"):
		if !cfg.Key.IsZero() {
			c.Access.Check(cfg.Key, c.Node.Get("key"), c.Report)
		}
		return newStatic(secretLoader(cfg.Key, cfg.Algorithms))
	default:
		return c.publicKey()
	}
}

func (c *checker) checkURL() {
	u, err := url.Parse(c.cfg.JWKSURL)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http"):
		c.problem("jwks_url", "write a URL such as https://id.example.com/jwks.json", "%q is not the URL of a key set", c.cfg.JWKSURL)
	case u.User != nil:
		c.problem("jwks_url", "leave user and password out", "a URL of public keys has no credentials")
	case u.Scheme == "http" && !isNear(u.Hostname()):
		c.problem("jwks_url", "write https://", "whoever can change an answer over http could sign any token")
	}
}

// isNear reports whether a host is this one, or a name that only a private network
// resolves: another container of a compose file, a service of the cluster.
func isNear(host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback()
	}
	for _, suffix := range []string{".localhost", ".local", ".internal", ".svc"} {
		if strings.HasSuffix(host, suffix) {
			return true
		}
	}
	return !strings.Contains(host, ".")
}

// tenant compiles the expression. It sees the claims only: a tenant is what the issuer
// asserts, nothing that the caller can choose.
func (c *checker) tenant() func(map[string]any) (string, error) {
	n := c.cfg.Tenant
	if n == nil {
		return nil
	}
	if n.Kind != yamlsrc.Scalar || n.Text == "" {
		n.Wrong("an expression such as ${{ .claims.org }}", c.Report)
		return nil
	}
	if c.Deps.CompileText == nil {
		return func(map[string]any) (string, error) { return "", errNoExpressions }
	}
	return c.Deps.CompileText(n, []string{"claims"}, c.Report)
}
