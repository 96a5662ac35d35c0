package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"headgate/dispatch"
	"headgate/dispatch/target"
	"headgate/dispatch/trace"
	"headgate/dispatch/tracking"
	"headgate/policies"
	"headgate/routes"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		// Only idle workers: one that still serves has something else on top.
		goleak.IgnoreTopFunction("github.com/valyala/fasthttp.(*workerPool).workerFunc"),
	)
}

// fakeTable matches exact paths; a pattern that ends in /:id takes one segment.
type fakeTable struct{ routes []*routes.Route }

func (f *fakeTable) Match(method, path string) (*routes.Route, map[string]string, []string) {
	var allow []string
	for _, r := range f.routes {
		params := map[string]string{}
		if prefix, ok := strings.CutSuffix(r.Pattern, ":id"); ok {
			id, found := strings.CutPrefix(path, prefix)
			if !found || id == "" || strings.Contains(id, "/") {
				continue
			}
			params["id"] = id
		} else if r.Pattern != path {
			continue
		}
		if r.Method == method {
			return r, params, nil
		}
		allow = append(allow, r.Method)
	}
	return nil, nil, allow
}

func (f *fakeTable) TrackingAuth() *routes.Auth { return nil }

// fakePolicy is a policy made of a function.
type fakePolicy struct {
	name  string
	stage policies.Stage
	check func(context.Context, *policies.Request) policies.Decision
}

func (p fakePolicy) Name() string          { return p.name }
func (p fakePolicy) Stage() policies.Stage { return p.stage }
func (p fakePolicy) Check(ctx context.Context, r *policies.Request) policies.Decision {
	return p.check(ctx, r)
}

// keyAuth takes the tenant from X-API-Key; without one it denies.
var keyAuth = fakePolicy{"auth", policies.Identify, func(_ context.Context, r *policies.Request) policies.Decision {
	key := r.Header.Get("X-Api-Key")
	if key == "" {
		return policies.Decision{
			Problem: policies.Problem{Status: 401, Type: "unauthenticated", Detail: "Credentials are needed."},
			Headers: map[string]string{"WWW-Authenticate": `ApiKey realm="test"`},
			Log:     "no key",
		}
	}
	r.Principal = policies.Principal{Authenticator: "keys", ID: key, Tenant: key, Claims: map[string]any{"org": key}}
	return policies.Pass()
}}

// jsonBody is what the body policy does, in small.
var jsonBody = fakePolicy{"body", policies.Content, func(_ context.Context, r *policies.Request) policies.Decision {
	if r.Header.Get("Content-Type") != "application/json" {
		return policies.Deny(policies.Problem{Status: 415, Type: "unsupported-media-type"}, "")
	}
	dec := json.NewDecoder(bytes.NewReader(r.Body))
	dec.UseNumber()
	if err := dec.Decode(&r.JSON); err != nil {
		return policies.Deny(policies.Problem{Status: 400, Type: "bad-json", Detail: "The body is not JSON."}, "")
	}
	r.HasJSON = true
	return policies.Pass()
}}

func newRoute(name, match string, list ...policies.Policy) *routes.Route {
	method, pattern, _ := strings.Cut(match, " ")
	return &routes.Route{
		Name: name, Method: method, Pattern: pattern, Policies: list,
		Idempotency: routes.IdempotencyOptional, IdemTTL: time.Hour,
		Fanout: &dispatch.Fanout{Route: name, Rule: tracking.DoneAll, Bindings: []dispatch.Binding{
			{Plan: &target.Plan{Name: "crm", NeedsParams: true}},
			{Plan: &target.Plan{Name: "analytics"}, Optional: true},
		}},
	}
}

// fakeAcceptor keeps dispatches in memory. The hooks replace a method's work.
type fakeAcceptor struct {
	mu       sync.Mutex
	records  map[string]*tracking.Dispatch
	idem     map[string]dispatch.Receipt
	prints   map[string]string
	intakes  []dispatch.Intake
	traces   []trace.Context
	payloads []map[string]json.RawMessage

	onLookup func(context.Context, dispatch.Idem) (dispatch.Receipt, bool, error)
	onAccept func(context.Context, dispatch.Intake) (dispatch.Receipt, error)
	onTrack  func(ctx context.Context, id, tenant string, wait time.Duration) (*tracking.Dispatch, error)
}

func newAcceptor() *fakeAcceptor {
	return &fakeAcceptor{records: map[string]*tracking.Dispatch{}, idem: map[string]dispatch.Receipt{}, prints: map[string]string{}}
}

