package target

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"headgate/config/secret"
	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// testCA signs certificates.
type testCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newCA(t *testing.T) *testCA {
	key := newECKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &testCA{cert, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

func newECKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign gives a certificate and its key in PEM.
func (ca *testCA) sign(t *testing.T, name string, from, until time.Time) (cert, key string) {
	k := newECKey(t)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		DNSNames: []string{name}, NotBefore: from, NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}, ca.cert, &k.PublicKey, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw}))
}

// strict is a server called crm.internal that wants a certificate of its authority.
type strict struct {
	*httptest.Server
	ca      *testCA
	dials   atomic.Int32
	clients chan string // the names on the certificates of calls
}

func newStrict(t *testing.T) *strict {
	s := &strict{ca: newCA(t), clients: make(chan string, 100)}
	cert, key := s.ca.sign(t, "crm.internal", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.ca.cert)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.clients <- r.TLS.PeerCertificates[0].Subject.CommonName
		says(200, "{}")(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.dials.Add(1)
		}
	}
	// With 1.3 a client has sent its call before it hears that its certificate is not taken.
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert, MaxVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// files is a folder with secrets.
type files struct {
	t   *testing.T
	dir string
}

func (f files) put(name, text string) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f files) plan(url, more string) *Plan {
	f.t.Helper()
	testAccess.Files = []string{f.dir}
	f.t.Cleanup(func() { testAccess.Files = nil })
	return mustCompile(f.t, url, strings.ReplaceAll("url: ${URL}\ntls: {client_cert: {file: DIR/cert}, client_key: {file: DIR/key}, ca: {file: DIR/ca}, server_name: crm.internal}\n", "DIR", f.dir)+more)
}

func tlsInput() Input {
	in := input()
	in.Now = time.Now()
	in.AcceptedAt = in.Now
	return in
}

// TestMutualTLS: calls show the client's certificate, over kept connections, and a
// certificate that was renewed is shown by the next call.
func TestMutualTLS(t *testing.T) {
	s, f := newStrict(t), files{t, t.TempDir()}
	put := func(name string) {
		cert, key := s.ca.sign(t, name, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		f.put("cert", cert)
		f.put("key", key)
	}
	f.put("ca", s.ca.pem)
	p, e := f.plan(s.URL, "post: /x"), newEngine(t)
	for i, name := range []string{"first", "first", "second"} {
		if i != 1 {
			put(name)
		}
		eventOf[tracking.Concluded](t, e.Run(t.Context(), p, tlsInput()))
		if got := <-s.clients; got != name {
			t.Errorf("call %d came from %q, want %q", i, got, name)
		}
	}
	if n := s.dials.Load(); n != 2 {
		t.Errorf("%d connections for two certificates", n)
	}
	if refs := p.SecretRefs(); len(refs) != 3 {
		t.Errorf("secrets %v", refs)
	}
}

func TestMutualTLSThatIsWrong(t *testing.T) {
	s, other := newStrict(t), newCA(t)
	hour := time.Hour
	cert, key := s.ca.sign(t, "client", time.Now().Add(-hour), time.Now().Add(hour))
	oldCert, oldKey := s.ca.sign(t, "client", time.Now().Add(-2*hour), time.Now().Add(-hour))
	newCert, newKey := s.ca.sign(t, "client", time.Now().Add(hour), time.Now().Add(2*hour))
	strange, strangeKey := other.sign(t, "client", time.Now().Add(-hour), time.Now().Add(hour))
	for name, tc := range map[string]struct {
		cert, key, ca string
		reason        fault.Reason
		message       string
	}{
		"key of another":   {cert, oldKey, s.ca.pem, fault.Auth, "/cert} with the key {file: DIR/key} cannot be used: private key does not match"},
		"no certificate":   {"planted", key, s.ca.pem, fault.Auth, "{file: DIR/cert}"},
		"no key":           {cert, "planted", s.ca.pem, fault.Auth, "{file: DIR/key}"},
		"nothing":          {"", key, s.ca.pem, fault.Auth, "the secret {file: DIR/cert} cannot be read"},
		"no roots":         {cert, key, "planted", fault.Auth, "the secret {file: DIR/ca} holds no certificate"},
		"expired":          {oldCert, oldKey, s.ca.pem, fault.Auth, "the client certificate {file: DIR/cert} expired at 20"},
		"not yet good":     {newCert, newKey, s.ca.pem, fault.Auth, "the client certificate {file: DIR/cert} is not good before 20"},
		"not taken":        {strange, strangeKey, s.ca.pem, fault.Auth, "the backend does not take the client certificate {file: DIR/cert}: "},
		"roots of another": {cert, key, other.pem, fault.Unreachable, "the certificate of the backend cannot be verified: x509: "},
	} {
		t.Run(name, func(t *testing.T) {
			f := files{t, t.TempDir()}
			f.put("cert", tc.cert)
			f.put("key", tc.key)
			f.put("ca", tc.ca)
			got := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), f.plan(s.URL, "post: /x"), tlsInput()))
			if got.Final || !got.Fault.Retry || got.Fault.Reason != tc.reason || !strings.Contains(got.Fault.Message, strings.ReplaceAll(tc.message, "DIR", f.dir)) || strings.Contains(got.Fault.Error(), "planted") {
				t.Errorf("%+v %+v", got, got.Fault)
			}
		})
	}
	if len(s.clients) != 0 {
		t.Error("a call was taken")
	}
}

