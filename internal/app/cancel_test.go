package app_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"headgate/dispatch/tracking"
	"headgate/gateway"
	"headgate/internal/testenv"
)

// oneSlot gives crm one slot, and hours between its attempts.
func oneSlot(s string) string {
	return strings.Replace(s, "    put: /contacts", "    limits: {concurrency: 1}\n    retry: {attempts: 10, first: 10h, max: 20h, within: 200h}\n    put: /contacts", 1)
}

func (r *rig) cancel(t *testing.T, id string) *gateway.CancelView {
	t.Helper()
	status, text, err := r.do(t.Context(), http.MethodDelete, "/tracking/"+id, "")
	view := new(gateway.CancelView)
	if err == nil {
		err = json.Unmarshal(text, view)
	}
	if err != nil || status != http.StatusOK {
		t.Fatalf("%d %s %v", status, text, err)
	}
	return view
}

// A dispatch is canceled while its delivery is under way, queued, and waiting for its next
// attempt: the first goes on, and the others never reach the backend again.
func TestCancel(t *testing.T) { cancelInEveryState(t, newRig(t, oneSlot)) }

func cancelInEveryState(t *testing.T, r *rig) {
	r.start(t)
	crm := r.backends.Backend("crm")
	if err := crm.Behave("/", "delay=5s", 1); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for i := range 2 {
		id, err := r.post(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
		testenv.Eventually(t, 10*time.Second, func() bool { return crm.Stats().InFlight == 1 }, "the only slot is taken")
	}
	running := r.cancel(t, ids[0])
	if slices.Contains(running.Canceled, "crm") || !slices.ContainsFunc(running.NotStopped, func(m gateway.Member[string]) bool {
		return m.Name == "crm" && m.Value == "its call is under way"
	}) {
		t.Errorf("under way: %+v", running)
	}
	queued := r.cancel(t, ids[1])
	if !slices.Contains(queued.Canceled, "crm") {
		t.Errorf("queued: %+v", queued)
	}
	if again := r.cancel(t, ids[1]); !slices.Contains(again.Canceled, "crm") {
		t.Errorf("repeated: %+v", again)
	}
	if d := r.stateOf(t, ids[0], "crm"); d.State != tracking.Succeeded {
		t.Errorf("what was under way ended as %+v", d)
	}
	if d := r.stateOf(t, ids[1], "crm"); d.State != tracking.Canceled || d.Attempts != 0 {
		t.Errorf("what was queued ended as %+v", d)
	}

	if err := crm.Behave("/", "status=503", 0); err != nil {
		t.Fatal(err)
	}
	id, err := r.post(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 10*time.Second, func() bool {
		_, text, err := r.do(t.Context(), http.MethodGet, "/tracking/"+id, "")
		return err == nil && strings.Contains(string(text), `"crm":{"state":"retrying"`)
	}, "crm waits for its next attempt")
	if view := r.cancel(t, id); !slices.Contains(view.Canceled, "crm") {
		t.Errorf("retrying: %+v", view)
	}
	if d := r.stateOf(t, id, "crm"); d.State != tracking.Canceled || d.Attempts != 1 || d.Message == "" {
		t.Errorf("what was retrying ended as %+v", d)
	}
	if keys, _ := r.keysSeen("crm", ids[1]); len(keys) != 0 {
		t.Errorf("the backend saw what was canceled before it began: %v", keys)
	}
	r.empty(t, "hg:*:due", "hg:*:running", "hg:*:queued:*", "hg:*:open", "hg:*:tenants", "asynq:{*}:pending", "asynq:{*}:archived")
}

func TestCancelForeign(t *testing.T) {
	r := newRig(t, nil)
	r.start(t)
	id, err := tracking.NewID("")
	if err != nil {
		t.Fatal(err)
	}
	if status, text, err := r.do(t.Context(), http.MethodDelete, "/tracking/"+id, ""); err != nil || status != 404 {
		t.Errorf("%d %s %v", status, text, err)
	}
	status, _, err := r.do(t.Context(), http.MethodPut, "/tracking/"+id, "")
	if err != nil || status != http.StatusMethodNotAllowed {
		t.Errorf("PUT: %d %v", status, err)
	}
}
