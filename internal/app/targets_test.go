package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headgate/dispatch/tracking"
	"headgate/gateway/admin"
	"headgate/internal/app"
	"headgate/internal/redisstore"
	"headgate/internal/testenv"
)

// process starts one more process on the rig's files and Redis.
func (r *rig) process(t *testing.T, role app.Role) *app.App {
	t.Helper()
	a, err := app.New(t.Context(), app.Options{
		ConfigPath: filepath.Join(r.dir, "headgate.yaml"), Role: role, Log: slog.New(slog.DiscardHandler), Level: new(slog.LevelVar),
		Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, a) })
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a
}

func stop(t *testing.T, a *app.App) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := a.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// ask asks the admin listener of a process.
func ask(t *testing.T, a *app.App, method, path, body string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+a.AdminAddr()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+os.Getenv("HEADGATE_ADMIN_TOKEN"))
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// crmAt and targetAt give how a target stands, as a process tells.
func crmAt(t *testing.T, a *app.App) admin.TargetView { t.Helper(); return targetAt(t, a, "crm") }

func targetAt(t *testing.T, a *app.App, name string) (v admin.TargetView) {
	t.Helper()
	status, text := ask(t, a, http.MethodGet, "/targets/"+name, "")
	if err := json.Unmarshal([]byte(text), &v); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	return v
}

// order has crm do something, through the admin listener of a process.
func order(t *testing.T, a *app.App, verb, body string) admin.TargetView {
	t.Helper()
	status, text := ask(t, a, http.MethodPost, "/targets/crm/"+verb, body)
	var v admin.TargetView
	if err := json.Unmarshal([]byte(text), &v); err != nil || status != http.StatusOK {
		t.Fatalf("%s: %d %s", verb, status, text)
	}
	return v
}

// TestTargetsAreOrderedForTheFleet: whichever process is told, gateway or worker, a paused
// target takes requests and gets nothing; a drained one takes none and gets what was taken,
// known keys are answered; all of them tell the same, and it outlives them.
func TestTargetsAreOrderedForTheFleet(t *testing.T) {
	r := newRig(t, crmOnly("concurrency: 4"))
	r.start(t) // for its token; not for its worker
	token := r.token
	stop(t, r.App)
	first, second, worker := r.process(t, app.RoleGateway), r.process(t, app.RoleGateway), r.process(t, app.RoleWorker)
	all := []*app.App{first, second, worker}
	offer := func(a *app.App, key string) reply {
		t.Helper()
		r.App, r.token = a, token
		return r.offer(t, key, "Ada")
	}
	ends := func(id string) {
		t.Helper()
		view, err := r.await(t.Context(), id)
		if err != nil || view.Targets[0].Value.State != tracking.Succeeded {
			t.Errorf("%s: %+v, %v", id, view, err)
		}
	}
	same := func(state admin.TargetState, by, note string, open, pending int) {
		t.Helper()
		for i, a := range all {
			v := crmAt(t, a)
			if v.State != state || v.Former || v.Plan == "" || v.Breaker.State != "closed" || v.Open != open || v.Pending != pending || len(v.Queues) != 3 {
				t.Errorf("process %d: %+v, want %s, %d open, %d pending", i, v, state, open, pending)
			}
			if (v.Order == nil) != (state == admin.Active) || v.Order != nil && (v.Order.By != by || v.Order.Note != note || time.Since(v.Order.Since).Abs() > time.Minute) {
				t.Errorf("process %d: %+v, want %s by %s: %s", i, v, state, by, note)
			}
		}
	}
	same(admin.Active, "", "", 0, 0)

	paused := order(t, first, "pause", `{"note":"maintenance","by":"alice"}`) // this one has no flow
	if again := order(t, worker, "pause", ""); *again.Order != *paused.Order {
		t.Errorf("repeated: %+v, want %+v", again.Order, paused.Order)
	}
	testenv.Eventually(t, 5*time.Second, func() bool {
		_, text := ask(t, worker, http.MethodGet, "/readyz?verbose", "")
		return strings.Contains(text, "[warning] target crm: paused")
	}, "the worker does not see the pause")
	known := offer(first, "known")
	other := offer(second, "other")
	if known.status != 202 || other.status != 202 {
		t.Fatalf("paused, and answered %+v, %+v", known, other)
	}
	// Tasks are queued behind the 202.
	testenv.Eventually(t, 5*time.Second, func() bool { return crmAt(t, first).Pending == 2 }, "what was taken is not queued")
	same(admin.Paused, "alice", "maintenance", 2, 2)
	if v := crmAt(t, first); v.OldestPending <= 0 || v.InFlight != 0 {
		t.Errorf("%+v", v)
	}

	order(t, first, "drain", `{"note":"moves","by":"bob"}`)
	if refused := offer(first, "new"); refused.status != 503 || refused.slug != "target-draining" || refused.retryAfter != "30" {
		t.Errorf("drained, and answered %+v by the gateway that was told", refused)
	}
	for i, a := range all {
		if _, text := ask(t, a, http.MethodGet, "/metrics", ""); !strings.Contains(text, `headgate_target_draining{target="crm"} 1`) {
			t.Errorf("process %d tells no metric of it", i)
		}
	}
	testenv.Eventually(t, 5*time.Second, func() bool {
		return offer(second, fmt.Sprint("probe-", time.Now().UnixNano())).slug == "target-draining"
	}, "the other gateway does not see it")
	ends(known.id)
	ends(other.id)
	if again := offer(second, "known"); again.status != 202 || again.id != known.id {
		t.Errorf("a known key is answered %+v", again)
	}
	r.nothingLeft(t)
	same(admin.Draining, "bob", "moves", 0, 0)

	stop(t, first)
	stop(t, worker)
	first, worker = r.process(t, app.RoleGateway), r.process(t, app.RoleWorker)
	all = []*app.App{first, second, worker}
	if refused := offer(first, "new"); refused.slug != "target-draining" {
		t.Errorf("after a restart: %+v", refused)
	}
	order(t, worker, "resume", "")
	same(admin.Active, "", "", 0, 0)
	testenv.Eventually(t, 5*time.Second, func() bool {
		taken := offer(first, "new")
		if taken.status == 202 {
			ends(taken.id)
		}
		return taken.status == 202
	}, "resumed, and no request is taken")
	if status, text := ask(t, first, http.MethodPost, "/targets/cmr/pause", ""); status != 404 || !strings.Contains(text, "There are: analytics, billing, crm") {
		t.Errorf("an unknown target: %d %s", status, text)
	}
}

