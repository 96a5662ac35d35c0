package target

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// TestTokenByGet: some token servers are asked by GET, with all in the query.
func TestTokenByGet(t *testing.T) {
	t.Setenv("CRM_SECRET", clientSecret)
	tokens, b := tokenServer(t), newBackend(t, says(200, ""))
	p := mustCompile(t, "", oauthTarget(b.URL, tokens.URL, ", send: query, params: {partner_id: x y}"))
	eventOf[tracking.Concluded](t, newEngine(t).Run(t.Context(), p, input()))
	asked := tokens.seen()[0]
	u, err := url.Parse(asked.URI)
	want := url.Values{"grant_type": {"client_credentials"}, "client_id": {"my client"}, "client_secret": {clientSecret}, "partner_id": {"x y"}}
	if err != nil || asked.Method != http.MethodGet || u.Query().Encode() != want.Encode() || asked.Body != "" || asked.Header.Get("Authorization") != "" || asked.Header.Get("Content-Type") != "" {
		t.Errorf("asked %+v", asked)
	}
}

// rotating is a token server that takes each refresh token once, in a network without time.
type rotating struct {
	mu       sync.Mutex
	good     string
	n        int
	keeps    bool // it answers no new refresh token
	refused  int
	accepted []string
	slow     time.Duration
}

func (s *rotating) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := func(status int, body string) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1}, nil
	}
	if r.URL.Host == "h" {
		return answer(200, "")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	got := form.Get("refresh_token")
	if form.Get("grant_type") != "refresh_token" || got != s.good {
		s.refused++
		return answer(400, `{"error": "invalid_grant", "error_description": "no `+got+`"}`)
	}
	time.Sleep(s.slow)
	if err := r.Context().Err(); err != nil {
		s.good = fmt.Sprintf("planted-refresh-%d", s.n+1) // nobody will know
		return nil, err
	}
	s.n++
	s.accepted = append(s.accepted, got)
	if s.keeps {
		return answer(200, fmt.Sprintf(`{"access_token": "planted-access-%d", "expires_in": 600}`, s.n))
	}
	s.good = fmt.Sprintf("planted-refresh-%d", s.n)
	return answer(200, fmt.Sprintf(`{"access_token": "planted-access-%d", "expires_in": 600, "refresh_token": %q}`, s.n, s.good))
}

const refreshTarget = "url: http://h\npost: /x\nauth: {oauth2: {token_url: http://t/token, grant: refresh_token, client_id: a, refresh_token: {env: CRM_REFRESH}}}"

func newRotating(t *testing.T) (*rotating, *fleet) {
	t.Setenv("CRM_REFRESH", "planted-first")
	s := &rotating{good: "planted-first"}
	f := newFleet(t, 0, true)
	f.plan = mustCompile(t, "", refreshTarget)
	for range 3 {
		f.engines = append(f.engines, NewEngine(Outgoing{Transport: s, Tokens: f.shelf}, nil))
	}
	return s, f
}

func allConcluded(t *testing.T, events []tracking.Event) {
	t.Helper()
	for _, event := range events {
		eventOf[tracking.Concluded](t, event)
	}
}

// A refresh token that is answered takes the place of the one before, in all workers and
// in those that are started later.
func TestRefreshTokenRotates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newRotating(t)
		for range 3 {
			allConcluded(t, f.run(t, 4))
			time.Sleep(700 * time.Second)
		}
		f.engines = []*Engine{NewEngine(Outgoing{Transport: s, Tokens: f.shelf}, nil)}
		time.Sleep(365 * 24 * time.Hour)
		allConcluded(t, f.run(t, 1))
		if got := strings.Join(s.accepted, " "); got != "planted-first planted-refresh-1 planted-refresh-2 planted-refresh-3" || s.refused != 0 {
			t.Errorf("asked with %s; %d refused", got, s.refused)
		}
		for name, value := range f.shelf.values {
			if strings.Contains(string(value), "planted") {
				t.Errorf("%s is not sealed", name)
			}
		}
	})
}

