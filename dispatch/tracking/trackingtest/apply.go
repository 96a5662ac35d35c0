package trackingtest

import (
	"encoding/json"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

var applyRules = map[string]func(*testing.T, tracking.Store){
	"apply replaces the delivery":              applyReplaces,
	"apply repeated is done already":           applyRepeated,
	"apply is fenced":                          applyFenced,
	"apply by compare-and-set has one winner":  applyOneWinner,
	"apply refuses what breaks the record":     applyInvalid,
	"apply to a final delivery changes naught": applyFinal,
	"apply without a claim":                    applyUnclaimed,
	"apply keeps the payload until success":    applyPayload,
	"apply after a take-over is fenced":        applyTakeOver,
}

func applyReplaces(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm", "mail")
	saved := map[string]json.RawMessage{"job": json.RawMessage(`"j-1"`)}
	for _, e := range []tracking.Event{
		failedFor(time.Hour, false),
		tracking.Advanced{Answer: tracking.Answer{HTTPStatus: 202, JobID: "j-1"}, Next: "finish", Saved: saved},
		tracking.NotYet{Answer: tracking.Answer{HTTPStatus: 200, JobState: "pending"}, After: time.Minute},
		tracking.PollFailed{Fault: &fault.Fault{Reason: fault.Timeout, Message: "no answer"}, After: time.Second},
		tracking.Concluded{State: tracking.Warned, Poll: true, Message: "2 of 3", Result: saved},
	} {
		next := step(t, s, ref(d, "crm"), e)
		got := load(t, s, d.ID)
		if !reflect.DeepEqual(got.Deliveries["crm"], next) {
			t.Errorf("after %T:\n%+v, want\n%+v", e, got.Deliveries["crm"], next)
		}
		if !reflect.DeepEqual(got.Deliveries["mail"], d.Deliveries["mail"]) {
			t.Errorf("after %T the neighbour is %+v", e, got.Deliveries["mail"])
		}
	}
}

func applyRepeated(t *testing.T, s tracking.Store) {
	for name, e := range map[string]tracking.Event{
		"queued": tracking.Advanced{Next: "finish"}, "scheduled": tracking.NotYet{After: time.Hour}, "final": succeeded(),
	} {
		a := acceptance(t, "", "crm", "mail")
		d := accept(t, s, a)
		r := ref(d, "crm")
		c := claim(t, s, r, 1, "run", long)
		next := tracking.Apply(c.Delivery, e, c.Now)
		for range 3 {
			if err := s.Apply(t.Context(), r, c.Delivery.Fence, next); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		// Counted once: the other delivery still keeps the dispatch open.
		want := 1
		if next.State.Final() {
			want = 0
		}
		open, err := s.OpenPlans(t.Context())
		plan := a.Dispatch.Deliveries["crm"].Plan
		if n := open[tracking.PlanRef{Target: "crm", Hash: plan}]; err != nil || n != want {
			t.Errorf("%s: counted as open %d times (%v), want %d", name, n, err, want)
		}
	}
}

func applyFenced(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm")
	r := ref(d, "crm")
	c := claim(t, s, r, 1, "run-1", long)
	next := tracking.Apply(c.Delivery, succeeded(), c.Now)
	for _, expect := range []tracking.Fence{
		{Seq: 1}, {Seq: 1, Token: "run-2"}, {Seq: 0, Token: "run-1"}, {Seq: 11, Token: "run-1"}, {Seq: 1, Token: "run"},
	} {
		wantErr(t, "Apply", s.Apply(t.Context(), r, expect, next), tracking.ErrFenced)
	}
	if got := load(t, s, d.ID).Deliveries["crm"]; !reflect.DeepEqual(got, c.Delivery) {
		t.Errorf("changed to %+v", got)
	}
	apply(t, s, r, c.Delivery, succeeded(), c.Now)
}

func applyOneWinner(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm")
	r := ref(d, "crm")
	c := claim(t, s, r, 1, "run", long)
	var all sync.WaitGroup
	var won atomic.Int32
	for i := range 8 {
		all.Go(func() {
			next := tracking.Apply(c.Delivery, failedFor(time.Duration(i)*time.Hour, false), c.Now)
			if s.Apply(t.Context(), r, c.Delivery.Fence, next) == nil {
				won.Add(1)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of the changes went through", won.Load())
	}
}

func applyInvalid(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm")
	r := ref(d, "crm")
	c := claim(t, s, r, 1, "run", long)
	for name, spoil := range map[string]func(*tracking.Delivery){
		"running":       func(n *tracking.Delivery) { n.Phase = tracking.Running },
		"no phase":      func(n *tracking.Delivery) { n.Phase = 0 },
		"final, queued": func(n *tracking.Delivery) { n.State = tracking.Failed },
		"open, ended":   func(n *tracking.Delivery) { n.Phase = tracking.Ended },
		"claimed":       func(n *tracking.Delivery) { n.Token = "run" },
		"same seq":      func(n *tracking.Delivery) { n.Seq = 1 },
	} {
		next := tracking.Apply(c.Delivery, tracking.Advanced{Next: "finish"}, c.Now)
		spoil(&next)
		wantErr(t, name, s.Apply(t.Context(), r, c.Delivery.Fence, next), tracking.ErrInvalid)
	}
	apply(t, s, r, c.Delivery, succeeded(), c.Now)
}

func applyFinal(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm", "mail")
	r := ref(d, "crm")
	end := step(t, s, r, succeeded())
	other := end
	other.Seq, other.State, other.Phase = end.Seq+1, tracking.Retrying, tracking.Queued
	other.EndedAt = time.Time{}
	wantErr(t, "Apply", s.Apply(t.Context(), r, end.Fence, other), tracking.ErrFenced)
	other.State, other.Phase = tracking.Failed, tracking.Ended
	wantErr(t, "Apply", s.Apply(t.Context(), r, end.Fence, other), tracking.ErrFenced)
	// What tracking.Apply gives for a final delivery is that delivery.
	if err := s.Apply(t.Context(), r, end.Fence, tracking.Apply(end, failedFor(0, true), time.Now())); err != nil {
		t.Errorf("Apply of no change: %v", err)
	}
	if got := load(t, s, d.ID).Deliveries["crm"]; !reflect.DeepEqual(got, end) {
		t.Errorf("changed to %+v", got)
	}
}

// applyUnclaimed is a cancel before any run, and one of a scheduled delivery.
func applyUnclaimed(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm", "mail")
	step(t, s, ref(d, "mail"), tracking.NotYet{After: time.Hour})
	for _, target := range []string{"crm", "mail"} {
		now := load(t, s, d.ID).Deliveries[target]
		apply(t, s, ref(d, target), now, tracking.Concluded{State: tracking.Canceled, Reason: fault.Canceled}, time.Now())
	}
	if got := load(t, s, d.ID).Status(); got != tracking.DispatchCanceled {
		t.Errorf("status %s", got)
	}
}

func applyPayload(t *testing.T, s tracking.Store) {
	payload := `{"for":"crm"}`
	d := accepted(t, s, "crm")
	for range 3 {
		c := claim(t, s, ref(d, "crm"), load(t, s, d.ID).Deliveries["crm"].Seq, "run", long)
		if string(c.Payload) != payload {
			t.Fatalf("a retry gets %q, want the payload", c.Payload)
		}
		apply(t, s, ref(d, "crm"), c.Delivery, failedFor(0, false), c.Now)
	}
	// After the end no call gives the payload; that success drops it and failure keeps it
	// is a matter of each store's own tests.
}

func applyTakeOver(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm")
	r := ref(d, "crm")
	c := claim(t, s, r, 1, "run", long)
	next := tracking.TakeOver(c.Delivery)
	if err := s.Apply(t.Context(), r, c.Delivery.Fence, next); err != nil {
		t.Fatal(err)
	}
	late := tracking.Apply(c.Delivery, succeeded(), c.Now)
	wantErr(t, "Apply by the old owner", s.Apply(t.Context(), r, c.Delivery.Fence, late), tracking.ErrFenced)
	_, err := s.Claim(t.Context(), r, 1, "run", long)
	wantErr(t, "Claim by the old owner", err, tracking.ErrStale)
	claim(t, s, r, 2, "run-2", long)
}
