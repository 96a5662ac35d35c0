package target

import (
	"net/url"
	"slices"
	"strings"

	"headgate/config/secret"
	"headgate/config/yamlsrc"
)

// The words of OAuth2Auth.Grant.
const (
	grantClient  = "client_credentials"
	grantRefresh = "refresh_token"
	grantJWT     = "jwt_bearer"
)

// The words of OAuth2Auth.Send.
const (
	sendBasic = "basic"
	sendBody  = "body"
	sendQuery = "query"
)

// grant is how an access token is asked for.
type grant struct {
	kind     string
	url      string
	clientID string
	form     url.Values // without secrets
	send     string
	prefix   string         // of the token in the header of calls
	claims   map[string]any // of an assertion, without its times
	keyID    string         // of an assertion; empty: none
	fields   []string       // what is kept of the answer besides the token, sorted
	what     string         // all that decides which token is got, but for the secrets
	id       string         // what, and where the secrets are kept
	refs     []secret.Ref   // as secrets gives them
}

// client is a grant with its secrets, read just now.
type client struct {
	*grant
	secrets []secret.Value // as grant.refs has them
}

func newClient(g *grant, secrets []secret.Value) *client { return &client{grant: g, secrets: secrets} }

// Places in client.secrets.
const (
	clientSecretAt = iota
	refreshTokenAt
	privateKeyAt
)

// rotates reports whether each token may change what the next one is asked for with. Then
// whoever asks must know what the others did.
func (g *grant) rotates() bool { return g.kind == grantRefresh }

// secrets lists what is read for a token, and under which keys that stands.
func (spec *OAuth2Auth) secrets() ([]secret.Ref, []string) {
	return []secret.Ref{clientSecretAt: spec.ClientSecret, refreshTokenAt: spec.RefreshToken, privateKeyAt: spec.PrivateKey},
		[]string{clientSecretAt: "client_secret", refreshTokenAt: "refresh_token", privateKeyAt: "private_key"}
}

// Parameters that have a key of their own, or that must not stand in the file.
var (
	ownParams    = []string{"grant_type", "client_id", "scope"}
	secretParams = []string{"client_secret", "password", "refresh_token", "assertion", "client_assertion"}
)

// compile checks the spec of a grant; at is its mapping.
func (spec *OAuth2Auth) compile(at *yamlsrc.Node, report *yamlsrc.Report) *grant {
	g := &grant{clientID: spec.ClientID, prefix: "Bearer "}
	g.kind = choice(at, "grant", spec.Grant, []string{grantClient, grantRefresh, grantJWT}, report)
	g.refs, _ = spec.secrets()
	if u := absoluteURL(find(at, "token_url"), "write the token server's URL, such as https://id.example.com/oauth2/token",
		"use client_id and client_secret", "put what it says into params", report); u != nil {
		g.url = u.String()
	}
	if spec.ClientID == "" {
		n := find(at, "client_id")
		report.Addf(n.Pos, n.Path, "write the name of the client", "client_id is empty")
	}
	g.form = spec.parameters(at, g.kind, report)
	g.send = choice(at, "send", spec.Send, []string{sendBasic, sendBody, sendQuery}, report)
	if at.Get("header_prefix") != nil {
		g.prefix = spec.HeaderPrefix
		plainText(at, "header_prefix", g.prefix, report)
	}
	spec.fits(at, g.kind, report)
	if g.kind == grantJWT {
		g.claims, g.keyID = spec.assertionClaims(at, g.url, report), spec.KeyID
	}
	g.identify()
	return g
}

// parameters gives the form of a request for a token, without secrets.
func (spec *OAuth2Auth) parameters(at *yamlsrc.Node, kind string, report *yamlsrc.Report) url.Values {
	form := url.Values{"grant_type": {kind}}
	if kind == grantJWT {
		form.Set("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
	}
	if spec.Scope != "" {
		form.Set("scope", spec.Scope)
	}
	for _, e := range entries(at.Get("params")) {
		switch {
		case slices.Contains(secretParams, e.Key):
			report.AddSecretf(e.Value, "use client_secret: {env: NAME}", "a secret must not stand in the file in clear")
		case slices.Contains(ownParams, e.Key):
			report.Addf(e.KeyPos, e.Value.Path, "leave it out: it is sent by itself, or has a key beside params", "params cannot have %q", e.Key)
		}
		form.Set(e.Key, spec.Params[e.Key])
	}
	return form
}

// needsSecret says which secret a grant cannot do without.
var needsSecret = map[string]string{grantClient: "client_secret", grantRefresh: "refresh_token", grantJWT: "private_key"}

// onlyFor says which keys are of one grant.
var onlyFor = []struct{ grant, key string }{
	{grantRefresh, "refresh_token"}, {grantJWT, "private_key"}, {grantJWT, "key_id"}, {grantJWT, "issuer"},
	{grantJWT, "subject"}, {grantJWT, "audience"}, {grantJWT, "claims"},
}

// fits checks that a grant has what it needs, and nothing of another one.
func (spec *OAuth2Auth) fits(at *yamlsrc.Node, kind string, report *yamlsrc.Report) {
	if key := needsSecret[kind]; at.Get(key) == nil {
		report.Addf(at.Pos, at.Path, "add "+key+": {env: NAME}", "%q is missing", key)
	}
	for _, only := range onlyFor {
		if n := at.Get(only.key); n != nil && kind != only.grant {
			report.Addf(n.Pos, n.Path, "leave it out, or write grant: "+only.grant, "%s is only for grant %s", only.key, only.grant)
		}
	}
}

// keep lists what expressions use of the answer. It is kept with the token, so that it
// decides which token is good.
func (g *grant) keep(fields []string) {
	g.fields = fields
	g.identify()
}

func (g *grant) identify() {
	parts := []string{g.kind, g.url, g.clientID, g.form.Encode(), g.send, g.keyID, strings.Join(g.fields, ",")}
	for _, name := range sortedKeys(g.claims) {
		parts = append(parts, name, g.claims[name].(string)) //nolint:forcetypeassert // assertionClaims makes nothing else
	}
	g.what = strings.Join(parts, "\n")
	parts = parts[:0]
	for _, ref := range g.refs {
		parts = append(parts, ref.String())
	}
	g.id = g.what + "\n" + strings.Join(parts, "\n")
}
