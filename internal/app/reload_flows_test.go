package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/gateway/admin"
	"headgate/internal/app"
	"headgate/internal/testenv"
)

// patient is a backend that holds back its answers until it is told to go on.
type patient struct {
	url string

	mu    sync.Mutex
	calls []call
	open  chan struct{} // closed: everything is answered well
}

// call is one request: what Headgate called it, and its path.
type call struct{ key, path string }

func newPatient(t *testing.T) *patient {
	p := &patient{open: make(chan struct{})}
	server := httptest.NewServer(p)
	p.url = server.URL
	t.Cleanup(server.Close)
	return p
}

// hold holds back what comes from now on, and release lets it go.
func (p *patient) hold() { p.mu.Lock(); defer p.mu.Unlock(); p.open = make(chan struct{}) }

func (p *patient) release() { close(p.gate()) }

func (p *patient) gate() chan struct{} { p.mu.Lock(); defer p.mu.Unlock(); return p.open }

func (p *patient) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.calls = append(p.calls, call{r.Header.Get("Idempotency-Key"), r.URL.Path})
	p.mu.Unlock()
	opened := false
	select {
	case <-p.gate():
		opened = true
	default:
	}
	switch {
	case strings.HasPrefix(r.URL.Path, "/hang"):
		select {
		case <-p.gate():
		case <-r.Context().Done():
			return
		}
	case r.URL.Path == "/job" && !opened:
		says(w, http.StatusOK, `{"status":"running"}`)
		return
	case r.URL.Path == "/fail" && !opened:
		says(w, http.StatusServiceUnavailable, `{}`)
		return
	}
	says(w, http.StatusOK, `{"status":"done","id":"1"}`)
}

// paths are those of the calls for one delivery, each repetition left out.
func (p *patient) paths(id string) (out []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.calls {
		if strings.HasPrefix(c.key, id+":") {
			out = append(out, c.path)
		}
	}
	return slices.Compact(out)
}

func (p *patient) count(path string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.calls {
		if c.path == path {
			n++
		}
	}
	return n
}

// routesOf is a route file with one route for each target. The text of a target is in YAML's
// flow style or indented by four.
func routesOf(targets map[string]string) string {
	var out strings.Builder
	out.WriteString("auth:\n  mobile: {jwt: {issuer: i, audience: headgate, key: {env: MOBILE_JWT_KEY}, algorithms: [HS256], tenant: \"${{ .claims.org }}\"}}\ntargets:\n")
	for name, text := range targets {
		fmt.Fprintf(&out, "  %s:%s\n", name, text)
	}
	out.WriteString("routes:\n")
	for name := range targets {
		fmt.Fprintf(&out, "  - {name: to-%s, match: POST /%s, auth: [mobile], targets: {%s: {}}}\n", name, name, name)
	}
	return out.String()
}

// reloadRig runs route files of its own, which are read again only when the test says so.
func reloadRig(t *testing.T, targets map[string]string, change ...func(*app.Options)) *rig {
	r := newRig(t, nil)
	r.rewrite(t, "headgate.yaml", func(s string) string { return s + "\nwatch: false\nlimits: {shutdown: 5s}\n" })
	r.routes(t, targets)
	r.start(t, change...)
	r.token = r.sign(t, "alice", "acme")
	return r
}

func (r *rig) routes(t *testing.T, targets map[string]string) {
	t.Helper()
	r.rewrite(t, "routes/profiles.yaml", func(string) string { return routesOf(targets) })
}

func (r *rig) submit(t *testing.T, path string) string {
	t.Helper()
	status, text, err := r.do(t.Context(), http.MethodPost, path, `{"n":1}`)
	var accepted struct {
		ID string `json:"tracking_id"`
	}
	if err != nil || status != http.StatusAccepted || json.Unmarshal(text, &accepted) != nil {
		t.Fatalf("%s: %d %s %v", path, status, text, err)
	}
	return accepted.ID
}

func (r *rig) reloadState(t *testing.T) (out admin.ReloadState) {
	t.Helper()
	if status, err := r.ask(t.Context(), http.MethodGet, "/reload", "", &out); err != nil || status != http.StatusOK {
		t.Fatalf("%d %v", status, err)
	}
	return out
}

