package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"headgate/dispatch"
	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// fakeOperator works on the records of a fakeAcceptor.
type fakeOperator struct {
	acceptor *fakeAcceptor
	err      error
	asked    []string // what was asked to be replayed
}

func (f *fakeOperator) Cancel(_ context.Context, id, tenant string) (*tracking.Dispatch, error) {
	d, ok := f.acceptor.records[id]
	switch {
	case f.err != nil:
		return nil, f.err
	case !ok || d.Tenant != tenant:
		return nil, tracking.ErrNotFound
	}
	for name, old := range d.Deliveries {
		d.Deliveries[name], _ = tracking.Cancel(old, d.AcceptedAt)
	}
	return d, nil
}

func (f *fakeOperator) ReplayFailed(_ context.Context, id, tenant string, targets []string) (*dispatch.Replayed, error) {
	d, ok := f.acceptor.records[id]
	switch {
	case f.err != nil:
		return nil, f.err
	case !ok || d.Tenant != tenant:
		return nil, tracking.ErrNotFound
	}
	f.asked = targets
	out := &dispatch.Replayed{Dispatch: d, Refused: map[string]string{}}
	for _, name := range targets {
		if _, ok := d.Target(name); !ok {
			return nil, &dispatch.UnknownTargetsError{Names: []string{name}}
		}
	}
	for _, t := range d.Targets {
		if old := d.Deliveries[t.Name]; old.State == tracking.Failed {
			d.Deliveries[t.Name] = tracking.Revive(old, tracking.Revival{}, d.AcceptedAt)
			out.Targets = append(out.Targets, t.Name)
		} else {
			out.Refused[t.Name] = "it is " + string(old.State) + ", not failed"
		}
	}
	return out, nil
}

// operated runs a server with one dispatch of each kind.
func operated(t *testing.T) (*rig, *fakeOperator) {
	t.Helper()
	var op *fakeOperator
	r := start(t, func(r *rig, o *Options) {
		op = &fakeOperator{acceptor: r.acceptor}
		o.Operator = op
		delivery := func(s tracking.State, p tracking.Phase) tracking.Delivery {
			return tracking.Delivery{State: s, Phase: p, Fence: tracking.Fence{Seq: 1}}
		}
		r.acceptor.records["trk_9"] = &tracking.Dispatch{
			ID: "trk_9", Tenant: "keys/acme", Rule: tracking.DoneAll,
			Targets: []tracking.TargetRef{{Name: "newsletter"}, {Name: "crm"}, {Name: "analytics"}, {Name: "billing"}},
			Deliveries: map[string]tracking.Delivery{
				"newsletter": delivery(tracking.Waiting, tracking.Scheduled), "crm": delivery(tracking.Pending, tracking.Running),
				"analytics": delivery(tracking.Pending, tracking.Queued), "billing": {State: tracking.Failed, Phase: tracking.Ended, Reason: fault.Timeout},
			},
		}
		r.acceptor.records["trk_8"] = &tracking.Dispatch{
			ID: "trk_8", Tenant: "keys/acme", Rule: tracking.DoneAll, Targets: []tracking.TargetRef{{Name: "crm"}},
			Deliveries: map[string]tracking.Delivery{"crm": delivery(tracking.Succeeded, tracking.Ended)},
		}
	})
	return r, op
}

func TestCancelDocument(t *testing.T) {
	r, _ := operated(t)
	var first string
	for range 2 {
		res := r.do("DELETE", "/tracking/trk_9", "")
		if res.status != 200 || res.header.Get("Retry-After") != "1" {
			t.Fatalf("got %d %s", res.status, res.body)
		}
		want := `{"tracking_id":"trk_9","status":"in_progress","status_url":"/tracking/trk_9","canceled":["newsletter","analytics"],` +
			`"not_stopped":{"crm":"its call is under way"},"targets":{"newsletter":{"state":"canceled",`
		if !strings.HasPrefix(res.body, want) || !strings.Contains(res.body, "job cannot be stopped") {
			t.Errorf("got %s\nwant %s…", res.body, want)
		}
		if first != "" && res.body != first {
			t.Errorf("repeated it is %s, was %s", res.body, first)
		}
		first = res.body
	}
	if !strings.Contains(r.log.String(), `"tracking_id":"trk_9"`) {
		t.Error("the log does not name the dispatch")
	}
}

