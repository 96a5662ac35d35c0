package doctor

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"headgate/dispatch/target"
	"headgate/internal/testenv"
)

// secureBackend speaks TLS with a certificate of the authority; with clients it asks for one of
// theirs, too. It fails the test when a request comes.
func secureBackend(t *testing.T, ca *testenv.CA, until time.Time, clients *testenv.CA) string {
	t.Helper()
	cert, key := ca.IssueUntil(until, "backend", "127.0.0.1")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("a backend got %s %s", r.Method, r.URL) }))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	if clients != nil {
		pem, err := os.ReadFile(clients.File)
		if err != nil {
			t.Fatal(err)
		}
		s.TLS.ClientCAs, s.TLS.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		s.TLS.ClientCAs.AppendCertsFromPEM(pem)
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

func TestBackends(t *testing.T) {
	server, ca, other := testenv.Redis(t), testenv.NewCA(t), testenv.NewCA(t)
	clientCert, clientKey := ca.Issue("client")
	oldCert, oldKey := ca.IssueUntil(time.Now().Add(2*time.Minute), "old")
	hour := time.Now().Add(time.Hour)
	withCA := "    tls: {ca: {file: " + ca.File + "}}\n"
	withCert := func(cert, key string) string {
		return "    tls: {ca: {file: " + ca.File + "}, client_cert: {file: " + cert + "}, client_key: {file: " + key + "}}\n"
	}
	for name, c := range map[string]struct {
		url, more string
		state     State
		want      string
	}{
		"good":              {secureBackend(t, ca, hour, nil), withCA, OK, "its certificate is good until 2"},
		"expires":           {secureBackend(t, ca, time.Now().Add(5*time.Minute+30*time.Second), nil), withCA, Warning, "the server's certificate expires in 5m"},
		"expired":           {secureBackend(t, ca, time.Now().Add(-time.Minute), nil), withCA, Problem, "certificate has expired"},
		"unknown authority": {secureBackend(t, ca, hour, nil), "", Problem, "does not agree on TLS: tls: failed to verify certificate: x509"},
		"client good":       {secureBackend(t, ca, hour, ca), withCert(clientCert, clientKey), OK, "is reached"},
		"client expires":    {secureBackend(t, ca, hour, ca), withCert(oldCert, oldKey), Warning, "our client certificate expires in 1m5"},
		"client refused":    {secureBackend(t, ca, hour, other), withCert(clientCert, clientKey), Problem, "the server does not take the client certificate"},
		"no such name":      {"https://nowhere.invalid", "", Problem, "https://nowhere.invalid:443 has no address"},
		"nobody listens":    {"http://127.0.0.1:1", "", Problem, "http://127.0.0.1:1 is not reached: connect: connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			s := site{t: t, dir: t.TempDir(), redis: server.URL(), backend: c.url, more: c.more, o: Options{Each: 3 * time.Second, URLs: []string{"http://127.0.0.1:1"}}}
			found := s.examineReading("/")
			wants(t, found, "targets", c.state, c.want)
			for _, f := range found {
				if f.About == "targets" && !strings.HasPrefix(f.What, "crm: ") {
					t.Errorf("whose is it? %s", f.What)
				}
			}
		})
	}
}

// A server that is never done with its handshake, or a key set that never comes, holds nothing up.
func TestNothingHangs(t *testing.T) {
	server := testenv.Redis(t)
	release := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() { close(release); silent.Close() })
	s := site{t: t, dir: t.TempDir(), redis: server.URL(), backend: strings.Replace(silent.URL, "http:", "https:", 1), o: Options{Each: time.Second}}
	s.auth = "auth:\n  mobile: {jwt: {issuer: i, audience: a, algorithms: [RS256], jwks_url: " + silent.URL + "/keys}}\n"
	s.o.URLs = []string{silent.URL}
	began := time.Now()
	found := s.examine()
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %s", took)
	}
	wants(t, found, "targets", Problem, "does not agree on TLS")
	wants(t, found, "keys", Problem, "authenticator mobile cannot check credentials")
	wants(t, found, "processes", Warning, "does not answer")
}

// One with a short life is not complained of all its life.
func TestCertificates(t *testing.T) {
	now, day := time.Now(), 24*time.Hour
	for name, c := range map[string]struct {
		life, left time.Duration
		want       State
	}{
		"a year, a month left": {365 * day, 30 * day, OK}, "a year, a week left": {365 * day, 7 * day, Warning},
		"a day, half of it left": {day, 12 * time.Hour, OK}, "a day, an hour left": {day, time.Hour, Warning}, "over": {day, -time.Minute, Problem},
	} {
		found := certificate("it", target.Lifetime{From: now.Add(c.left - c.life), Until: now.Add(c.left)}, now, "renew it")
		state := OK
		if len(found) > 0 {
			state = found[0].State
		}
		if state != c.want {
			t.Errorf("%s: %s, want %s", name, state, c.want)
		}
	}
}
