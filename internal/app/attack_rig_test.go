package app_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/gateway"
	"headgate/internal/app"
	"headgate/internal/testenv"
)

// The files attack_*_test.go hold one test for each attack that SECURITY.md speaks of.
// Each goes through a real gateway and worker on a real Redis; what a package tests by
// itself in more detail is named beside it.

// attackRig is a gateway with workers under files of the test's own.
type attackRig struct {
	*rig
	redis *testenv.RedisServer
	log   lines
}

const redisPassword = "planted-redis-password"

// attacked starts one. operator is added to the operator's file, routes is the route
// file; in both ${VICTIM} and the like were replaced by the caller.
func attacked(t *testing.T, operator, routes string, resolver *net.Resolver) *attackRig {
	t.Helper()
	server := testenv.Redis(t, testenv.WithConf("user", "headgate", "on", ">"+redisPassword, "~*", "&*", "+@all"))
	r := &attackRig{rig: &rig{dir: t.TempDir(), client: &http.Client{Transport: &http.Transport{}}}, redis: server}
	t.Cleanup(r.client.CloseIdleConnections)
	r.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if os.Getenv("HEADGATE_ADMIN_TOKEN") == "" {
		t.Setenv("HEADGATE_ADMIN_TOKEN", "admin")
	}
	t.Setenv("HEADGATE_REDIS_PASSWORD", redisPassword)
	for name, text := range map[string]string{
		"headgate.yaml": "admin: {listen: '127.0.0.1:0', token: {env: HEADGATE_ADMIN_TOKEN}}\nredis: {url: '" + r.redis.URL() + "', username: headgate, password: {env: HEADGATE_REDIS_PASSWORD}}\n" +
			"routes_may_read: {env: ['ATTACK_*'], files: ['" + os.TempDir() + "']}\n" + operator,
		"routes/attacked.yaml": routes,
	} {
		path := filepath.Join(r.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	r.App, err = app.New(t.Context(), app.Options{
		ConfigPath: filepath.Join(r.dir, "headgate.yaml"), Role: app.RoleAll, Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0",
		Log: slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Resolver: resolver,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := r.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// deliver sends a body and gives how the one target of its route ended.
func (r *attackRig) deliver(t *testing.T, path, body string, header ...string) gateway.DeliveryView {
	t.Helper()
	status, text, err := r.do(t.Context(), http.MethodPost, path, body, header...)
	var accepted struct {
		ID string `json:"tracking_id"`
	}
	if err != nil || status != http.StatusAccepted || json.Unmarshal(text, &accepted) != nil {
		t.Fatalf("%d %s %v", status, text, err)
	}
	view, err := r.await(t.Context(), accepted.ID)
	if err != nil || len(view.Targets) != 1 {
		t.Fatalf("%+v, %v", view, err)
	}
	return view.Targets[0].Value
}

// seenBy is a server that records what reaches it.
type seenBy struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request // with the body in a string, under the header "Body"
}

// serve starts a server at an address of its own, such as 127.0.0.1:0.
func serve(t *testing.T, addr string, answer http.HandlerFunc) *seenBy {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &seenBy{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		s.mu.Lock()
		kept := req.Clone(context.Background())
		kept.Header.Set("Body", string(body))
		s.seen = append(s.seen, kept)
		s.mu.Unlock()
		answer(w, req)
	}))
	s.Config.SetKeepAlivesEnabled(false) // each call dials, so that each is looked at
	_ = s.Listener.Close()
	s.Listener = listener
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func (s *seenBy) requests() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*http.Request(nil), s.seen...)
}

func (s *seenBy) host() string { return s.Listener.Addr().String() }

func port(t *testing.T, s *seenBy) string {
	t.Helper()
	_, port, err := net.SplitHostPort(s.host())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// names is a DNS server under the test's control.
type names struct {
	conn net.PacketConn

	mu      sync.Mutex
	answers map[string][]string // name → what to answer, the last for ever
}

// resolver starts one that answers with the given addresses, one a question.
func resolver(t *testing.T, answers map[string][]string) *net.Resolver {
	t.Helper()
	conn, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &names{conn: conn, answers: answers}
	var serving sync.WaitGroup
	serving.Go(n.serve)
	t.Cleanup(func() { _ = conn.Close(); serving.Wait() })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (n *names) serve() {
	buf := make([]byte, 512)
	for {
		size, from, err := n.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if answer := n.answer(buf[:size]); answer != nil {
			_, _ = n.conn.WriteTo(answer, from)
		}
	}
}

// answer makes a reply (RFC 1035, section 4): the header, the question, one address.
func (n *names) answer(question []byte) []byte {
	var labels []string
	at := 12
	for at < len(question) && question[at] != 0 {
		end := at + 1 + int(question[at])
		labels = append(labels, strings.ToLower(string(question[at+1:end])))
		at = end
	}
	at += 5 // the root label, type and class
	kind := binary.BigEndian.Uint16(question[at-4:])
	reply := append([]byte{question[0], question[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question[12:at]...)
	address, ok := n.next(strings.Join(labels, "."), kind)
	if !ok {
		return reply
	}
	reply[7] = 1
	raw := address.AsSlice()
	reply = append(reply, 0xc0, 12, byte(kind>>8), byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(len(raw)))
	return append(reply, raw...)
}

// next gives the next address of a name for a question of a kind: A (1) or AAAA (28).
func (n *names) next(name string, kind uint16) (netip.Addr, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := n.answers[name]
	if len(list) == 0 {
		return netip.Addr{}, false
	}
	address := netip.MustParseAddr(list[0])
	if address.Is4() != (kind == 1) || (kind != 1 && kind != 28) {
		return netip.Addr{}, false
	}
	if len(list) > 1 {
		n.answers[name] = list[1:]
	}
	return address, true
}

// says answers with JSON.
func says(w http.ResponseWriter, status int, format string, args ...any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, format, args...)
}
