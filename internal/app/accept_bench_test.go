package app

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"headgate/config/yamlsrc"
	"headgate/dispatch"
	"headgate/dispatch/tracking"
	"headgate/gateway"
	"headgate/internal/obs"
	"headgate/policies"
)

const acceptRoutes = `
auth:
  bench:
    jwt: {issuer: https://id.example.com, audience: headgate, public_key: issuer.pem, algorithms: [RS256], tenant: "${{ .claims.org }}"}
targets:
  crm: {url: "http://127.0.0.1:1", post: "/crm/${{ .params.id }}", json: "${{ .payload }}"}
  newsletter: {url: "http://127.0.0.1:1", post: "/newsletter", json: "${{ .payload }}"}
  analytics: {url: "http://127.0.0.1:1", post: "/analytics", json: "${{ .payload }}"}
routes:
- name: profile-changed
  match: POST /profiles/:id
  auth: {any: [bench], scopes: ["profiles:write"]}
  rate_limit: [{limit: 1000000000, per: 1h, by: principal}]
  body: {max: 256KB}
  idempotency: optional
  targets:
    crm: {transform: {id: "${{ .params.id }}", email: "${{ .body.email | ascii_downcase }}", name: "${{ .body.first + \" \" + .body.last }}", city: "${{ .body.address.city }}"}}
    newsletter: {when: "${{ .body.consent == true }}", transform: {email: "${{ .body.email }}", first_name: "${{ .body.first }}"}}
    analytics: {optional: true, transform: {user: "${{ .params.id }}", plan: "${{ .body.plan }}", balance: "${{ .body.balance }}"}}
`

const acceptBody = `{"email":"Ada.Lovelace@Example.com","first":"Ada","last":"Lovelace","consent":true,"plan":"gold","balance":1024.50,"address":{"street":"12 St James's Square","city":"London","zip":"SW1Y 4JH","country":"GB"},"tags":["math","engines"],"lang":"en-GB" }`

// nothingStore records nothing: what is left is what the rest of an accept costs.
type nothingStore struct{ tracking.Store }

func (nothingStore) Accept(context.Context, *tracking.Acceptance) (*tracking.IdemRow, error) {
	return nil, nil
}
func (nothingStore) Idem(context.Context, string) (*tracking.IdemRow, error) { return nil, nil }
func (nothingStore) SavePlan(context.Context, string, []byte) error          { return nil }

type nothingQueue struct{ dispatch.Queue }

func (nothingQueue) Enqueue(context.Context, ...dispatch.Task) error { return nil }
func (nothingQueue) Submit(...dispatch.Task)                         {}

// BenchmarkAccept is one accepted request with all that a route usually has, over a kept
// connection, without Redis: a token, a limit, a key, three mappings, the access log and the
// figures. The client writes and reads bytes and nothing more.
func BenchmarkAccept(b *testing.B) {
	addr, token := serveNothing(b)
	request := acceptRequest(b, addr, token)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		request(i)
	}
}

// serveNothing starts a gateway with acceptRoutes; it gives the address and a token.
func serveNothing(b *testing.B) (addr, token string) {
	b.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	for name, text := range map[string]string{
		"headgate.yaml": "admin: {listen: off}\nroutes: [routes.yaml]\nredis: {url: redis://127.0.0.1:1/0}\n", "routes.yaml": acceptRoutes,
		"issuer.pem": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	limit := func(context.Context, string, int64, time.Duration) (policies.LimitState, error) {
		return policies.LimitState{Remaining: 999_999_999, Reset: time.Hour}, nil
	}
	var report yamlsrc.Report
	_, table := Load(filepath.Join(dir, "headgate.yaml"), policies.Deps{Limit: limit, Log: slog.New(slog.DiscardHandler)}, &report)
	if err := report.Err(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(table.Close)
	log, _, err := obs.Logger(io.Discard, "json", "info")
	if err != nil {
		b.Fatal(err)
	}
	figures := obs.New()
	s := gateway.New(gateway.Options{
		Table:    func() gateway.Table { return table },
		Acceptor: dispatch.NewDispatcher(nothingStore{}, nothingQueue{}).Admit(&dispatch.Admission{Log: log}),
		Log:      log, Retention: time.Hour, Observe: figures.Request, ObserveAccept: figures.Accepted,
	})
	if err := s.Start(b.Context(), "127.0.0.1:0"); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Stop(context.Background()) })
	token, err = jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": "https://id.example.com", "aud": "headgate", "sub": "bench", "org": "acme",
		"scope": "profiles:write", "exp": time.Now().Add(24 * time.Hour).Unix(),
	}).SignedString(key)
	if err != nil {
		b.Fatal(err)
	}
	return s.Addr(), token
}

// acceptRequest gives a function that sends one request and waits for its 202.
func acceptRequest(b *testing.B, addr, token string) func(i int) {
	b.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	head := fmt.Sprintf("POST /profiles/42 HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept-Encoding: gzip\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\nIdempotency-Key: ", addr, token, len(acceptBody))
	out, in := make([]byte, 0, 4<<10), make([]byte, 4<<10)
	return func(i int) {
		out = append(strconv.AppendInt(append(out[:0], head...), int64(i), 10), "\r\n\r\n"+acceptBody...)
		if _, err := conn.Write(out); err != nil {
			b.Fatal(err)
		}
		n, err := conn.Read(in) // the answer is written at once
		if err != nil || !strings.HasPrefix(string(in[:n]), "HTTP/1.1 "+strconv.Itoa(http.StatusAccepted)) {
			b.Fatal(string(in[:n]), err)
		}
	}
}