// The secret's own refresh token is tried again when the kept one is refused.
func TestRefreshTokenFallsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newRotating(t)
		allConcluded(t, f.run(t, 1))
		time.Sleep(700 * time.Second)
		s.good, s.keeps = "planted-first", true
		allConcluded(t, f.run(t, 1))
		time.Sleep(700 * time.Second)
		allConcluded(t, f.run(t, 1))
		if s.refused != 1 {
			t.Errorf("%d were refused: the refused one was tried again", s.refused)
		}
		// Another secret begins anew.
		time.Sleep(700 * time.Second)
		t.Setenv("CRM_REFRESH", "planted-second")
		s.good = "planted-second"
		allConcluded(t, f.run(t, 1))
		if s.refused != 1 {
			t.Errorf("%d were refused after the secret was changed", s.refused)
		}
		time.Sleep(700 * time.Second)
		s.good = "none"
		for _, event := range f.run(t, 1) {
			if got := eventOf[tracking.AttemptFailed](t, event); got.Fault.Reason != fault.Auth || !got.Fault.Retry || strings.Contains(got.Fault.Error(), "planted") {
				t.Errorf("%+v", got.Fault)
			}
		}
	})
}

// A run that is stopped, or has no more time, does not take the answer with it: in it is the
// only refresh token that is still good.
func TestRefreshTokenOfARunThatIsOver(t *testing.T) {
	for name, limit := range map[string]time.Duration{"no more time": time.Hour, "stopped": time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, f := newRotating(t)
				f.plan = mustCompile(t, "", refreshTarget+"\nlimits: {timeout: 2s}")
				s.slow = 5 * time.Second
				ctx, cancel := context.WithCancel(t.Context())
				defer time.AfterFunc(limit, cancel).Stop()
				began := time.Now()
				got := eventOf[tracking.AttemptFailed](t, f.engines[0].Run(ctx, f.plan, Input{Tracking: "trk_1", Payload: []byte(`{}`), Now: began}))
				if took := time.Since(began); took != min(limit, 2*time.Second) || got.Final || got.Fault.Reason != fault.Timeout || !got.Fault.Retry {
					t.Errorf("after %s: %+v", took, got.Fault)
				}
				f.engines[0].Close()
				if took := time.Since(began); took != 5*time.Second {
					t.Errorf("closed after %s", took)
				}
				s.slow = 0
				allConcluded(t, f.run(t, 1))
				time.Sleep(700 * time.Second)
				allConcluded(t, f.run(t, 1))
				if got := strings.Join(s.accepted, " "); got != "planted-first planted-refresh-1" || s.refused != 0 {
					t.Errorf("asked with %s; %d refused", got, s.refused)
				}
			})
		})
	}
}

// Without the store nobody knows which refresh token is the newest: none is shown, and
// one that was answered is not forgotten.
func TestRefreshTokenWithoutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newRotating(t)
		f.engines = f.engines[:1]
		f.shelf.broken = errors.New("gone")
		for _, event := range f.run(t, 2) {
			if got := eventOf[tracking.AttemptFailed](t, event); got.Fault.Reason != fault.Internal || !got.Fault.Retry {
				t.Errorf("%+v", got.Fault)
			}
		}
		if s.n+s.refused != 0 {
			t.Errorf("asked %d times", s.n+s.refused)
		}
		f.shelf.broken, f.shelf.locked = nil, time.Time{}
		f.engines[0].tokens.shared = forgetful{f.shelf}
		allConcluded(t, f.run(t, 1))
		f.engines[0].tokens.shared = f.shelf
		time.Sleep(700 * time.Second)
		allConcluded(t, f.run(t, 1))
		time.Sleep(700 * time.Second)
		f.engines = []*Engine{NewEngine(Outgoing{Transport: s, Tokens: f.shelf}, nil)}
		allConcluded(t, f.run(t, 1))
		if s.refused != 0 || s.n != 3 {
			t.Errorf("%d taken, %d refused", s.n, s.refused)
		}
	})
}

