package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
	"headgate/gateway"
	"headgate/internal/app"
	"headgate/internal/simulate"
	"headgate/internal/testenv"
)

// callbackRoutes polls every ten minutes: what ends before was called back for.
const callbackRoutes = `
targets:
  marketing:
    url: ${BACKENDS_URL}/marketing/api/bulk/2.0
    auth: {basic: {user: 'Acme\integration', password: {env: MARKETING_PASSWORD}}}
    BATCH
    steps:
      - name: define
        post: /contacts/imports
        json: {name: test, fields: {C_EmailAddress: "{{Contact.Field(C_EmailAddress)}}"}, identifierFieldName: C_EmailAddress}
        save: {import: '${{ .response.body.uri | split("/") | last }}'}
      - name: upload
        post: /contacts/imports/${{ .saved.import }}/data
        json: RECORDS
      - name: sync
        post: /syncs
        json: {syncedInstanceUri: "/contacts/imports/${{ .saved.import }}", callbackUrl: "${{ .callback_url }}"}
        save: {job: '${{ .response.body.uri | split("/") | last }}'}
      - name: finish
        get: /syncs/${{ .saved.job }}
        until:
          state: ${{ .response.body.status }}
          running: [pending, active]
          succeeded: [success]
          failed: [error, errored]
          every: {first: 10m, max: 10m}
routes:
- name: contacts
  match: POST /contacts
  auth: none
  targets: {marketing: }
`

// callbackRig is a gateway and a worker that are processes of their own, a backend that calls
// back, and a proxy between the two, as public_url has one.
type callbackRig struct {
	*rig
	public *httptest.Server
	log    lines

	mu    sync.Mutex
	calls []string // "path status" of what came in at public_url
	// early has the first poll say that the job still runs, whatever the backend says.
	early  bool
	polled atomic.Int64
}

// newCallbackRig starts one. operator is added to the operator's file; batch, which may be
// empty, is the target's.
func newCallbackRig(t *testing.T, o simulate.EloquaOptions, batch, operator string, early bool) *callbackRig {
	t.Helper()
	server := testenv.Redis(t)
	r := &callbackRig{early: early, rig: &rig{
		dir: t.TempDir(), client: &http.Client{Transport: &http.Transport{}},
		rdb: func(t testing.TB) redis.UniversalClient { return server.Client(t) },
	}}
	t.Cleanup(r.client.CloseIdleConnections)
	o.Rejects = func(map[string]any, int) []simulate.Reject { return nil }
	var err error
	if r.backends, err = simulate.Start("127.0.0.1:0", simulate.NewEloqua(o)); err != nil {
		t.Fatal(err)
	}
	backends := r.inFront(t, "http://"+r.backends.Addr(), r.poll)
	r.public = httptest.NewServer(http.HandlerFunc(r.forward))
	records := `["${{ .payload }}"]`
	if batch != "" {
		records = `"${{ .records }}"`
	}
	for name, value := range map[string]string{"BACKENDS_URL": backends, "MARKETING_PASSWORD": "m", "HEADGATE_ADMIN_TOKEN": "admin"} {
		t.Setenv(name, value)
	}
	r.write(t, "routes/contacts.yaml", strings.NewReplacer("BATCH", batch, "RECORDS", records).Replace(callbackRoutes))
	r.write(t, "headgate.yaml", "public_url: "+r.public.URL+"/gate\nadmin: {listen: '127.0.0.1:0', token: {env: HEADGATE_ADMIN_TOKEN}}\nredis: {url: '"+server.URL()+"'}\n"+
		"routes_may_read: {env: [BACKENDS_URL, MARKETING_PASSWORD]}\n"+operator)
	t.Cleanup(func() { // after the processes
		r.public.Close()
		if err := r.backends.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	r.process(t, app.RoleWorker)
	r.App = r.process(t, app.RoleGateway)
	return r
}

func (r *callbackRig) process(t *testing.T, role app.Role) *app.App {
	t.Helper()
	a, err := app.New(t.Context(), app.Options{
		ConfigPath: filepath.Join(r.dir, "headgate.yaml"), Role: role, Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0",
		Log: slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := a.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a
}

// inFront puts a handler before a server; what it does not answer goes there.
func (r *callbackRig) inFront(t *testing.T, to string, answered func(http.ResponseWriter, *http.Request) bool) string {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(u)
	proxy.Transport = &http.Transport{DisableKeepAlives: true}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !answered(w, req) {
			proxy.ServeHTTP(w, req)
		}
	}))
	t.Cleanup(front.Close)
	return front.URL
}

// poll counts the polls, and answers the first one if the rig says so.
func (r *callbackRig) poll(w http.ResponseWriter, req *http.Request) bool {
	if req.Method != http.MethodGet || !strings.Contains(req.URL.Path, "/syncs/") {
		return false
	}
	if r.polled.Add(1) > 1 || !r.early {
		return false
	}
	says(w, http.StatusOK, `{"status":"active"}`)
	return true
}

// forward is what stands at public_url: it takes its own path off.
func (r *callbackRig) forward(w http.ResponseWriter, req *http.Request) {
	path, ok := strings.CutPrefix(req.URL.Path, "/gate")
	body, _ := io.ReadAll(req.Body)
	status, text, err := http.StatusNotFound, []byte(nil), error(nil)
	if ok {
		status, text, err = r.do(req.Context(), req.Method, path, string(body))
	}
	if err != nil {
		status = http.StatusBadGateway
	}
	r.mu.Lock()
	r.calls = append(r.calls, fmt.Sprint(path, " ", status))
	r.mu.Unlock()
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

func (r *callbackRig) called() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.calls...)
}

