package trackingtest

import (
	"bytes"
	"testing"
	"time"

	"headgate/dispatch/tracking"
)

var callbackRules = map[string]func(*testing.T, tracking.Store){
	"all share one key of callbacks":                         callbackKey,
	"a callback during a run brings the next poll forward":   callbackDuringRun,
	"a callback before the first poll is kept":               callbackEarly,
	"a callback while the delivery waits can be acted on":    callbackWhileWaiting,
	"without a callback a poll has its time":                 callbackNone,
	"a callback changes nothing that a run holds":            callbackAside,
	"a callback after the end is not noted":                  callbackLate,
	"a callback of a batch is one of any record":             callbackOfBatch,
	"waiting is fenced, and can be repeated":                 callbackFenced,
	"a callback for what is not there is for nothing at all": callbackForNothing,
}

func callbackKey(t *testing.T, s tracking.Store) {
	first, err := s.CallbackKey(t.Context())
	must(t, err)
	again, err := s.CallbackKey(t.Context())
	must(t, err)
	if len(first) != tracking.CallbackKeySize || !bytes.Equal(first, again) || bytes.Equal(first, make([]byte, len(first))) {
		t.Errorf("%x, then %x", first, again)
	}
}

func note(t *testing.T, s tracking.Store, r tracking.Ref) tracking.Delivery {
	t.Helper()
	d, now, err := s.NoteCallback(t.Context(), r)
	if err != nil || now.IsZero() {
		t.Fatalf("NoteCallback %s at %v: %v", r.Target, now, err)
	}
	return d
}

// notYet claims the delivery, lets something happen while it is held, and applies that it has to
// wait for ten minutes; sooner is what a callback makes of it.
func notYet(t *testing.T, s tracking.Store, r tracking.Ref, during func()) (called bool, next, sooner tracking.Delivery) {
	t.Helper()
	c := claim(t, s, r, load(t, s, r.Tracking).Deliveries[r.Target].Seq, unique("run"), long)
	during()
	next = tracking.Apply(c.Delivery, tracking.NotYet{After: 10 * time.Minute}, c.Now)
	sooner = tracking.PollSooner(next, c.Now)
	called, err := s.ApplyWait(t.Context(), r, c.Delivery.Fence, next, sooner)
	must(t, err)
	return called, next, sooner
}

func callbackDuringRun(t *testing.T, s tracking.Store) {
	r := ref(accepted(t, s, "mail"), "mail")
	called, _, sooner := notYet(t, s, r, func() { note(t, s, r); note(t, s, r) })
	got := load(t, s, r.Tracking).Deliveries["mail"]
	if !called || !got.NextAt.Equal(sooner.NextAt) || got.Phase != tracking.Scheduled {
		t.Errorf("called: %t; %+v, want it polled at %v", called, got, sooner.NextAt)
	}
	eventually(t, "the sooner poll is due", func() bool {
		rows, err := s.Overdue(t.Context(), 0, 1000)
		must(t, err)
		for _, row := range rows {
			if row.Ref == r {
				return true
			}
		}
		return false
	})
	// Two callbacks are one poll.
	if called, _, _ := notYet(t, s, r, func() {}); called {
		t.Error("a callback that was taken into account counts again")
	}
}

func callbackEarly(t *testing.T, s tracking.Store) {
	r := ref(accepted(t, s, "mail"), "mail")
	c := claim(t, s, r, 1, unique("run"), long)
	note(t, s, r)
	apply(t, s, r, c.Delivery, failedFor(0, false), c.Now)
	step(t, s, r, tracking.Advanced{Next: "poll"})
	if called, _, _ := notYet(t, s, r, func() {}); !called {
		t.Error("a callback from before the first poll is forgotten")
	}
}

func callbackWhileWaiting(t *testing.T, s tracking.Store) {
	r := ref(accepted(t, s, "mail"), "mail")
	notYet(t, s, r, func() {})
	d := note(t, s, r)
	if !tracking.AwaitsPoll(d) {
		t.Fatalf("%+v", d)
	}
	next := tracking.PollSooner(d, d.PolledAt.Add(time.Hour))
	next.Seq++
	called, err := s.ApplyWait(t.Context(), r, d.Fence, next, next)
	if err != nil || !called {
		t.Fatalf("called: %t, %v", called, err)
	}
	got := load(t, s, r.Tracking).Deliveries["mail"]
	if got.Phase != tracking.Queued || got.Lane != tracking.LaneResume || got.State != tracking.Waiting || !got.NextAt.IsZero() {
		t.Errorf("%+v", got)
	}
	if called, _, _ := notYet(t, s, r, func() {}); called {
		t.Error("a callback that was taken into account counts again")
	}
}

