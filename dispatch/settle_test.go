package dispatch_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"headgate/dispatch"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
)

// cleaning is a world whose target deletes what it made.
func cleaning(t *testing.T, events ...tracking.Event) (*world, dispatch.Task) {
	t.Helper()
	w := newWorld(t, events...)
	plan := compile(t, "crm", `{url: "https://crm.example", post: /a, save: {id: "${{ .response.body.id }}"}, finally: [{name: b, delete: "/a/${{ .saved.id }}"}]}`)
	w.live = map[string]*target.Plan{"crm": plan}
	w.rewire()
	w.fanout.Bindings = []dispatch.Binding{{Plan: plan}}
	task := w.one(t)
	w.run(t, task)
	return w, task
}

func ended() tracking.Event {
	return tracking.Concluded{State: tracking.Warned, Message: "so so", Saved: map[string]json.RawMessage{"id": []byte("5")}}
}

// The end is in the record before anything is cleaned up: a run that dies then leaves
// nothing to find out again, and cannot be canceled any more.
func TestCleanUpAfterTheEndIsKnown(t *testing.T) {
	w, task := cleaning(t, ended())
	d := w.delivery(t, task)
	if d.Verdict != tracking.Warned || d.State != tracking.Delivering || len(w.steps.cleaned) != 0 {
		t.Fatalf("%+v, cleaned %d times", d, len(w.steps.cleaned))
	}
	if _, ok := tracking.Cancel(d, w.clock.Now()); ok {
		t.Error("what has ended is canceled")
	}
	next := w.only(t)
	ctx, stop := context.WithCancel(t.Context())
	w.steps.during = stop // the worker is stopped while it cleans up
	if err := w.runner.Run(ctx, next); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	w.steps.during = nil
	if d := w.delivery(t, task); d.State.Final() || d.Verdict != tracking.Warned {
		t.Fatalf("%+v", d)
	}
	w.run(t, w.only(t))
	d = w.delivery(t, task)
	if d.State != tracking.Warned || d.Message != "so so" || d.Attempts != 1 || d.Saved != nil || len(w.steps.ran) != 1 {
		t.Errorf("%+v after %d runs", d, len(w.steps.ran))
	}
	if n := len(w.steps.cleaned); n != 2 || string(w.steps.cleaned[1].Delivery.Saved["id"]) != "5" {
		t.Errorf("cleaned %d times: %+v", n, w.steps.cleaned)
	}
}

// A delivery that leaves nothing behind ends at once, and so does one whose job may still run.
func TestNothingToCleanUp(t *testing.T) {
	for _, event := range []tracking.Event{
		tracking.Concluded{State: tracking.Succeeded},
		tracking.Concluded{State: tracking.Unknown, Saved: map[string]json.RawMessage{"id": []byte("5")}},
	} {
		w, task := cleaning(t, event)
		if d := w.delivery(t, task); !d.State.Final() || len(w.queue.take()) != 0 {
			t.Errorf("%+v", d)
		}
	}
}

// Members of a batch do not wait for the clean-up, which is made once for all of them.
func TestBatchCleansUp(t *testing.T) {
	w := newBatchWorld(t, `{max_records: 2, linger: 1h}, save: {id: "${{ .response.body.id }}"}, finally: [{name: b, delete: "/a/${{ .saved.id }}"}]`, ended())
	first, queued := w.member(t, `{}`)
	second, more := w.member(t, `{}`)
	w.steps.during = func() {
		if len(w.steps.cleaned) == 0 {
			return // this is the upload
		}
		for _, ref := range []tracking.Ref{first, second} {
			if d := w.track(t, ref); d.State != tracking.Warned {
				t.Errorf("%+v while it is cleaned up", d)
			}
		}
	}
	w.finish(t, append(queued, more...)...)
	if len(w.steps.ran) != 1 || len(w.steps.cleaned) != 1 || !tracking.IsBatch(w.steps.cleaned[0].Tracking) {
		t.Errorf("%d runs, cleaned %+v", len(w.steps.ran), w.steps.cleaned)
	}
}