func (f *fakeAcceptor) Lookup(ctx context.Context, idem dispatch.Idem) (dispatch.Receipt, bool, error) {
	if f.onLookup != nil {
		return f.onLookup(ctx, idem)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lookup(idem)
}

func (f *fakeAcceptor) lookup(idem dispatch.Idem) (dispatch.Receipt, bool, error) {
	r, ok := f.idem[idem.Hash]
	if ok && f.prints[idem.Hash] != idem.Fingerprint {
		return dispatch.Receipt{Conflict: true, ID: r.ID}, true, nil
	}
	r.Replayed = ok
	return r, ok, nil
}

func (f *fakeAcceptor) Accept(ctx context.Context, fan *dispatch.Fanout, m dispatch.Mapped, in dispatch.Intake) (dispatch.Receipt, error) {
	if f.onAccept != nil {
		return f.onAccept(ctx, in)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if in.Idem != nil {
		if r, ok, err := f.lookup(*in.Idem); ok || err != nil {
			return r, err
		}
	}
	f.intakes, f.traces = append(f.intakes, in), append(f.traces, trace.From(ctx))
	f.payloads = append(f.payloads, maps.Clone(m.Payloads))
	id := fmt.Sprintf("trk_%d", len(f.intakes))
	d := &tracking.Dispatch{ID: id, Route: fan.Route, Tenant: in.Tenant, Rule: fan.Rule, AcceptedAt: time.Now(), Deliveries: map[string]tracking.Delivery{}}
	r := dispatch.Receipt{ID: id, Targets: map[string]tracking.State{}}
	for _, b := range fan.Bindings {
		d.Targets = append(d.Targets, tracking.TargetRef{Name: b.Plan.Name, Optional: b.Optional})
		d.Deliveries[b.Plan.Name] = tracking.Delivery{State: tracking.Pending, Phase: tracking.Queued, Step: "send"}
		r.Targets[b.Plan.Name] = tracking.Pending
	}
	f.records[id] = d
	if in.Idem != nil {
		f.idem[in.Idem.Hash], f.prints[in.Idem.Hash] = r, in.Idem.Fingerprint
	}
	return r, nil
}

func (f *fakeAcceptor) Track(ctx context.Context, id, tenant string, wait time.Duration) (*tracking.Dispatch, error) {
	if f.onTrack != nil {
		return f.onTrack(ctx, id, tenant, wait)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	d, ok := f.records[id]
	if !ok || d.Tenant != tenant {
		return nil, tracking.ErrNotFound
	}
	return d, nil
}

func (f *fakeAcceptor) accepted() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.intakes)
}

// rig is a running server with everything around it under the test's control.
type rig struct {
	t        *testing.T
	server   *Server
	acceptor *fakeAcceptor
	table    *fakeTable
	url      string
	log      *logBuffer
	client   *http.Client
	stopped  bool // the test has stopped the server itself
}

// start runs a server with the route POST /profiles/:id behind keyAuth. change may
// adjust it first.
func start(t *testing.T, change func(*rig, *Options)) *rig {
	t.Helper()
	r := &rig{t: t, acceptor: newAcceptor(), log: &logBuffer{}, client: &http.Client{
		Transport: &http.Transport{DisableCompression: true}, Timeout: 20 * time.Second,
	}}
	r.table = &fakeTable{routes: []*routes.Route{newRoute("profile-changed", "POST /profiles/:id", keyAuth, jsonBody)}}
	o := Options{
		Table: func() Table { return r.table }, Acceptor: r.acceptor,
		Log: slog.New(slog.NewJSONHandler(r.log, nil)), MaxBody: 64 << 10, MaxHeader: 8 << 10,
	}
	if change != nil {
		change(r, &o)
	}
	r.server = New(o)
	r.server.trackingAuth = func(Table) policies.Policy { return keyAuth }
	if err := r.server.Start(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	r.url = "http://" + r.server.Addr()
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		if r.stopped {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.server.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return r
}

// response is an answer read whole.
type response struct {
	status int
	header http.Header
	body   string
	doc    map[string]any
	closes bool // Connection: close
}

func (r *rig) do(method, path, body string, header ...string) response {
	r.t.Helper()
	out, err := r.send(method, path, body, header...)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// send is do for goroutines other than the test's. header lists names and values; the
// name may be repeated.
func (r *rig) send(method, path, body string, header ...string) (response, error) {
	req, err := http.NewRequest(method, r.url+path, strings.NewReader(body))
	if err != nil {
		return response{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-API-Key", "acme")
	for i := 0; i < len(header); i += 2 {
		if i == 0 || header[i] != header[i-2] {
			req.Header.Del(header[i])
		}
		if header[i+1] != "" {
			req.Header.Add(header[i], header[i+1])
		}
	}
	res, err := r.client.Do(req)
	if err != nil {
		return response{}, err
	}
	return readResponse(res)
}

func readResponse(res *http.Response) (response, error) {
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return response{}, err
	}
	out := response{status: res.StatusCode, header: res.Header, body: string(body), closes: res.Close}
	if len(body) > 0 {
		err = json.Unmarshal(body, &out.doc)
	}
	return out, err
}

// raw sends bytes as they are and reads one answer; more is what came after it until
// the server closed the connection.
func (r *rig) raw(request string) (res response, more string) {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.server.Addr())
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		r.t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		r.t.Fatalf("no answer: %v", err)
	}
	res, err = readResponse(answer)
	if err != nil {
		r.t.Fatal(err)
	}
	if answer.Close {
		rest, err := io.ReadAll(in)
		if err != nil {
			r.t.Fatalf("the connection was not closed cleanly: %v", err)
		}
		more = string(rest)
	}
	return res, more
}

// wantProblem checks an answer to be the problem.
func wantProblem(t *testing.T, res response, status int, slug string) {
	t.Helper()
	if res.status != status || res.doc["type"] != "urn:headgate:problem:"+slug {
		t.Fatalf("got %d %s, want %d %s", res.status, res.body, status, slug)
	}
	if got := res.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type is %q", got)
	}
	if res.doc["title"] == "" || res.doc["status"] != float64(status) {
		t.Errorf("title or status is wrong: %s", res.body)
	}
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.String()
}
