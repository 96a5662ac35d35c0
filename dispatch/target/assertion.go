package target

import (
	"cmp"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"headgate/config/yamlsrc"
	"headgate/dispatch/fault"
)

// assertionLife is how long an assertion is good: servers refuse those that live long,
// and it is used at once.
const assertionLife = 3 * time.Minute

// Claims that have a key of their own, or that each assertion has anew.
var ownClaims = []string{"iss", "sub", "aud", "exp", "iat", "nbf", "jti"}

// assertionClaims gives the claims that are the same in each assertion: RFC 7523, section 3.
func (spec *OAuth2Auth) assertionClaims(at *yamlsrc.Node, tokenURL string, report *yamlsrc.Report) map[string]any {
	issuer := cmp.Or(spec.Issuer, spec.ClientID)
	claims := map[string]any{"iss": issuer, "sub": cmp.Or(spec.Subject, issuer), "aud": cmp.Or(spec.Audience, tokenURL)}
	for _, e := range entries(at.Get("claims")) {
		if slices.Contains(ownClaims, e.Key) {
			report.Addf(e.KeyPos, e.Value.Path, "use issuer, subject and audience; times and jti are set by themselves", "claims cannot have %q", e.Key)
			continue
		}
		claims[e.Key] = spec.Claims[e.Key]
	}
	return claims
}

// assertion signs a new assertion with the private key.
func (cl *client) assertion() (string, *fault.Fault) {
	wrong := func(why string) (string, *fault.Fault) {
		return "", &fault.Fault{Reason: fault.Auth, Retry: true,
			Message: fmt.Sprintf("no access token: the secret %s %s", cl.refs[privateKeyAt], why)}
	}
	pem := []byte(cl.secrets[privateKeyAt].Reveal())
	var method jwt.SigningMethod = jwt.SigningMethodRS256
	var key any
	if rsa, err := jwt.ParseRSAPrivateKeyFromPEM(pem); err == nil {
		key = rsa
	} else if ec, err := jwt.ParseECPrivateKeyFromPEM(pem); err != nil {
		return wrong("is no private key in PEM, RSA or EC P-256")
	} else if ec.Curve != elliptic.P256() {
		return wrong("is a key of another curve than P-256")
	} else {
		key, method = ec, jwt.SigningMethodES256
	}
	now := time.Now()
	claims := jwt.MapClaims(maps.Clone(cl.claims))
	claims["iat"], claims["exp"], claims["jti"] = now.Unix(), now.Add(assertionLife).Unix(), rand.Text()
	token := jwt.NewWithClaims(method, claims)
	if cl.keyID != "" {
		token.Header["kid"] = cl.keyID
	}
	signed, err := token.SignedString(key)
	if err != nil {
		return wrong("cannot sign")
	}
	return signed, nil
}
