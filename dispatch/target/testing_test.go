package target

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/config/secret"
	"headgate/config/yamlsrc"
	"headgate/dispatch/trace"
	"headgate/dispatch/tracking"
)

var testAccess = secret.Access{Env: []string{"CRM_*"}}

// compileText compiles the YAML of one target; ${URL} stands for a server's address.
func compileText(t testing.TB, url, text string) (*Plan, *yamlsrc.Report) {
	t.Helper()
	var report yamlsrc.Report
	n := yamlsrc.Parse("t.yaml", []byte(strings.ReplaceAll(text, "${URL}", url)), &report)
	if err := report.Err(); err != nil {
		t.Fatalf("parse: %v", err)
	}
	return Compile("crm", n, testAccess, &report), &report
}

func mustCompile(t testing.TB, url, text string) *Plan {
	t.Helper()
	p, report := compileText(t, url, text)
	if err := report.Err(); err != nil {
		t.Fatalf("compile:\n%v", err)
	}
	if p == nil {
		t.Fatal("no plan and no problem")
	}
	return p
}

// call is a request as a backend saw it.
type call struct {
	Method, URI string
	Header      http.Header
	Body        string
}

// backend is a server that records what it is asked and answers by script.
type backend struct {
	*httptest.Server
	mu    sync.Mutex
	calls []call
}

func newBackend(t testing.TB, answer http.HandlerFunc) *backend {
	b := &backend{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		b.mu.Lock()
		b.calls = append(b.calls, call{r.Method, r.RequestURI, r.Header.Clone(), string(body)})
		b.mu.Unlock()
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		answer(w, r)
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *backend) seen() []call {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]call(nil), b.calls...)
}

// says answers every call with one status and body.
func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func input() Input {
	return Input{
		Tracking: "trk_1", Tenant: "acme", Params: map[string]string{"id": "42"},
		Payload: json.RawMessage(`{"email":"a@b.example","n":12345678901234567890}`),
		Now:     noon, AcceptedAt: noon,
	}
}

func newEngine(t testing.TB) *Engine {
	e := NewEngine(Outgoing{}, nil)
	e.random = func() float64 { return 0.5 }
	t.Cleanup(e.Close)
	return e
}

// drive runs a delivery to its end, with a clock that jumps to the next run.
func drive(t *testing.T, e *Engine, p *Plan, in Input) (end tracking.Delivery, states []tracking.State) {
	t.Helper()
	ctx := trace.With(t.Context(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	d := in.Delivery
	for range 1000 {
		in.Delivery = d
		d = tracking.Apply(d, e.Run(ctx, p, in), in.Now)
		states = append(states, d.State)
		if d.State.Final() {
			return d, states
		}
		if d.NextAt.After(in.Now) {
			in.Now = d.NextAt
		}
	}
	t.Fatalf("no end after 1000 runs: %+v", d)
	return d, states
}

func eventOf[E tracking.Event](t *testing.T, e tracking.Event) E {
	t.Helper()
	got, ok := e.(E)
	if !ok {
		t.Fatalf("got %T %+v", e, e)
	}
	return got
}
