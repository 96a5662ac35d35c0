// Package jwt owns the authenticator for JSON Web Tokens: which keys and algorithms
// count, and what a token must say. It knows no routes and no other credentials, and
// it leaves the cryptography to its libraries.
package jwt

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"headgate/policies"
)

// maxToken bounds what is parsed for a caller who is not known yet, in bytes.
const maxToken = 8 << 10

var (
	errNoExpressions = errors.New("expressions are not available here")
	errNoIssuer      = errors.New("iss claim is required")
)

// noKeysError says that there is nothing to check a token of this issuer with.
type noKeysError struct{ err error }

func (e *noKeysError) Error() string { return e.err.Error() }
func (e *noKeysError) Unwrap() error { return e.err }

// Register adds the authenticator to the registry, as `jwt`.
func Register(r *policies.Registry) {
	r.Authenticator("jwt", &Config{}, func(b policies.Build) policies.Authenticator {
		if a := New(b); a != nil {
			return a
		}
		return nil
	})
}

// Authenticator accepts the tokens of one issuer.
type Authenticator struct {
	name   string
	cfg    *Config
	parser *jwt.Parser
	claims []jwt.ParserOption // what the claims are checked by, the time excepted
	source source
	tenant func(scope map[string]any) (string, error) // nil: no tenant
	cache  *cache
}

func newAuthenticator(name string, cfg *Config, source source, tenant func(map[string]any) (string, error)) *Authenticator {
	return &Authenticator{
		name: name, cfg: cfg, source: source, tenant: tenant, cache: newCache(),
		// Claims are checked after the signature, by a validator of each request's own:
		// the parser has one clock for all.
		parser: jwt.NewParser(jwt.WithValidMethods(cfg.Algorithms), jwt.WithJSONNumber(), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation()),
		claims: []jwt.ParserOption{
			jwt.WithIssuer(cfg.Issuer), jwt.WithAudience(cfg.Audience...),
			jwt.WithExpirationRequired(), jwt.WithLeeway(cfg.Leeway.D()),
		},
	}
}

// Authenticate implements policies.Authenticator. A token that names another issuer
// is Absent, whether there are keys or not: a route may accept several issuers, and one
// that is away must not keep out the clients of the others.
func (a *Authenticator) Authenticate(ctx context.Context, r *policies.Request) (policies.Principal, policies.AuthResult) {
	text, result := a.token(r)
	if result != nil {
		return policies.Principal{}, *result
	}
	now := r.Now
	if now.IsZero() {
		now = time.Now()
	}
	var room [2 << 10]byte // a copy of nearly every token fits onto the stack
	sum := sha256.Sum256(append(room[:0], text...))
	if known, ok := a.cache.get(sum); ok {
		if keys, err := a.source.current(ctx); err == nil && known.holds(keys, now) {
			return known.principal, policies.AuthResult{Outcome: policies.Accepted}
		}
	}
	var keys *keySet // once they are needed
	token, claims, err := a.verify(ctx, text, func() (have *keySet, err error) {
		keys, err = a.source.current(ctx)
		return keys, err
	})
	if unknown := (*unknownKIDError)(nil); errors.As(err, &unknown) {
		if newer := a.source.newer(ctx, keys); newer != keys {
			keys = newer
			token, claims, err = a.verify(ctx, text, func() (*keySet, error) { return newer, nil })
		}
	}
	if err == nil {
		err = jwt.NewValidator(append(a.claims[:len(a.claims):len(a.claims)],
			jwt.WithTimeFunc(func() time.Time { return now }))...).Validate(claims)
	}
	if err != nil {
		if other, ok := claims["iss"].(string); ok && other != a.cfg.Issuer {
			return policies.Principal{}, policies.AuthResult{
				Outcome: policies.Absent, Detail: notAccepted,
				Log: fmt.Sprintf("wrong issuer %.100q, this is for %q", other, a.cfg.Issuer),
			}
		}
		if without := (*noKeysError)(nil); errors.As(err, &without) {
			return policies.Principal{}, policies.AuthResult{
				Outcome: policies.Unavailable, Detail: "the token cannot be checked right now", Log: without.Error(),
			}
		}
		return reject(a.reason(err, token, claims))
	}
	// Whoever has no name would share one, with its limits and its records, with all
	// others that have none.
	if subject(claims) == "" {
		return reject("no sub claim")
	}
	p, err := a.principal(claims)
	if err != nil {
		return policies.Principal{}, policies.AuthResult{
			Outcome: policies.Forbidden, Detail: "the token names no tenant", Log: err.Error(),
		}
	}
	a.remember(sum, p, keys, claims)
	return p, policies.AuthResult{Outcome: policies.Accepted}
}