// send sends a contact and gives its tracking ID.
func (r *callbackRig) send(t *testing.T, n int) string {
	t.Helper()
	status, text, err := r.do(t.Context(), http.MethodPost, "/contacts", fmt.Sprintf(`{"C_EmailAddress":"u%d@example.com"}`, n))
	var accepted struct {
		ID string `json:"tracking_id"`
	}
	if err != nil || status != http.StatusAccepted || json.Unmarshal(text, &accepted) != nil {
		t.Fatalf("%d %s %v", status, text, err)
	}
	return accepted.ID
}

// end waits for how the delivery ends, for less than it would take without a callback.
func (r *callbackRig) end(t *testing.T, id string) gateway.DeliveryView {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	view, err := r.await(ctx, id)
	if err != nil {
		t.Fatalf("%v; called: %v", err, r.called())
	}
	return view.Targets[0].Value
}

// rowsGone waits until no row is left. The task of the poll that was planned waits for its time
// to do nothing.
func (r *callbackRig) rowsGone(t *testing.T) {
	t.Helper()
	r.empty(t, "hg:*:due", "hg:*:running", "hg:*:queued:*", "hg:*:open", "asynq:{*}:pending")
}

func TestACallbackEndsADelivery(t *testing.T) {
	r := newCallbackRig(t, simulate.EloquaOptions{JobDuration: 1500 * time.Millisecond}, "", "", false)
	id := r.send(t, 1)
	if got := r.end(t, id); got.State != tracking.Succeeded || r.polled.Load() != 2 {
		t.Errorf("%+v after %d polls", got, r.polled.Load())
	}
	calls := r.called()
	if len(calls) != 1 || !strings.HasPrefix(calls[0], "/callbacks/") || !strings.HasSuffix(calls[0], " 204") {
		t.Fatalf("called: %v", calls)
	}
	// Again, after the end: answered the same, and nothing happens.
	path, _, _ := strings.Cut(calls[0], " ")
	if status, text, err := r.do(t.Context(), http.MethodPost, path, `{"status":"error"}`); err != nil || status != http.StatusNoContent {
		t.Errorf("%d %s %v", status, text, err)
	}
	if got := r.end(t, id); got.State != tracking.Succeeded || r.polled.Load() != 2 {
		t.Errorf("after the end: %+v after %d polls", got, r.polled.Load())
	}
	if token := strings.TrimPrefix(path, "/callbacks/"); len(r.log.take(token)) > 0 || strings.Contains(token, id) {
		t.Errorf("the token %s is in the log, or %s in it", token, id)
	}
	r.rowsGone(t)
}