// A target that leaves the files is drained: what is queued for it, what waits for a job and
// what is being gathered into a batch all end; it is told until then, and then nothing of it
// is left.
func TestRemovedTargetsAreDrainedAndGivenUp(t *testing.T) {
	backend := newPatient(t)
	kept := map[string]string{"stay": " {url: " + backend.url + ", post: /stay}"}
	all := map[string]string{
		"stay":   kept["stay"],
		"queued": " {url: " + backend.url + ", post: /hang, limits: {concurrency: 1, timeout: 60s}}",
		"job": "\n    url: " + backend.url + "\n    steps:\n      - {name: start, post: /start, save: {job: '${{ .response.body.id }}'}}\n" +
			"      - {name: finish, get: /job, until: {state: '${{ .response.body.status }}', running: [running], succeeded: [done], every: {first: 200ms, max: 200ms}}}",
		"mails": " {url: " + backend.url + ", post: /mails, batch: {max_records: 100, linger: 4s}}",
	}
	var log lines
	r := reloadRig(t, all, func(o *app.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	ids := []string{}
	for _, target := range []string{"queued", "queued", "job", "mails", "mails"} {
		ids = append(ids, r.submit(t, "/"+target))
	}
	testenv.Eventually(t, 20*time.Second, func() bool { return backend.count("/hang") == 1 && backend.count("/job") > 0 }, "the backend is not called")
	r.routes(t, kept)
	if err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	state := r.reloadState(t)
	// A batch counts besides its records.
	want := []admin.Drained{{Target: "job", Deliveries: 1}, {Target: "mails", Deliveries: 3}, {Target: "queued", Deliveries: 2}}
	if !slices.Equal(state.Draining, want) || state.Unknown != "" {
		t.Errorf("draining are %+v (%s), want %+v", state.Draining, state.Unknown, want)
	}
	if got := state.Last.Changed.Targets.Removed; !slices.Equal(got, []string{"job", "mails", "queued"}) {
		t.Errorf("removed are %v", got)
	}
	if told := log.take("msg=reloaded"); len(told) != 1 || !strings.Contains(told[0], `draining="[job: 1 mails: 3 queued: 2]"`) {
		t.Errorf("the log says %q", told)
	}
	backend.release()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, id := range ids {
		if view, err := r.await(ctx, id); err != nil || view.Status != "succeeded" {
			t.Fatalf("%+v %v", view, err)
		}
	}
	rdb := r.rdb(t)
	testenv.Eventually(t, time.Minute, func() bool {
		queues, err := rdb.SMembers(t.Context(), "asynq:queues").Result()
		return err == nil && !slices.ContainsFunc(queues, func(q string) bool { return !strings.HasPrefix(q, "stay") })
	}, "queues of former targets are left")
	testenv.Eventually(t, time.Minute, func() bool { return len(r.reloadState(t).Draining) == 0 }, "former targets are still draining")
	if told := log.take("former target is drained"); len(told) != 3 {
		t.Errorf("the log says %q", told)
	}
	if page := r.figures(t); strings.Contains(page, `headgate_breaker_state{target="queued"}`) {
		t.Error("the metrics still have the state of a former target")
	}
	counted := regexp.MustCompile(`(?m)^headgate_[a-z_]+\{.*target="(queued|job|mails)".*$`)
	page := r.figures(t)
	for _, told := range []string{`headgate_deliveries_total{reason="",state="succeeded",target="queued"} 2`, `headgate_batch_records_count{target="mails"} 1`} {
		if !strings.Contains(page, told) {
			t.Errorf("what the last deliveries came to is not told: %s in\n%s", told, strings.Join(counted.FindAllString(page, -1), "\n"))
		}
	}
	r.Part()
	if err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := counted.FindAllString(r.figures(t), -1); len(left) > 0 || !strings.Contains(r.figures(t), `target="stay"`) {
		t.Errorf("long after that the metrics still have %q", left)
	}
	// A target that comes back is served again.
	r.routes(t, all)
	if err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if view, err := r.await(ctx, r.submit(t, "/queued")); err != nil || view.Status != "succeeded" {
		t.Errorf("%+v %v", view, err)
	}
}

// The empty queues of a target that left the files while no worker ran are not shown for ever.
func TestDesertedQueuesAreRemoved(t *testing.T) {
	var log lines
	r := reloadRig(t, map[string]string{"stay": plainTarget}, func(o *app.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	rdb := r.rdb(t)
	if err := rdb.SAdd(t.Context(), "asynq:queues", "left", "left.resume", "left.bulk", "foreign", "stay", "stay.resume", "stay.bulk").Err(); err != nil {
		t.Fatal(err)
	}
	if err := r.Reload(t.Context()); err != nil { // a worker looks then, and from time to time
		t.Fatal(err)
	}
	queues, err := rdb.SMembers(t.Context(), "asynq:queues").Result()
	slices.Sort(queues)
	if err != nil || !slices.Equal(queues, []string{"foreign", "stay", "stay.bulk", "stay.resume"}) {
		t.Errorf("left are %q, %v", queues, err)
	}
	if told := log.take("nobody served"); len(told) != 1 || !strings.Contains(told[0], "target=left") {
		t.Errorf("the log says %q", told)
	}
}

// A delivery goes on by the steps that it was accepted under, whatever the file does to them;
// that there are such deliveries is told.
func TestFlowsGoOnByTheirSteps(t *testing.T) {
	step := func(name, path string) string { return fmt.Sprintf("      - {name: %s, post: %s}\n", name, path) }
	a, b, c := step("a", "/a"), step("b", "/fail"), step("c", "/c")
	backend := newPatient(t)
	target := func(steps ...string) map[string]string {
		return map[string]string{"flow": "\n    url: " + backend.url + "\n    retry: {attempts: 1000, first: 50ms, max: 50ms}\n    breaker: {failures: 100000}\n    steps:\n" + strings.Join(steps, "")}
	}
	r := reloadRig(t, target(a, b, c))
	for _, tc := range []struct {
		name  string
		now   []string
		names []string
		paths []string // of a delivery that is accepted afterwards
	}{
		{"renamed", []string{a, step("b2", "/fail"), c}, []string{"a", "b2", "c"}, []string{"/a", "/fail", "/c"}},
		{"inserted", []string{a, step("new", "/new"), b, step("more", "/more"), c}, []string{"a", "new", "b", "more", "c"}, []string{"/a", "/new", "/fail", "/more", "/c"}},
		{"removed", []string{a, c}, []string{"a", "c"}, []string{"/a", "/c"}},
		{"reordered", []string{c, b, a}, []string{"c", "b", "a"}, []string{"/c", "/fail", "/a"}},
		{"other calls, same names", []string{step("a", "/x"), step("b", "/y"), step("c", "/z")}, []string{"a", "b", "c"}, []string{"/x", "/y", "/z"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			backend.hold()
			r.routes(t, target(a, b, c))
			if err := r.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			before := backend.count("/fail")
			id := r.submit(t, "/flow")
			testenv.Eventually(t, 20*time.Second, func() bool { return backend.count("/fail") > before }, "the second step is not called")
			r.routes(t, target(tc.now...))
			if err := r.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			state := r.reloadState(t)
			if len(state.Flows) != 1 || state.Flows[0].Target != "flow" || state.Flows[0].Deliveries != 1 ||
				!slices.Equal(state.Flows[0].Steps, []string{"a", "b", "c"}) || !slices.Equal(state.Flows[0].StepsNow, tc.names) {
				t.Errorf("told is %+v", state.Flows)
			}
			backend.release()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			later := r.submit(t, "/flow")
			for id, want := range map[string][]string{id: {"/a", "/fail", "/c"}, later: tc.paths} {
				if view, err := r.await(ctx, id); err != nil || view.Status != "succeeded" {
					t.Fatalf("%+v %v", view, err)
				}
				if got := backend.paths(id); !slices.Equal(got, want) {
					t.Errorf("called are %v, want %v", got, want)
				}
			}
			testenv.Eventually(t, 20*time.Second, func() bool { return len(r.reloadState(t).Flows) == 0 }, "it is still told")
		})
	}
}

// A target that has left the files with deliveries under several plans is served by one of them,
// whichever look it is: a server that is replaced goes on with what it runs.
func TestFormerTargetIsServedByOnePlan(t *testing.T) {
	backend := newPatient(t)
	files := func(slots int) map[string]string {
		out := map[string]string{"stay": " {url: " + backend.url + ", post: /stay}"}
		if slots > 0 {
			out["queued"] = fmt.Sprintf(" {url: %s, post: /hang, limits: {concurrency: %d, timeout: 60s}}", backend.url, slots)
		}
		return out
	}
	r := reloadRig(t, files(2))
	put := func(slots int) {
		t.Helper()
		r.routes(t, files(slots))
		if err := r.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	under := func(calls int) {
		t.Helper()
		for range 20 {
			r.submit(t, "/queued")
		}
		testenv.Eventually(t, 20*time.Second, func() bool { return backend.count("/hang") == calls }, "the slots are not filled")
	}
	under(2)
	put(1)
	under(2 + 1)
	for range 10 {
		put(0)
	}
	if view, err := r.await(t.Context(), r.submit(t, "/stay")); err != nil || view.Status != "succeeded" {
		t.Fatalf("%+v %v", view, err)
	}
	if n := backend.count("/hang"); n != 2+1 {
		t.Errorf("%d calls at a time, want those of the two servers that the files asked for", n)
	}
	backend.release()
}
