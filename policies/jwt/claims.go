package jwt

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"headgate/policies"
)

// checkHeader refuses what the library does not look at. What else there is (jku, jwk,
// x5u, x5c) is not read by anybody.
func checkHeader(header map[string]any) error {
	// RFC 7515, section 4.1.11: who does not know a critical parameter must refuse, and
	// we know none.
	if _, ok := header["crit"]; ok {
		return errors.New("the token has critical header parameters")
	}
	typ, present := header["typ"]
	if !present {
		return nil
	}
	name, _ := typ.(string)
	switch strings.TrimPrefix(strings.ToLower(name), "application/") {
	case "jwt", "at+jwt":
		return nil
	}
	return fmt.Errorf("wrong typ %.60q", fmt.Sprint(typ))
}

// principal makes of verified claims who calls.
func (a *Authenticator) principal(claims jwt.MapClaims) (policies.Principal, error) {
	p := policies.Principal{Authenticator: a.name, ID: subject(claims), Claims: claims}
	if a.cfg.ScopesClaim != "" {
		p.Scopes = scopes(claims[a.cfg.ScopesClaim])
	} else if p.Scopes = scopes(claims["scope"]); p.Scopes == nil {
		p.Scopes = scopes(claims["scp"])
	}
	if a.tenant == nil {
		return p, nil
	}
	tenant, err := a.tenant(map[string]any{"claims": map[string]any(claims)})
	if errors.Is(err, errNoExpressions) {
		return p, err
	}
	if err != nil {
		// What the expression says of it may quote claims, and this goes to the log.
		return p, errors.New("the claims do not have what tenant takes")
	}
	if strings.TrimSpace(tenant) == "" {
		return p, errors.New("the tenant is empty")
	}
	p.Tenant = tenant
	return p, nil
}

// subject is who the token is about; empty when it does not say, or says only spaces.
func subject(claims jwt.MapClaims) string {
	if s := text(claims["sub"]); strings.TrimSpace(s) != "" {
		return s
	}
	return ""
}

func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number: // against RFC 7519, but seen
		return v.String()
	}
	return ""
}

// scopes reads both forms there are: separated by spaces (RFC 8693, section 4.2) or a list.
func scopes(v any) []string {
	switch v := v.(type) {
	case string:
		return strings.Fields(v)
	case []any:
		out := make([]string, 0, len(v))
		for _, one := range v {
			if s, ok := one.(string); ok && s != "" {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}

// reason says for the operator why a token was refused: never the token, and of what
// has not been verified only the algorithm, the typ and the kid.
func (a *Authenticator) reason(err error, token *jwt.Token, claims jwt.MapClaims) string {
	var unknown *unknownKIDError
	switch {
	case errors.As(err, &unknown):
		return unknown.Error()
	case errors.Is(err, jwt.ErrTokenMalformed):
		return fmt.Sprintf("malformed token: %.200s", err)
	case token != nil && !a.accepts(token):
		return fmt.Sprintf("wrong algorithm %.40q, accepted: %s", fmt.Sprint(token.Header["alg"]), strings.Join(a.cfg.Algorithms, ", "))
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return "the signature does not fit the key"
	case errors.Is(err, jwt.ErrTokenUnverifiable):
		return fmt.Sprintf("%.200s", strings.TrimPrefix(err.Error(), "token is unverifiable: error while executing keyfunc: "))
	}
	var out []string
	add := func(sentinel error, format string, args ...any) {
		if errors.Is(err, sentinel) {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	add(jwt.ErrTokenExpired, "expired at %s", date(claims.GetExpirationTime))
	add(jwt.ErrTokenNotValidYet, "not valid before %s", date(claims.GetNotBefore))
	add(jwt.ErrTokenInvalidAudience, "wrong audience %.100q, accepted: %s", fmt.Sprint(claims["aud"]), strings.Join(a.cfg.Audience, ", "))
	add(jwt.ErrTokenInvalidIssuer, "wrong issuer %.100q", fmt.Sprint(claims["iss"]))
	if len(out) == 0 || errors.Is(err, jwt.ErrTokenRequiredClaimMissing) {
		out = append(out, fmt.Sprintf("%.200s", err))
	}
	return strings.Join(out, "; ")
}

func (a *Authenticator) accepts(token *jwt.Token) bool {
	for _, name := range a.cfg.Algorithms {
		if token.Header["alg"] == name {
			return true
		}
	}
	return false
}

func date(get func() (*jwt.NumericDate, error)) string {
	d, err := get()
	if err != nil || d == nil {
		return "an unreadable time"
	}
	return d.UTC().Format(time.RFC3339)
}