// token finds the token; a result says why there is none.
func (a *Authenticator) token(r *policies.Request) (string, *policies.AuthResult) {
	values := r.Header[a.cfg.Header]
	if len(values) == 0 {
		return "", &policies.AuthResult{Outcome: policies.Absent, Log: "no " + a.cfg.Header + " header"}
	}
	text := strings.TrimSpace(values[0])
	// RFC 9110, section 11.1: the scheme's case does not matter.
	if scheme, rest, _ := strings.Cut(text, " "); strings.EqualFold(scheme, "Bearer") {
		text = strings.TrimLeft(rest, " ")
	} else if a.cfg.Header == "Authorization" {
		return "", &policies.AuthResult{Outcome: policies.Absent, Log: "the Authorization header has no bearer token"}
	}
	log := ""
	switch {
	case len(values) > 1:
		log = fmt.Sprintf("%d headers %s, one is expected", len(values), a.cfg.Header)
	case text == "":
		log = "the token is empty"
	case len(text) > maxToken:
		log = fmt.Sprintf("the token has %d bytes, more than %d", len(text), maxToken)
	default:
		return text, nil
	}
	_, rejected := reject(log)
	return "", &rejected
}

// verify parses a token and checks its header and its signature. The claims are there
// as soon as they can be read, even when the token is refused. The keys are asked for
// only when the token claims to be of this issuer, with an accepted algorithm.
func (a *Authenticator) verify(ctx context.Context, text string, keys func() (*keySet, error)) (*jwt.Token, jwt.MapClaims, error) {
	claims := jwt.MapClaims{}
	token, err := a.parser.ParseWithClaims(text, claims, func(token *jwt.Token) (any, error) {
		if err := checkHeader(token.Header); err != nil {
			return nil, err
		}
		switch issuer, err := claims.GetIssuer(); { // what is not ours is not worth a look at the keys
		case err != nil:
			return nil, err
		case issuer == "":
			return nil, errNoIssuer
		case issuer != a.cfg.Issuer:
			return nil, jwt.ErrTokenInvalidIssuer
		}
		set, err := keys()
		if err != nil {
			return nil, &noKeysError{err}
		}
		return set.find(ctx, token)
	})
	return token, claims, err
}

func (a *Authenticator) remember(sum [sha256.Size]byte, p policies.Principal, keys *keySet, claims jwt.MapClaims) {
	expires, err := claims.GetExpirationTime()
	if err != nil || expires == nil {
		return
	}
	v := verified{principal: p, keys: keys, expires: expires.Add(a.cfg.Leeway.D())}
	if notBefore, err := claims.GetNotBefore(); err != nil {
		return
	} else if notBefore != nil {
		v.notBefore = notBefore.Add(-a.cfg.Leeway.D())
	}
	a.cache.put(sum, v)
}

// CredentialHeader implements policies.CredentialHeader.
func (a *Authenticator) CredentialHeader() string { return a.cfg.Header }

// Challenge implements policies.Authenticator.
func (a *Authenticator) Challenge() string { return policies.Challenge("Bearer", a.name) }

// Health implements policies.Authenticator. Asking makes a key set be fetched.
func (a *Authenticator) Health() error { return a.source.health() }

// Close implements policies.Authenticator. It waits for the background to end.
func (a *Authenticator) Close() { a.source.close() }

const notAccepted = "the token is not accepted"

func reject(log string) (policies.Principal, policies.AuthResult) {
	return policies.Principal{}, policies.AuthResult{Outcome: policies.Rejected, Log: log, Detail: notAccepted}
}
