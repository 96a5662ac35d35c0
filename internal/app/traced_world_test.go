package app_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"headgate/gateway"
	"headgate/internal/app"
	"headgate/internal/obs"
	"headgate/internal/testenv"
)

// receiver takes spans like a collector: OTLP over HTTP.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	spans []*spans.Span
	text  strings.Builder // all that was sent
	bad   []string
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	var sent collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &sent)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil || req.URL.Path != "/v1/traces" {
		r.bad = append(r.bad, req.URL.Path)
	}
	r.text.WriteString(prototext.Format(&sent))
	for _, from := range sent.GetResourceSpans() {
		for _, scope := range from.GetScopeSpans() {
			r.spans = append(r.spans, scope.GetSpans()...)
		}
	}
}

// tree is what was received, by name and by ID.
type tree struct {
	t      *testing.T
	byName map[string][]*spans.Span
	byID   map[string]*spans.Span
}

func (r *receiver) tree(t *testing.T) *tree {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.bad) > 0 {
		t.Errorf("not taken: %q", r.bad)
	}
	out := &tree{t, map[string][]*spans.Span{}, map[string]*spans.Span{}}
	for _, s := range r.spans {
		out.byName[s.GetName()] = append(out.byName[s.GetName()], s)
		out.byID[hex.EncodeToString(s.GetSpanId())] = s
	}
	return out
}

// named gives the spans of a name that are children of parent; nil: of any.
func (w *tree) named(name string, parent *spans.Span, want int) []*spans.Span {
	w.t.Helper()
	var out []*spans.Span
	for _, s := range w.byName[name] {
		if parent == nil || bytes.Equal(s.GetParentSpanId(), parent.GetSpanId()) && bytes.Equal(s.GetTraceId(), parent.GetTraceId()) {
			out = append(out, s)
		}
	}
	if len(out) != want {
		names := make([]string, 0, len(w.byName))
		for name := range w.byName {
			names = append(names, name)
		}
		w.t.Fatalf("%d spans %q, want %d; there are %q", len(out), name, want, names)
	}
	return out
}

func attributes(s *spans.Span) map[string]any {
	out := map[string]any{}
	for _, a := range s.GetAttributes() {
		switch v := a.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			out[a.GetKey()] = v.StringValue
		case *common.AnyValue_IntValue:
			out[a.GetKey()] = v.IntValue
		default:
			out[a.GetKey()] = v
		}
	}
	return out
}

// has looks for attributes of a span.
func (w *tree) has(s *spans.Span, want map[string]any) {
	w.t.Helper()
	got := attributes(s)
	for key, value := range want {
		if got[key] != value {
			w.t.Errorf("%s: %s is %v, want %v", s.GetName(), key, got[key], value)
		}
	}
}

// markedRoutes feed a target whose first answer is a failure, one that is polled, and one that
// takes batches.
const markedRoutes = `
auth:
  mobile: {jwt: {issuer: https://id.example.com, audience: headgate, key: {env: TRACED_KEY}, algorithms: [HS256], tenant: "${{ .claims.org }}"}}
targets:
  crm:
    url: URL
    put: "/people/${{ .params.id }}?mail=${{ .payload.email }}"
    retry: {attempts: 3, first: 1ms, max: 2ms}
  jobs:
    url: URL
    steps:
      - {name: submit, post: /jobs, save: {job: "${{ .response.body.job }}"}}
      - name: finish
        get: "/jobs/${{ .saved.job }}"
        until: {state: "${{ .response.body.state }}", message: "${{ .response.body.message }}", running: [running], succeeded: [done], failed: [failed], every: {first: 1s, max: 1s}, deadline: 1m}
    finally:
      - {name: forget, delete: "/jobs/${{ .saved.job }}"}
  bulk:
    url: URL
    post: /bulk
    batch: {max_records: 2, linger: 30s}
  refusing: {url: URL, post: /refuse}
  broken: {url: URL, post: /broken, retry: {attempts: 1}}
routes:
  - name: people
    match: POST /people/:id
    auth: {any: [mobile], scopes: [write]}
    targets: {crm: , jobs: , bulk: }
  - name: refused
    match: POST /refused/:id
    auth: {any: [mobile], scopes: [write]}
    targets: {refusing: {transform: {n: "${{ .body.n + 1 }}"}}, broken: }
`

// tracedWorld is a gateway and a worker, each by itself, on one Redis.
type tracedWorld struct {
	*rig
	backend *seenBy
	worker  *app.App
	log     lines
	flush   func() // has all spans sent
}

