package jwt

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// CanSign reports whether tokens of this issuer can be made here: its key is a shared
// secret.
func (a *Authenticator) CanSign() bool { return !a.cfg.Key.IsZero() }

// Sign makes a token that this authenticator accepts for ttl: for development and
// demonstrations. The claims are added to iss, aud, iat and exp; sub must be among them.
func (a *Authenticator) Sign(claims map[string]any, ttl time.Duration) (string, error) {
	if !a.CanSign() {
		return "", errors.New("only the identity provider has the private key")
	}
	if subject(claims) == "" {
		return "", errors.New("a token needs a subject: the claim sub is missing or empty")
	}
	key, err := a.cfg.Key.Read()
	if err != nil {
		return "", fmt.Errorf("read the key: %w", err)
	}
	now := time.Now()
	content := jwt.MapClaims{
		"iss": a.cfg.Issuer, "aud": a.cfg.Audience[0],
		"iat": now.Unix(), "exp": now.Add(ttl).Unix(),
	}
	maps.Copy(content, claims)
	if scope, ok := content["scope"]; ok && a.cfg.ScopesClaim != "" {
		delete(content, "scope")
		content[a.cfg.ScopesClaim] = strings.Fields(fmt.Sprint(scope))
	}
	token, err := jwt.NewWithClaims(jwt.GetSigningMethod(a.cfg.Algorithms[0]), content).SignedString([]byte(key.Reveal()))
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return token, nil
}
