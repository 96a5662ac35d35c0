package app

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"headgate/config"
	"headgate/config/yamlsrc"
	"headgate/internal/redisstore"
	"headgate/internal/testenv"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// reaches connects by the operator's settings and asks.
func reaches(t *testing.T, o redisstore.Options) error {
	t.Helper()
	conn, err := redisstore.Connect(o)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return conn.Base.Ping(ctx).Err()
}

func TestTLSIsChecked(t *testing.T) {
	ca, other := testenv.NewCA(t), testenv.NewCA(t)
	server := testenv.Redis(t)
	serverCert, serverKey := ca.Issue("server", "redis.internal")
	clientCert, clientKey := ca.Issue("client")
	foreignCert, foreignKey := other.Issue("foreign")
	front := server.WithTLS(t, ca, serverCert, serverKey)
	good := config.RedisTLS{CA: ca.File, Cert: clientCert, Key: clientKey, ServerName: "redis.internal"}
	for name, c := range map[string]struct {
		change func(*config.RedisTLS)
		want   string // empty: it connects
	}{
		"as it should be":       {func(*config.RedisTLS) {}, ""},
		"another authority":     {func(f *config.RedisTLS) { f.CA = other.File }, "unknown authority"},
		"authorities of system": {func(f *config.RedisTLS) { f.CA = "" }, "authority"},
		"another name":          {func(f *config.RedisTLS) { f.ServerName = "else.internal" }, "redis.internal"},
		"name of the address":   {func(f *config.RedisTLS) { f.ServerName = "" }, "127.0.0.1"},
		"no certificate":        {func(f *config.RedisTLS) { f.Cert, f.Key = "", "" }, "certificate"},
		"a foreign certificate": {func(f *config.RedisTLS) { f.Cert, f.Key = foreignCert, foreignKey }, "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			files := good
			c.change(&files)
			certs := &certificates{files: files, log: quiet()}
			if err := certs.check(); err != nil {
				t.Fatal(err)
			}
			err := reaches(t, redisstore.Options{Network: "tcp", Addr: front.Addr, TLS: certs.config})
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// The server itself, where it can.
func TestTLSOfRedisItself(t *testing.T) {
	if !testenv.SpeaksTLS(t) {
		t.Skip("this redis-server was built without TLS; TestTLSIsChecked has TLS in front of it")
	}
	ca := testenv.NewCA(t)
	serverCert, serverKey := ca.Issue("server", "127.0.0.1")
	clientCert, clientKey := ca.Issue("client")
	cluster := testenv.Cluster(t, false, testenv.WithConf("tls-cluster", "yes"), testenv.WithConf("tls-ca-cert-file", ca.File),
		testenv.WithConf("tls-cert-file", serverCert), testenv.WithConf("tls-key-file", serverKey), testenv.WithConf("tls-auth-clients", "yes"))
	certs := &certificates{files: config.RedisTLS{CA: ca.File, Cert: clientCert, Key: clientKey}, log: quiet()}
	if err := certs.check(); err != nil {
		t.Fatal(err)
	}
	conn, err := redisstore.Connect(redisstore.Options{Cluster: cluster.TLSAddrs()[:1], TLS: certs.config, AutoPipeline: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	for _, key := range []string{"a", "b", "c", "d", "e"} { // of all nodes
		if err := conn.Shared.Set(t.Context(), key, "1", 0).Err(); err != nil {
			t.Error(err)
		}
	}
	if partly, err := conn.Health(t.Context()); partly != "" || err != nil {
		t.Errorf("%q, %v", partly, err)
	}
}

// Certificates that changed are used for the next connection; while they cannot be read
// the former ones are.
func TestCertificatesAreReadAgain(t *testing.T) {
	ca := testenv.NewCA(t)
	server := testenv.Redis(t)
	serverCert, serverKey := ca.Issue("server", "127.0.0.1")
	front := server.WithTLS(t, ca, serverCert, serverKey)
	dir := t.TempDir()
	files := config.RedisTLS{CA: ca.File, Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	put := func(cert, key string) {
		t.Helper()
		for to, from := range map[string]string{files.Cert: cert, files.Key: key} {
			text, err := os.ReadFile(from)
			if err == nil {
				err = os.WriteFile(to, text, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	put(ca.Issue("first"))
	certs := &certificates{files: files, log: quiet()}
	o := redisstore.Options{Network: "tcp", Addr: front.Addr, TLS: certs.config}
	seen := func(name string) bool {
		if err := reaches(t, o); err != nil {
			t.Fatal(err)
		}
		count, ok := front.Clients.Load(name)
		return ok && count.(*atomic.Int64).Load() > 0
	}
	if !seen("first") {
		t.Fatal("the first certificate was not used")
	}
	if err := os.WriteFile(files.Cert, []byte("half of it"), 0o600); err != nil {
		t.Fatal(err)
	}
	certs.looked = time.Time{}
	if err := reaches(t, o); err != nil {
		t.Fatalf("while a new one is being written: %v", err)
	}
	put(ca.Issue("second"))
	testenv.Eventually(t, 20*time.Second, func() bool { return seen("second") }, "the second certificate was not used")
}

// A file that cannot be read is told with the place where it is named.
func TestCertificatesAreMissing(t *testing.T) {
	ca := testenv.NewCA(t)
	cert, key := ca.Issue("client")
	notOne := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(notOne, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	at := func(line int) yamlsrc.Pos { return yamlsrc.Pos{File: "headgate.yaml", Line: line, Column: 9} }
	for name, c := range map[string]struct {
		files config.RedisTLS
		want  string
	}{
		"no authority":    {config.RedisTLS{CA: "/nowhere/ca.pem"}, "headgate.yaml:3:9: the authorities to trust cannot be read: open /nowhere/ca.pem"},
		"empty authority": {config.RedisTLS{CA: notOne}, "holds no certificate"},
		"no certificate":  {config.RedisTLS{CA: ca.File, Cert: "/nowhere/c.pem", Key: key}, "headgate.yaml:4:9: the client certificate cannot be read"},
		"another key":     {config.RedisTLS{Cert: cert, Key: notOne}, "headgate.yaml:4:9: the client certificate"},
	} {
		c.files.CAPos, c.files.CertPos = at(3), at(4)
		err := (&certificates{files: c.files, log: quiet()}).check()
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "PEM file that this process can read") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
