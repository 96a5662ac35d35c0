package testenv

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TLSServer is something in front of a private server that speaks TLS: it works with
// every build of redis-server.
type TLSServer struct {
	Addr string
	// Clients counts handshakes, by the common name of the client's certificate.
	Clients sync.Map // string -> *atomic.Int64
}

// WithTLS puts TLS in front of the server; clients need a certificate of the authority. It
// ends with t.
func (r *RedisServer) WithTLS(t testing.TB, ca *CA, certFile, keyFile string) *TLSServer {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if pem, err := os.ReadFile(ca.File); err != nil || !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("testenv: read the authority: %v", err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	out := &TLSServer{Addr: l.Addr().String()}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { out.serve(tls.Server(conn, config), r.Socket()) })
		}
	})
	t.Cleanup(running.Wait)
	t.Cleanup(func() { _ = l.Close() })
	return out
}

func (s *TLSServer) serve(client *tls.Conn, socket string) {
	defer func() { _ = client.Close() }()
	if client.HandshakeContext(context.Background()) != nil {
		return
	}
	count, _ := s.Clients.LoadOrStore(client.ConnectionState().PeerCertificates[0].Subject.CommonName, new(atomic.Int64))
	count.(*atomic.Int64).Add(1)
	server, err := (&net.Dialer{}).DialContext(context.Background(), "unix", socket)
	if err != nil {
		return
	}
	var done sync.WaitGroup
	done.Go(func() { _, _ = io.Copy(server, client); _ = server.Close() }) // either side's end ends both
	_, _ = io.Copy(client, server)
	_ = client.Close()
	done.Wait()
}

// SpeaksTLS reports whether redis-server was built with TLS.
func SpeaksTLS(t testing.TB) bool {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "redis-server", "--port", "0", "--tls-port", "1").CombinedOutput()
	var exit *exec.ExitError
	return errors.As(err, &exit) && strings.Contains(string(out), "tls-cert-file")
}
