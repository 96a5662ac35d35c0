package jwt

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"headgate/policies"
)

// TestRememberedTokenEnds: what was verified once is not accepted for longer.
func TestRememberedTokenEnds(t *testing.T) {
	a := withKey(t, rsaKey().Public(), "RS256", "")
	r := request(sign(t, jwt.SigningMethodRS256, rsaKey(), nil, claims(map[string]any{"nbf": now.Unix()})))
	for _, step := range []struct {
		at   time.Duration
		want policies.AuthOutcome
	}{
		{0, policies.Accepted},
		{time.Hour + 29*time.Second, policies.Accepted},
		{time.Hour + 30*time.Second, policies.Rejected},
		{-31 * time.Second, policies.Rejected}, // a clock that was set back
	} {
		r.Now = now.Add(step.at)
		if _, result := a.Authenticate(context.Background(), r); result.Outcome != step.want {
			t.Errorf("after %s: outcome %d (%s)", step.at, result.Outcome, result.Log)
		}
	}
	if len(a.cache.entries) != 1 {
		t.Errorf("%d tokens remembered", len(a.cache.entries))
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache()
	keys := &keySet{}
	for i := range maxCached + 500 {
		c.put([32]byte{byte(i), byte(i >> 8), byte(i >> 16)}, verified{keys: keys, expires: now.Add(time.Hour)})
	}
	if len(c.entries) > maxCached {
		t.Errorf("%d entries", len(c.entries))
	}
}

// TestRotatedFile: a new key in the file counts, and what the old one had signed does
// not, remembered or not; a file that is gone changes nothing.
func TestRotatedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	write := func(key crypto.PublicKey) {
		if err := os.WriteFile(path, pemOf(t, key), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(rsaKey().Public())
	a := must(t, filepath.Dir(path), "{issuer: https://id, audience: headgate, public_key: key.pem, algorithms: [RS256]}")
	a.source.(*static).every = 0
	other := generate(rsa.GenerateKey(rand.Reader, 2048))
	oldToken := sign(t, jwt.SigningMethodRS256, rsaKey(), nil, claims(nil))
	newToken := sign(t, jwt.SigningMethodRS256, other, nil, claims(nil))
	check(t, a, oldToken, policies.Accepted, "")
	write(other.Public())
	check(t, a, oldToken, policies.Rejected, "signature")
	check(t, a, newToken, policies.Accepted, "")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	check(t, a, newToken, policies.Accepted, "")
}

func BenchmarkAuthenticate(b *testing.B) {
	b.Setenv("TEST_KEY", hmacSecret)
	for _, name := range []string{"RS256", "ES256", "EdDSA", "HS256"} {
		var a *Authenticator
		var key any
		switch families[name] {
		case familyRSA:
			a, key = withKey(b, rsaKey().Public(), name, ""), rsaKey()
		case familyEC:
			a, key = withKey(b, ecKey().Public(), name, ""), ecKey()
		case familyEd:
			a, key = withKey(b, edKey().Public(), name, ""), edKey()
		case familyHMAC:
			a, key = must(b, "", "{issuer: https://id, audience: headgate, key: {env: TEST_KEY}, algorithms: [HS256]}"), []byte(hmacSecret)
		}
		r := request(sign(b, jwt.GetSigningMethod(name), key, nil, claims(nil)))
		for _, remembered := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/remembered=%v", name, remembered), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if !remembered {
						clear(a.cache.entries)
					}
					if _, result := a.Authenticate(context.Background(), r); result.Outcome != policies.Accepted {
						b.Fatal(result.Log)
					}
				}
			})
		}
	}
}