// TestGatewayTellsWhatHoldsTargets: what workers agree on, although it has none.
func TestGatewayTellsWhatHoldsTargets(t *testing.T) {
	r := newRig(t, crmOnly("concurrency: 4"))
	a := r.process(t, app.RoleGateway)
	orders := redisstore.NewFlow(r.rdb(t))
	if err := errors.Join(orders.Trip(t.Context(), "crm", "w", time.Hour, time.Hour), orders.Hold(t.Context(), "crm", time.Minute)); err != nil {
		t.Fatal(err)
	}
	v := crmAt(t, a)
	if v.Breaker.State != "open" || v.Breaker.OpenFor < 3500 || v.Breaker.OpenFor > 3600 || v.HeldFor < 50 || v.HeldFor > 60 {
		t.Errorf("%+v", v)
	}
	if err := orders.Trip(t.Context(), "billing", "w", time.Millisecond, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 5*time.Second, func() bool {
		_, text := ask(t, a, http.MethodGet, "/targets/billing", "")
		return strings.Contains(text, `"breaker":{"state":"half-open"}`)
	}, "the breaker's time does not end")
}

// TestFormerTargetsAreShown: one that has left the files is there as long as it has
// something left or is paused.
func TestFormerTargetsAreShown(t *testing.T) {
	r := newRig(t, nil)
	resume := r.pauseCRM(t)
	r.start(t)
	id, err := r.post(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	r.rewrite(t, "routes/profiles.yaml", withoutCRM)
	if err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := crmAt(t, r.App); !v.Former || v.Plan != "" || v.State != admin.Paused || v.Open != 1 {
		t.Errorf("%+v", v)
	}
	resume()
	if _, err := r.await(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if status, text := ask(t, r.App, http.MethodGet, "/targets/crm", ""); status != 404 {
		t.Errorf("nothing is left: %d %s", status, text)
	}
}

// TestTargetsAreCounted: what waits for a backend's job, what a run holds, what gave up.
func TestTargetsAreCounted(t *testing.T) {
	r := newRig(t, func(s string) string {
		return strings.Replace(s, "    put: /contacts", "    retry: {attempts: 1}\n    put: /contacts", 1)
	})
	r.start(t)
	if err := r.backends.Backend("crm").Behave("/", "status=503", 0); err != nil {
		t.Fatal(err)
	}
	gateway := r.process(t, app.RoleGateway)
	id, err := r.post(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	// Its job is polled after a second, and twice.
	testenv.Eventually(t, 10*time.Second, func() bool {
		v := targetAt(t, gateway, "newsletter")
		return v.Waiting == 1 && v.Open == 1 && v.OldestWaiting > 0.5
	}, "the backend's job is not counted")
	if _, err := r.await(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if v := targetAt(t, gateway, "newsletter"); v.Waiting != 0 || v.OldestWaiting != 0 || v.Open != 0 {
		t.Errorf("its job has ended: %+v", v)
	}
	if v := crmAt(t, gateway); v.DeadLetters != 1 || v.Open != 0 || v.InFlight != 0 {
		t.Errorf("it gave up: %+v", v)
	}
	if err := r.backends.Backend("crm").Behave("/", "delay=2s", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := r.post(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 10*time.Second, func() bool { v := crmAt(t, gateway); return v.InFlight == 1 && v.Pending == 0 }, "the run is not counted")
	r.backends.Backend("crm").ClearBehaviour()
}