// What has ended and is only cleaned up after is not canceled any more.
func TestCancelWhatIsCleanedUpAfter(t *testing.T) {
	r, _ := operated(t)
	r.acceptor.records["trk_8"].Deliveries["crm"] = tracking.Delivery{
		Fence: tracking.Fence{Seq: 2}, Phase: tracking.Queued, State: tracking.Delivering, Verdict: tracking.Warned,
	}
	res := r.do("DELETE", "/tracking/trk_8", "")
	if !strings.Contains(res.body, `"canceled":[],"not_stopped":{"crm":"it has ended as warned and is being cleaned up after"}`) {
		t.Errorf("got %s", res.body)
	}
}

func TestInterventionsRefused(t *testing.T) {
	r, op := operated(t)
	foreign := r.do("DELETE", "/tracking/trk_9", "", "X-API-Key", "other")
	wantProblem(t, foreign, 404, "not-found")
	for _, path := range []string{"/tracking/trk_7", "/tracking/", "/tracking/a/b"} {
		if res := r.do("DELETE", path, ""); res.status != 404 || res.body != foreign.body {
			t.Errorf("DELETE %s: %d %s", path, res.status, res.body)
		}
	}
	wantProblem(t, r.do("DELETE", "/tracking/trk_9", "", "X-API-Key", ""), 401, "unauthenticated")
	wantProblem(t, r.do("POST", "/tracking/trk_9/replay", "", "X-API-Key", ""), 401, "unauthenticated")
	wantProblem(t, r.do("POST", "/tracking/trk_9/replay", "", "X-API-Key", "other"), 404, "not-found")
	for method, want := range map[string]string{"PUT /tracking/trk_9": "GET, HEAD, DELETE", "GET /tracking/trk_9/replay": "POST", "DELETE /tracking/trk_9/replay": "POST"} {
		verb, path, _ := strings.Cut(method, " ")
		res := r.do(verb, path, "")
		wantProblem(t, res, 405, "method-not-allowed")
		if res.header.Get("Allow") != want {
			t.Errorf("%s: Allow is %q", method, res.header.Get("Allow"))
		}
	}
	for body, status := range map[string]int{
		`{"targets":"crm"}`: 400, `{"target":["crm"]}`: 400, `{}{}`: 400, `[`: 400, `{"targets":["nothing"]}`: 422,
	} {
		if res := r.do("POST", "/tracking/trk_9/replay", body); res.status != status {
			t.Errorf("%s: %d %s, want %d", body, res.status, res.body, status)
		}
	}
	wantProblem(t, r.do("POST", "/tracking/trk_9/replay", "{}", "Content-Type", "text/plain"), 415, "unsupported-media-type")
	for err, slug := range map[error]string{tracking.ErrUnavailable: "unavailable", tracking.ErrFenced: "unavailable", errors.New("broken"): "internal"} {
		op.err = fmt.Errorf("store: %w", err)
		for _, call := range []string{"POST /tracking/trk_9/replay", "DELETE /tracking/trk_9"} {
			verb, path, _ := strings.Cut(call, " ")
			wantProblem(t, r.do(verb, path, ""), map[string]int{"unavailable": 503, "internal": 500}[slug], slug)
		}
	}
}

func TestReplayDocument(t *testing.T) {
	r, op := operated(t)
	res := r.do("POST", "/tracking/trk_9/replay", `{"targets":["billing","crm"]}`)
	want := `{"tracking_id":"trk_9","status":"in_progress","status_url":"/tracking/trk_9","replayed":["billing"],"not_replayed":{`
	if res.status != 202 || !strings.HasPrefix(res.body, want) || res.header.Get("Location") != "/tracking/trk_9" || len(op.asked) != 2 {
		t.Fatalf("got %d %s, asked for %v", res.status, res.body, op.asked)
	}
	// Repeated while it is under way it says so; for one that has ended well, there is nothing to do.
	if res := r.do("POST", "/tracking/trk_9/replay", ""); res.status != 202 || !strings.Contains(res.body, `"replayed":[]`) {
		t.Errorf("repeated: %d %s", res.status, res.body)
	}
	wantProblem(t, r.do("POST", "/tracking/trk_8/replay", ""), 409, "nothing-to-replay")
	if res := r.do("GET", "/tracking/trk_9", ""); !strings.Contains(res.body, `"billing":{"state":"pending","attempts":0,"replays":1}`) {
		t.Errorf("shown as %s", res.body)
	}
}