// The certificate goes to the target's own hosts: to its base behind the guard, and not to
// a host that an answer names.
func TestMutualTLSOfOtherHosts(t *testing.T) {
	t.Setenv("CRM_SECRET", clientSecret)
	s, f := newStrict(t), files{t, t.TempDir()}
	cert, key := s.ca.sign(t, "client", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	f.put("cert", cert)
	f.put("key", key)
	f.put("ca", s.ca.pem)
	tokens := instanceServer(t, s.URL)
	host := strings.TrimPrefix(s.URL, "https://")
	p := f.plan("https://login.example", fmt.Sprintf("base: ${{ .token.instance_url }}\nallow_hosts: [%q]\nauth: {oauth2: {token_url: %q, client_id: a, client_secret: {env: CRM_SECRET}}}\npost: /x", host, tokens.URL))
	eventOf[tracking.Concluded](t, engineThatMayReach(t, nil).Run(t.Context(), p, tlsInput()))
	if got := <-s.clients; got != "client" {
		t.Errorf("called by %q", got)
	}
	got := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), p, tlsInput()))
	if got.Fault.Reason != fault.BadResponse || !strings.Contains(got.Fault.Message, "no public address") {
		t.Errorf("%+v", got.Fault)
	}
	in := tlsInput()
	in.Payload = []byte(`{"to": "` + s.URL + `/y"}`)
	p = f.plan("https://login.example", fmt.Sprintf("allow_hosts: [%q]\nput: ${{ .payload.to }}", host))
	failed := eventOf[tracking.AttemptFailed](t, engineThatMayReach(t, nil).Run(t.Context(), p, in))
	if failed.Fault.Reason != fault.Unreachable || len(s.clients) != 0 {
		t.Errorf("%+v, %d calls", failed.Fault, len(s.clients))
	}
}

// A rehearsal has no connections, and reads no certificate.
func TestMutualTLSScripted(t *testing.T) {
	p := files{t, t.TempDir()}.plan("https://crm.example", "post: /x")
	e := NewScripted(recorded(func(*http.Request) string { return "{}" }), secret.Ref.Read)
	defer e.Close()
	eventOf[tracking.Concluded](t, e.Run(t.Context(), p, tlsInput()))
}

func TestMutualTLSProblems(t *testing.T) {
	const pair = "client_cert: {env: CRM_CERT}, client_key: {env: CRM_KEY}"
	for name, tc := range map[string]struct{ url, tls, at, message string }{
		"no key":      {"https://h", "{client_cert: {env: CRM_CERT}}", "tls.client_cert)", "has no client_key"},
		"no cert":     {"https://h", "{client_key: {env: CRM_CERT}}", "tls.client_key)", "has no client_cert"},
		"nothing":     {"https://h", "{}", "(tls)", "tls says nothing"},
		"empty":       {"https://h", "", "(tls)", "tls is empty"},
		"http":        {"http://h", "{" + pair + "}", "(tls)", "url is not https"},
		"in clear":    {"https://h", "{client_cert: {env: CRM_CERT}, client_key: planted}", "tls.client_key)", "in clear"},
		"not ours":    {"https://h", "{" + pair + ", ca: {env: PATH}}", "tls.ca)", "may not read"},
		"server name": {"https://h", "{" + pair + ", server_name: 'https://x'}", "tls.server_name)", `server_name cannot be "https://x"`},
		"unknown":     {"https://h", "{" + pair + ", cert: x}", "tls.cert)", "unknown key"},
	} {
		_, report := compileText(t, "", "url: "+tc.url+"\npost: /x\ntls: "+tc.tls)
		err := report.Err()
		if err == nil || len(report.Problems()) != 1 || !strings.Contains(err.Error(), tc.at) || !strings.Contains(err.Error(), tc.message) || strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