// marked answers with what it was sent, and with more that is nobody's business.
func marked(first *atomic.Bool, polls *atomic.Int32) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		said := `"email":"planted-mail@example.com","message":"planted-message about ` + req.URL.Path + `"`
		switch {
		case strings.HasPrefix(req.URL.Path, "/people/") && first.CompareAndSwap(false, true):
			says(w, 503, "{%s}", said)
		case req.Method == http.MethodDelete:
			says(w, 500, "{%s}", said)
		case strings.HasPrefix(req.URL.Path, "/jobs/") && polls.Add(1) == 1:
			says(w, 200, `{"state":"running",%s}`, said)
		case req.URL.Path == "/refuse":
			says(w, 422, "{%s}", said)
		case req.URL.Path == "/broken":
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, "planted-nonsense\r\n\r\n")
				_ = conn.Close()
			}
		default:
			says(w, 200, `{"state":"done","job":"planted-job",%s}`, said)
		}
	}
}

// newTracedWorld starts one. The variables that ask for traces are set by the caller.
func newTracedWorld(t *testing.T) *tracedWorld {
	t.Helper()
	w := &tracedWorld{rig: &rig{dir: t.TempDir(), client: &http.Client{Transport: &http.Transport{}}}}
	t.Cleanup(w.client.CloseIdleConnections)
	w.backend = serve(t, "127.0.0.1:0", marked(new(atomic.Bool), new(atomic.Int32)))
	t.Setenv("TRACED_KEY", strings.Repeat("k", 32))
	for name, text := range map[string]string{
		"headgate.yaml": "admin: {listen: off}\nredis: {url: '" + testenv.Redis(t).URL() + "'}\ntrusted_proxies: [127.0.0.1/32]\n" +
			"routes_may_read: {env: [TRACED_KEY]}\ntelemetry: {log: {level: debug}}\n",
		"routes/people.yaml": strings.ReplaceAll(markedRoutes, "URL", w.backend.URL),
	} {
		path := filepath.Join(w.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var stops []func(context.Context) error
	w.flush = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for _, stop := range stops {
			if err := stop(ctx); err != nil {
				t.Error(err)
			}
		}
	})
	t.Cleanup(w.flush)
	start := func(role app.Role) *app.App {
		log, level, err := obs.Logger(&w.log, "json", "debug")
		if err != nil {
			t.Fatal(err)
		}
		traces, err := obs.NewTraces(t.Context(), "test", os.Getenv, log)
		if err != nil {
			t.Fatal(err)
		}
		a, err := app.New(t.Context(), app.Options{
			ConfigPath: filepath.Join(w.dir, "headgate.yaml"), Role: role, Log: log, Level: level, Traces: traces, Listen: "127.0.0.1:0",
		})
		if err != nil {
			t.Fatal(err)
		}
		stops = append(stops, a.Stop)
		if err := a.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		return a
	}
	w.App, w.worker = start(app.RoleGateway), start(app.RoleWorker)
	w.token = w.sign(t, map[string]any{"sub": "planted-subject", "org": "acme", "scope": "write", "email": "planted-claim@example.com"})
	return w
}

func (w *tracedWorld) sign(t *testing.T, claims map[string]any) string {
	t.Helper()
	token, err := w.Table().Authenticators()["mobile"].(interface {
		Sign(claims map[string]any, ttl time.Duration) (string, error)
	}).Sign(claims, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Whose trace it is that a client sends.
const (
	clientTrace = "0af7651916cd43dd8448eb211c80319c"
	clientSpan  = "b7ad6b7169203331"
)

// marks go with each request: whatever of them is found anywhere has leaked.
var marks = []string{
	"X-Forwarded-For", "203.0.113.77", "User-Agent", "planted-agent", "Baggage", "user=planted-baggage", "Tracestate", "vendor=planted-state",
	"Cookie", "planted-cookie",
}

const markedBody = `{"email":"planted-mail@example.com","name":"planted-name","n":"planted-value"}`

// people sends two requests, the first of them with the client's trace, and waits for their end.
func (w *tracedWorld) people(t *testing.T) (ids [2]string) {
	t.Helper()
	for i := range ids {
		header := append([]string{"Idempotency-Key", "planted-key-" + string(rune('a'+i))}, marks...)
		if i == 0 {
			header = append(header, "Traceparent", "00-"+clientTrace+"-"+clientSpan+"-01")
		}
		ids[i] = w.accept(t, "/people/planted-id?email=planted-query@example.com", header)
	}
	for _, id := range ids {
		w.end(t, id)
	}
	return ids
}

func (w *tracedWorld) accept(t *testing.T, path string, header []string) string {
	t.Helper()
	status, text, err := w.do(t.Context(), http.MethodPost, path, markedBody, header...)
	_, rest, _ := strings.Cut(string(text), `"tracking_id":"`)
	id, _, _ := strings.Cut(rest, `"`)
	if err != nil || status != http.StatusAccepted || id == "" {
		t.Fatalf("%d %s %v", status, text, err)
	}
	return id
}

func (w *tracedWorld) end(t *testing.T, id string) *gateway.TrackingView {
	t.Helper()
	view, err := w.await(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return view
}
