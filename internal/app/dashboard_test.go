package app_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

// press does what a button of Asynqmon does, and gives how many tasks it was done to.
func (r *rig) press(t *testing.T, method, button string) int {
	t.Helper()
	var done struct{ Deleted, Archived, Scheduled int }
	status, err := r.ask(t.Context(), method, "/asynqmon/api/queues/"+button, "", &done)
	if err != nil && status != http.StatusOK && status != http.StatusNoContent {
		t.Fatalf("%s %s: %d %v", method, button, status, err)
	}
	return done.Deleted + done.Archived + done.Scheduled
}

// queue tells how one stands, as Asynqmon shows it.
func (r *rig) queue(t *testing.T, name string) (out struct {
	Current struct {
		Pending, Scheduled, Active, Archived int
		Paused                               bool
	}
}) {
	t.Helper()
	if status, err := r.ask(t.Context(), http.MethodGet, "/asynqmon/api/queues/"+name, "", &out); err != nil || status != http.StatusOK {
		t.Fatalf("queue %s: %d %v", name, status, err)
	}
	return out
}

// TestHandsInTheDashboard: whatever an operator does to tasks and queues in Asynqmon, every
// delivery ends as it would have.
func TestHandsInTheDashboard(t *testing.T) {
	r := newRig(t, nil)
	r.rewrite(t, "headgate.yaml", func(s string) string { return strings.Replace(s, "admin:\n", "admin:\n  asynqmon: write\n", 1) })
	r.start(t)
	// asynq knows a queue once something was in it.
	first, err := r.post(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.await(t.Context(), first); err != nil {
		t.Fatal(err)
	}

	const n = 20
	for name := range want {
		r.press(t, http.MethodPost, name+":pause")
	}
	ids := make([]string, n)
	for i := range ids {
		if ids[i], err = r.post(t.Context(), i+1); err != nil {
			t.Fatal(err)
		}
	}
	for name := range want {
		testenv.Eventually(t, 10*time.Second, func() bool { return r.queue(t, name).Current.Pending == n }, name+" is paused and its tasks wait")
	}
	did := func(method, button string) {
		t.Helper()
		if got := r.press(t, method, button); got != n {
			t.Errorf("%s: %d tasks, not %d", button, got, n)
		}
	}
	did(http.MethodDelete, "crm/pending_tasks:delete_all")
	did(http.MethodPost, "newsletter/pending_tasks:archive_all")
	did(http.MethodPost, "marketing/pending_tasks:archive_all")
	did(http.MethodPost, "marketing/archived_tasks:run_all")
	did(http.MethodPost, "analytics/pending_tasks:archive_all")
	did(http.MethodDelete, "analytics/archived_tasks:delete_all")
	if err := r.backends.Backend("crm").Behave("/", "hang=before", 3); err != nil {
		t.Fatal(err)
	}
	// Jobs take a while: there is time for the buttons.
	if err := r.backends.Backend("marketing").Behave("/api/bulk/2.0/syncs/", `body={"status":"pending"}`, 5*n); err != nil {
		t.Fatal(err)
	}
	for name := range want {
		r.press(t, http.MethodPost, name+":resume")
	}

	// Calls that hang are canceled; polls are run early, deleted and archived.
	testenv.Eventually(t, time.Minute, func() bool { return r.queue(t, "crm").Current.Active == 3 }, "calls hang")
	r.press(t, http.MethodPost, "crm/active_tasks:cancel_all")
	for _, button := range []struct{ method, name string }{
		{http.MethodPost, "scheduled_tasks:run_all"}, {http.MethodDelete, "scheduled_tasks:delete_all"}, {http.MethodPost, "scheduled_tasks:archive_all"},
	} {
		testenv.Eventually(t, time.Minute, func() bool {
			return r.press(t, button.method, "marketing.resume/"+button.name) > 0
		}, button.name+" finds nothing")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, id := range ids {
		view, err := r.await(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		for _, target := range view.Targets {
			if target.Value.State != want[target.Name] {
				t.Errorf("%s %s: %s (%s %s), want %s", id, target.Name, target.Value.State, target.Value.Reason, target.Value.Message, want[target.Name])
			}
		}
	}
	for name := range want {
		if d := r.backends.Backend(name).Stats().Duplicates; d != 0 && name != "crm" {
			t.Errorf("%s: %d duplicates", name, d)
		}
	}

	// An empty queue that was deleted is used again.
	r.empty(t, "asynq:{*}:pending", "asynq:{*}:scheduled", "asynq:{*}:active")
	if status, err := r.ask(t.Context(), http.MethodDelete, "/asynqmon/api/queues/crm", "", nil); err != nil || status >= 300 {
		t.Errorf("delete an empty queue: %d %v", status, err)
	}
	again, err := r.post(t.Context(), n+1)
	if err != nil {
		t.Fatal(err)
	}
	if view, err := r.await(t.Context(), again); err != nil || view.Targets[0].Value.State == tracking.Failed {
		t.Errorf("after a queue was deleted: %+v %v", view, err)
	}
}
