package jwt

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"headgate/config/yamlsrc"
	"headgate/policies"
	"headgate/policies/policytest"
)

// issuer publishes keys, and does what a test tells it.
type issuer struct {
	*httptest.Server
	mu      sync.Mutex
	body    string
	status  int
	fetches int
	fetched chan struct{} // gets a value for each fetch
	hold    chan struct{} // not nil: fetches wait until it is closed
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	i := &issuer{status: 200, body: `{"keys":[]}`, fetched: make(chan struct{}, 1000)}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		i.fetches++
		status, body, hold := i.status, i.body, i.hold
		i.mu.Unlock()
		if hold != nil {
			select {
			case <-hold:
			case <-r.Context().Done():
			}
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
		i.fetched <- struct{}{}
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) set(status int, keys ...string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.status, i.body = status, `{"keys":[`+strings.Join(keys, ",")+`]}`
}

func (i *issuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// await waits for one fetch to be answered.
func (i *issuer) await(t *testing.T) {
	t.Helper()
	select {
	case <-i.fetched:
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was fetched")
	}
}

// jwk writes a public key as a JWK; more overrides members, nil values remove.
func jwk(t testing.TB, key crypto.PublicKey, kid string, more map[string]any) string {
	t.Helper()
	made, err := jwkset.NewJWKFromKey(key, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: kid}})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(made.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]any{}
	if err := json.Unmarshal(raw, &members); err != nil {
		t.Fatal(err)
	}
	for name, v := range more {
		members[name] = v
	}
	if raw, err = json.Marshal(members); err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// patient is a timing in which nothing happens by itself, and requests wait for what
// they have asked for.
var patient = timing{
	every: time.Hour, first: time.Hour, most: time.Hour,
	unknownKID: time.Hour, wait: 10 * time.Second, fetch: 10 * time.Second,
}

func remoteAuth(t testing.TB, i *issuer, timing timing) *Authenticator {
	t.Helper()
	a := must(t, "", "{issuer: https://id, audience: headgate, algorithms: [RS256, ES256], jwks_url: '"+i.URL+"/keys'}")
	a.source = newRemote(i.URL, "mobile", i.Client(), nil, nil, timing)
	t.Cleanup(a.Close)
	return a
}

func withKID(t testing.TB, key *rsa.PrivateKey, kid string) string {
	return sign(t, jwt.SigningMethodRS256, key, map[string]any{"kid": kid}, claims(nil))
}

func TestRemoteConformance(t *testing.T) {
	i := newIssuer(t)
	i.set(200, jwk(t, rsaKey().Public(), "k1", nil))
	policytest.RunAuthenticator(t, func() policies.Authenticator { return remoteAuth(t, i, patient) },
		request(withKID(t, rsaKey(), "k1")), request(withKID(t, rsaKey(), "k2")), &policies.Request{})
}

func TestRemoteKeys(t *testing.T) {
	other := generate(rsa.GenerateKey(rand.Reader, 2048))
	i := newIssuer(t)
	i.set(200, jwk(t, rsaKey().Public(), "k1", map[string]any{"alg": "RS256"}), jwk(t, ecKey().Public(), "k2", nil))
	a := remoteAuth(t, i, patient)
	public := pemOf(t, rsaKey().Public())
	rs := func(kid any) string {
		return sign(t, jwt.SigningMethodRS256, rsaKey(), map[string]any{"kid": kid}, claims(nil))
	}
	tests := []struct {
		name, token string
		outcome     policies.AuthOutcome
		log         string
	}{
		{"RSA", rs("k1"), policies.Accepted, ""},
		{"ECDSA", sign(t, jwt.SigningMethodES256, ecKey(), map[string]any{"kid": "k2"}, claims(nil)), policies.Accepted, ""},
		{"no kid", sign(t, jwt.SigningMethodES256, ecKey(), nil, claims(nil)), policies.Accepted, ""},
		{"another key's kid", rs("k2"), policies.Rejected, "does not fit the key"},
		{"another key", withKID(t, other, "k1"), policies.Rejected, "does not fit the key"},
		{"unknown kid", rs("k3"), policies.Rejected, `unknown kid "k3"`},
		{"kid is a path", rs("../../../dev/null"), policies.Rejected, "unknown kid"},
		{"kid is SQL", rs("x' UNION SELECT 'secret'--"), policies.Rejected, "unknown kid"},
		{"kid is a URL", rs("https://evil.example/key"), policies.Rejected, "unknown kid"},
		{"kid breaks lines", rs("a\nlevel=error"), policies.Rejected, `"a\nlevel=error"`},
		{"kid is no text", rs(5), policies.Rejected, "kid is not a string"},
		{"public key as shared secret", sign(t, jwt.SigningMethodHS256, public, map[string]any{"kid": "k1"}, claims(nil)), policies.Rejected, `wrong algorithm "HS256"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { check(t, a, tt.token, tt.outcome, tt.log) })
	}
	if n := i.count(); n > 2 {
		t.Errorf("%d fetches for a handful of unknown kids", n)
	}
}

func TestKeyIsForOneAlgorithm(t *testing.T) {
	i := newIssuer(t)
	i.set(200, jwk(t, rsaKey().Public(), "k1", map[string]any{"alg": "PS256"}))
	check(t, remoteAuth(t, i, patient), withKID(t, rsaKey(), "k1"), policies.Rejected, `is for PS256 only, the token uses RS256`)
}

// TestRotation: a token with a new kid makes the set be fetched again, once; the key
// that is gone no longer counts, even for a token that was verified before.
func TestRotation(t *testing.T) {
	next := generate(rsa.GenerateKey(rand.Reader, 2048))
	i := newIssuer(t)
	i.set(200, jwk(t, rsaKey().Public(), "k1", nil))
	a := remoteAuth(t, i, patient)
	before := withKID(t, rsaKey(), "k1")
	check(t, a, before, policies.Accepted, "")
	i.set(200, jwk(t, next.Public(), "k2", nil))
	check(t, a, before, policies.Accepted, "") // nobody knows yet
	check(t, a, withKID(t, next, "k2"), policies.Accepted, "")
	check(t, a, before, policies.Rejected, `unknown kid "k1"`)
	if n := i.count(); n != 2 {
		t.Errorf("%d fetches, want 2", n)
	}
}

func TestUnknownKIDsFetchOnce(t *testing.T) {
	i := newIssuer(t)
	i.set(200, jwk(t, rsaKey().Public(), "k1", nil))
	a := remoteAuth(t, i, patient)
	check(t, a, withKID(t, rsaKey(), "k1"), policies.Accepted, "")
	tokens := make([]string, 20)
	for n := range tokens {
		tokens[n] = withKID(t, rsaKey(), fmt.Sprintf("made-up-%d", n))
	}
	var wg sync.WaitGroup
	for _, token := range tokens {
		wg.Go(func() { a.Authenticate(context.Background(), request(token)) })
	}
	wg.Wait()
	if n := i.count(); n != 2 {
		t.Errorf("%d fetches, want one at first and one for all the unknown kids", n)
	}
}

// TestFailedRefreshKeepsKeys also sees the retries: the second failure comes by itself.
func TestFailedRefreshKeepsKeys(t *testing.T) {
	i := newIssuer(t)
	i.set(200, jwk(t, rsaKey().Public(), "k1", nil))
	quick := patient
	quick.every, quick.first, quick.most = time.Millisecond, time.Millisecond, 2*time.Millisecond
	a := remoteAuth(t, i, quick)
	check(t, a, withKID(t, rsaKey(), "k1"), policies.Accepted, "")
	for _, bad := range []func(){
		func() { i.set(500) },
		func() { i.set(200) }, // no key at all
		func() { i.set(200, `"not a key"`) },
		func() { i.set(200, `{"kty":"oct","k":"AAAA","kid":"k1"}`) },
	} {
		bad()
		drain(i)
		i.await(t)
		i.await(t)
		i.await(t)
		check(t, a, withKID(t, rsaKey(), "k1"), policies.Accepted, "")
		if err := a.Health(); err != nil {
			t.Error(err)
		}
	}
}

func drain(i *issuer) {
	for {
		select {
		case <-i.fetched:
		default:
			return
		}
	}
}

// TestIssuerRecovers: without keys nobody can tell and Health says why; the
// retries go on until there are some.
func TestIssuerRecovers(t *testing.T) {
	i := newIssuer(t)
	i.set(503)
	quick := patient
	quick.first, quick.most = time.Millisecond, 2*time.Millisecond
	a := remoteAuth(t, i, quick)
	token := withKID(t, rsaKey(), "k1")
	check(t, a, token, policies.Unavailable, "no keys yet: fetch the key set")
	if err := a.Health(); err == nil || !strings.Contains(err.Error(), "status 503") {
		t.Errorf("health: %v", err)
	}
	i.set(200, jwk(t, rsaKey().Public(), "k1", nil))
	r := a.source.(*remote)
	r.waitUntil(context.Background(), func() bool { return r.set.Load() != nil })
	if err := a.Health(); err != nil {
		t.Error(err)
	}
	check(t, a, token, policies.Accepted, "")
}

// TestSilentIssuer: one that takes the request and never answers holds up nobody for
// longer than timing.wait, and Close ends the call.
func TestSilentIssuer(t *testing.T) {
	i := newIssuer(t)
	i.hold = make(chan struct{})
	defer close(i.hold)
	short := patient
	short.wait = 20 * time.Millisecond
	a := remoteAuth(t, i, short)
	start := time.Now()
	_, result := a.Authenticate(context.Background(), request(withKID(t, rsaKey(), "k1")))
	if result.Outcome != policies.Unavailable || !strings.Contains(result.Log, "has not been fetched yet") {
		t.Errorf("outcome %d, log %q", result.Outcome, result.Log)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("the request waited %s", took)
	}
	a.Close()
}

// TestSlowRefresh: the fetch for an unknown kid goes on when the request that asked
// for it has stopped waiting, so that the next one finds the key.
func TestSlowRefresh(t *testing.T) {
	next := generate(rsa.GenerateKey(rand.Reader, 2048))
	i := newIssuer(t)
	i.set(200, jwk(t, rsaKey().Public(), "k1", nil))
	a := remoteAuth(t, i, patient)
	check(t, a, withKID(t, rsaKey(), "k1"), policies.Accepted, "")
	i.await(t)

	hold := make(chan struct{})
	i.mu.Lock()
	i.hold = hold
	i.mu.Unlock()
	i.set(200, jwk(t, next.Public(), "k2", nil))
	token := withKID(t, next, "k2")
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if _, result := a.Authenticate(gone, request(token)); result.Outcome != policies.Rejected {
		t.Fatalf("outcome %d", result.Outcome)
	}
	close(hold)
	check(t, a, token, policies.Accepted, "") // waits for the fetch that is under way
}

func TestNothingIsFetchedUntilUsed(t *testing.T) {
	i := newIssuer(t)
	a := remoteAuth(t, i, patient)
	if n := i.count(); n != 0 {
		t.Errorf("%d fetches at construction", n)
	}
	a.Close()
	a.Authenticate(context.Background(), request(withKID(t, rsaKey(), "k1")))
	if n := i.count(); n != 0 {
		t.Errorf("%d fetches after close", n)
	}
}

func TestWithoutClient(t *testing.T) {
	a := must(t, "", "{issuer: https://id, audience: headgate, algorithms: [RS256], jwks_url: 'https://id/keys'}")
	check(t, a, withKID(t, rsaKey(), "k1"), policies.Unavailable, "not fetched here")
}

// TestWithoutKeys: what is not for this issuer, or no token at all, is told apart before
// keys are asked for, and without waiting for them.
func TestWithoutKeys(t *testing.T) {
	i := newIssuer(t)
	i.hold = make(chan struct{})
	defer close(i.hold)
	a := remoteAuth(t, i, patient) // would wait for 10 s
	ours := func(change map[string]any) string {
		return sign(t, jwt.SigningMethodRS256, rsaKey(), nil, claims(change))
	}
	for _, tt := range []struct {
		name, token string
		outcome     policies.AuthOutcome
		log         string
	}{
		{"another issuer", ours(map[string]any{"iss": "https://other"}), policies.Absent, "wrong issuer"},
		{"no issuer", ours(map[string]any{"iss": nil}), policies.Rejected, "iss claim is required"},
		{"issuer of another type", ours(map[string]any{"iss": 5}), policies.Rejected, "iss is invalid"},
		{"another algorithm", sign(t, jwt.SigningMethodHS256, []byte(hmacSecret), nil, claims(nil)), policies.Rejected, "wrong algorithm"},
		{"another algorithm and issuer", sign(t, jwt.SigningMethodHS256, []byte(hmacSecret), nil, claims(map[string]any{"iss": "https://other"})), policies.Absent, "wrong issuer"},
		{"malformed", "a.b", policies.Rejected, "malformed"},
	} {
		t.Run(tt.name, func(t *testing.T) { check(t, a, tt.token, tt.outcome, tt.log) })
	}
	if n := i.count(); n != 0 {
		t.Errorf("%d fetches for tokens that need no key", n)
	}
}

// TestReloadKeepsKeys: an authenticator begins with the keys that the one before it had
// for the same URL, and goes on to fetch.
func TestReloadKeepsKeys(t *testing.T) {
	i := newIssuer(t)
	i.set(200, jwk(t, rsaKey().Public(), "k1", nil))
	build := func(kept *sync.Map, url string) *Authenticator {
		report := &yamlsrc.Report{}
		node := yamlsrc.Parse("routes.yaml", []byte("{issuer: https://id, audience: headgate, algorithms: [RS256], jwks_url: '"+url+"'}"), report)
		a := New(policies.Build{Name: "mobile", Node: node, Report: report, Deps: policies.Deps{HTTP: i.Client(), Kept: kept}})
		if err := report.Err(); err != nil {
			t.Fatal(err)
		}
		a.source.(*remote).timing = patient
		t.Cleanup(a.Close)
		return a
	}
	var kept sync.Map
	token := withKID(t, rsaKey(), "k1")
	before := build(&kept, i.URL+"/keys")
	check(t, before, token, policies.Accepted, "")
	i.await(t)
	before.Close()

	i.set(503)
	after := build(&kept, i.URL+"/keys")
	if err := after.Health(); err != nil {
		t.Errorf("health: %v", err)
	}
	check(t, after, token, policies.Accepted, "")
	check(t, after, withKID(t, generate(rsa.GenerateKey(rand.Reader, 2048)), "k1"), policies.Rejected, "does not fit the key")
	i.await(t) // it asks all the same

	replaced := build(&kept, i.URL+"/keys")
	replaced.Close() // by another reload, before a request that it was to serve has asked it
	check(t, replaced, token, policies.Accepted, "")

	check(t, build(&kept, i.URL+"/other"), token, policies.Unavailable, "no keys yet")
	check(t, build(new(sync.Map), i.URL+"/keys"), token, policies.Unavailable, "no keys yet")
	check(t, build(nil, i.URL+"/keys"), token, policies.Unavailable, "no keys yet")
}

func TestCloseLeavesNothingBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	i := newIssuer(t)
	i.set(200, jwk(t, rsaKey().Public(), "k1", nil))
	a := remoteAuth(t, i, patient)
	check(t, a, withKID(t, rsaKey(), "k1"), policies.Accepted, "")
	a.Close()
	i.Client().CloseIdleConnections()
	i.Close()
	goleak.VerifyNone(t, before)
}

func TestParseKeySet(t *testing.T) {
	small := generate(rsa.GenerateKey(rand.Reader, 1024))
	tiny := fmt.Sprintf(`{"kty":"RSA","kid":"s","e":"AQAB","n":"%s"}`, base64.RawURLEncoding.EncodeToString(small.N.Bytes()))
	good := jwk(t, rsaKey().Public(), "k1", nil)
	tests := []struct {
		name string
		keys []string
		kids int
		says string
	}{
		{"one", []string{good}, 1, ""},
		{"a bad one does not spoil the good", []string{`{"kty":"RSA"}`, `5`, `{"kty":"AKP"}`, good}, 1, ""},
		{"same kid twice", []string{good, jwk(t, ecKey().Public(), "k1", nil)}, 1, ""},
		{"certificates are not read", []string{jwk(t, rsaKey().Public(), "k1", map[string]any{"x5c": []string{"AAAA"}, "x5u": "http://evil.example"})}, 1, ""},
		{"encryption", []string{jwk(t, rsaKey().Public(), "k1", map[string]any{"use": "enc"})}, 0, "not for signatures"},
		{"not to verify", []string{jwk(t, rsaKey().Public(), "k1", map[string]any{"key_ops": []string{"encrypt"}})}, 0, "not for verifying"},
		{"shared secret", []string{`{"kty":"oct","kid":"k1","k":"AAAA"}`}, 0, "shared secret"},
		{"short key", []string{tiny}, 0, "1024 bits is too short"},
		{"none", nil, 0, "no usable key"},
		{"too many", strings.Split(strings.Repeat("5,", maxKeys)+"5", ","), 0, "more than 100"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set, err := parseKeySet(context.Background(), []byte(`{"keys":[`+strings.Join(tt.keys, ",")+`]}`))
			if (err == nil) != (tt.says == "") || (err != nil && !strings.Contains(err.Error(), tt.says)) {
				t.Fatalf("%v, want %q", err, tt.says)
			}
			if err == nil && len(set.kids) != tt.kids {
				t.Errorf("keys %v", set.kids)
			}
		})
	}
}