// forgetful keeps nothing.
type forgetful struct{ *shelf }

func (forgetful) Put(context.Context, string, []byte, time.Duration) error { return errors.New("full") }

func TestJWTBearer(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		key         any
		public      any
		alg, more   string
		iss, sub    string
		aud, kid    string
		claim       any
		basic, long bool
	}{
		"RSA":  {key: rsaKey, public: &rsaKey.PublicKey, alg: "RS256", iss: "my client", sub: "my client"},
		"EC":   {key: ecKey, public: &ecKey.PublicKey, alg: "ES256", iss: "my client", sub: "my client"},
		"more": {key: rsaKey, public: &rsaKey.PublicKey, alg: "RS256", more: ", issuer: i, subject: a@b.example, audience: https://login.example, key_id: k1, claims: {scope: x}", iss: "i", sub: "a@b.example", aud: "https://login.example", kid: "k1", claim: "x"},
		"with a secret": {key: rsaKey, public: &rsaKey.PublicKey, alg: "RS256", more: ", client_secret: {env: CRM_SECRET}",
			iss: "my client", sub: "my client", basic: true},
	} {
		t.Run(name, func(t *testing.T) {
			der, err := x509.MarshalPKCS8PrivateKey(tc.key)
			if err != nil {
				t.Fatal(err)
			}
			t.Setenv("CRM_KEY", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
			t.Setenv("CRM_SECRET", clientSecret)
			tokens, b := tokenServer(t), newBackend(t, says(200, ""))
			p := mustCompile(t, "", "url: "+b.URL+"\npost: /x\nauth: {oauth2: {grant: jwt_bearer, token_url: "+tokens.URL+"/token, client_id: my client, private_key: {env: CRM_KEY}"+tc.more+"}}")
			eventOf[tracking.Concluded](t, newEngine(t).Run(t.Context(), p, input()))
			asked := tokens.seen()[0]
			form, _ := url.ParseQuery(asked.Body)
			_, _, basic := (&http.Request{Header: asked.Header}).BasicAuth()
			if form.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || len(form) != 2 || basic != tc.basic {
				t.Errorf("asked with %v, basic %v", form, basic)
			}
			claims := jwt.MapClaims{}
			token, err := jwt.ParseWithClaims(form.Get("assertion"), claims, func(*jwt.Token) (any, error) { return tc.public, nil }, jwt.WithValidMethods([]string{tc.alg}), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
			if err != nil {
				t.Fatal(err)
			}
			if tc.aud == "" {
				tc.aud = tokens.URL + "/token"
			}
			kid, _ := token.Header["kid"].(string)
			if claims["iss"] != tc.iss || claims["sub"] != tc.sub || claims["aud"] != tc.aud || claims["scope"] != tc.claim || kid != tc.kid || claims["jti"] == "" {
				t.Errorf("claims %v, kid %q", claims, kid)
			}
			if end, err := claims.GetExpirationTime(); err != nil || time.Until(end.Time) > assertionLife {
				t.Errorf("it ends at %v (%v)", end, err)
			}
		})
	}
}

func TestPrivateKeyThatIsNone(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(p384)
	if err != nil {
		t.Fatal(err)
	}
	p := mustCompile(t, "", "url: http://h\npost: /x\nauth: {oauth2: {grant: jwt_bearer, token_url: http://t/token, client_id: a, private_key: {env: CRM_KEY}}}")
	for key, want := range map[string]string{
		"planted": "no private key in PEM",
		string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})): "another curve",
	} {
		t.Setenv("CRM_KEY", key)
		got := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), p, input()))
		if got.Fault.Reason != fault.Auth || !got.Fault.Retry || !strings.Contains(got.Fault.Message, "{env: CRM_KEY} is") || !strings.Contains(got.Fault.Message, want) || strings.Contains(got.Fault.Error(), "planted") {
			t.Errorf("%+v", got.Fault)
		}
	}
}