// Mistake 12: a callback that arrives before the answer to the submit is dropped. Here the backend
// calls back before its 201, the poll that follows at once still finds the job running, and the
// next one would be ten minutes later.
func TestMistake12CallbackBeforeTheAnswer(t *testing.T) {
	r := newCallbackRig(t, simulate.EloquaOptions{EarlyCallback: true}, "", "", true)
	if got := r.end(t, r.send(t, 1)); got.State != tracking.Succeeded || r.polled.Load() != 2 {
		t.Errorf("%+v after %d polls", got, r.polled.Load())
	}
	r.rowsGone(t)
}

// A batch is called back for as a whole.
func TestACallbackEndsABatch(t *testing.T) {
	const records = 5
	r := newCallbackRig(t, simulate.EloquaOptions{JobDuration: 300 * time.Millisecond}, "batch: {max_records: 5, linger: 1m}", "", false)
	var ids []string
	for n := range records {
		ids = append(ids, r.send(t, n))
	}
	for _, id := range ids {
		if got := r.end(t, id); got.State != tracking.Succeeded || got.Batch == "" {
			t.Errorf("%+v", got)
		}
	}
	if calls := r.called(); len(calls) != 1 {
		t.Errorf("called: %v", calls)
	}
	r.rowsGone(t)
}

// Tokens that nobody gave out change nothing, and are counted.
func TestForgedCallbacks(t *testing.T) {
	r := newCallbackRig(t, simulate.EloquaOptions{JobDuration: time.Hour}, "", "callbacks: {rate_limit: [{limit: 5, per: 1h, by: ip}]}\n", false)
	id := r.send(t, 1)
	testenv.Eventually(t, time.Minute, func() bool { return r.polled.Load() == 1 }, "not polled")
	for i, token := range []string{id, "marketing", strings.Repeat("A", 90), id + ":marketing", "", "one-too-many"} {
		status, text, err := r.do(t.Context(), http.MethodPost, "/callbacks/"+token, "{}")
		want := http.StatusNotFound
		if i >= 5 {
			want = http.StatusTooManyRequests
		}
		if err != nil || status != want {
			t.Errorf("%s: %d %s %v, want %d", token, status, text, err, want)
		}
	}
	view, err := r.rdb(t).Keys(t.Context(), "hg:callbackkey").Result()
	if err != nil || len(view) != 1 {
		t.Errorf("%v, %v", view, err)
	}
	if r.polled.Load() != 1 {
		t.Errorf("%d polls", r.polled.Load())
	}
}

// Who is to be called back has to say where: in the operator's file.
func TestCallbacksNeedAPublicURL(t *testing.T) {
	r := newCallbackRig(t, simulate.EloquaOptions{}, "", "", false)
	public := "public_url: " + r.public.URL + "/gate\n"
	r.rewrite(t, "headgate.yaml", func(s string) string { return strings.Replace(s, public, "", 1) })
	_, err := app.New(t.Context(), app.Options{ConfigPath: filepath.Join(r.dir, "headgate.yaml"), Role: app.RoleWorker})
	if err == nil {
		t.Fatal("it starts without")
	}
	for _, want := range []string{"contacts.yaml:17:90:", "target marketing uses .callback_url", "headgate.yaml has no public_url"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %q in it", err, want)
		}
	}
	// A process that began without one does not get one by a reload.
	routes := "targets: {crm: {url: 'https://crm.example', post: /x}}\nroutes: [{name: x, match: POST /x, auth: none, targets: {crm: }}]\n"
	var full string
	r.rewrite(t, "routes/contacts.yaml", func(s string) string { full = s; return routes })
	a := r.process(t, app.RoleGateway)
	r.write(t, "routes/contacts.yaml", full)
	r.rewrite(t, "headgate.yaml", func(s string) string { return public + s })
	if err := a.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "public_url takes effect with a restart only") {
		t.Errorf("reload: %v", err)
	}
}