func callbackNone(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "mail", "crm")
	r, other := ref(d, "mail"), ref(d, "crm")
	called, next, _ := notYet(t, s, r, func() { note(t, s, other) })
	if got := load(t, s, r.Tracking).Deliveries["mail"]; called || !got.NextAt.Equal(next.NextAt.Truncate(time.Millisecond)) {
		t.Errorf("called: %t; %+v", called, got)
	}
	if called, _, _ := notYet(t, s, other, func() {}); !called {
		t.Error("the callback for the other target is gone")
	}
}

func callbackAside(t *testing.T, s tracking.Store) {
	r := ref(accepted(t, s, "mail"), "mail")
	c := claim(t, s, r, 1, "run-1", long)
	if d := note(t, s, r); d.Phase != tracking.Running || d.Fence != c.Delivery.Fence {
		t.Errorf("%+v, held as %+v", d, c.Delivery)
	}
	apply(t, s, r, c.Delivery, succeeded(), c.Now)
	if got := load(t, s, r.Tracking); got.Status() != tracking.DispatchSucceeded {
		t.Errorf("%+v", got)
	}
}

func callbackLate(t *testing.T, s tracking.Store) {
	r := ref(accepted(t, s, "mail"), "mail")
	ended := step(t, s, r, tracking.Concluded{State: tracking.Unknown})
	if d := note(t, s, r); d.State != tracking.Unknown {
		t.Errorf("%+v", d)
	}
	must(t, s.Revive(t.Context(), r, ended.Fence, tracking.Revive(ended, tracking.Revival{Resume: true}, time.Now()), nil))
	if called, _, _ := notYet(t, s, r, func() {}); called {
		t.Error("a callback after the end was noted")
	}
}

func callbackOfBatch(t *testing.T, s tracking.Store) {
	target := unique("mail")
	_, j := joined(t, s, target, gathering(t, target, 10))
	if called, _, _ := notYet(t, s, j.Batch, func() { note(t, s, j.Batch) }); !called {
		t.Error("the callback of a batch is gone")
	}
}

func callbackFenced(t *testing.T, s tracking.Store) {
	r := ref(accepted(t, s, "mail"), "mail")
	c := claim(t, s, r, 1, "run-1", long)
	next := tracking.Apply(c.Delivery, tracking.NotYet{After: time.Hour}, c.Now)
	sooner := tracking.PollSooner(next, c.Now)
	_, err := s.ApplyWait(t.Context(), r, tracking.Fence{Seq: 1, Token: "run-2"}, next, sooner)
	wantErr(t, "another's run", err, tracking.ErrFenced)
	_, err = s.ApplyWait(t.Context(), r, c.Delivery.Fence, next, c.Delivery)
	wantErr(t, "a fence that is not raised", err, tracking.ErrInvalid)
	note(t, s, r)
	for range 2 { // the answer to the first may have been lost
		if called, err := s.ApplyWait(t.Context(), r, c.Delivery.Fence, next, sooner); err != nil || !called {
			t.Errorf("called: %t, %v", called, err)
		}
	}
}

func callbackForNothing(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "mail")
	for _, r := range []tracking.Ref{ref(d, "crm"), {Tracking: "trk_no", Target: "mail"}, ref(acceptance(t, "", "mail").Dispatch, "mail")} {
		_, _, err := s.NoteCallback(t.Context(), r)
		wantErr(t, "NoteCallback", err, tracking.ErrNotFound)
		next := tracking.Delivery{Fence: tracking.Fence{Seq: 2}, Phase: tracking.Scheduled, State: tracking.Waiting}
		_, err = s.ApplyWait(t.Context(), r, tracking.Fence{Seq: 1}, next, next)
		wantErr(t, "ApplyWait", err, tracking.ErrNotFound)
	}
}
