package trackingtest

import (
	"reflect"
	"sync"
	"testing"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

var cancelRules = map[string]func(*testing.T, tracking.Store){
	"cancel ends what no run holds":         cancelEnds,
	"cancel of everything ends the record":  cancelAll,
	"cancel leaves a run its delivery":      cancelRunning,
	"cancel is repeatable":                  cancelTwice,
	"cancel is the owner's":                 cancelForeign,
	"cancel against runs has no double end": cancelRace,
	"cancel wakes those who wait":           cancelWakes,
}

const owner = "mobile/acme" // the tenant of acceptance

func cancel(t testing.TB, s tracking.Store, id string) *tracking.Dispatch {
	t.Helper()
	d, err := s.Cancel(t.Context(), id, owner)
	if err != nil {
		t.Fatalf("Cancel: %v", err)
	}
	return d
}

func cancelEnds(t *testing.T, s tracking.Store) {
	plan := unique("plan")
	a := acceptance(t, "", "pending", "retrying", "waiting", "delivering", "done", "skipped?")
	for name, d := range a.Dispatch.Deliveries {
		if d.Plan != "" {
			d.Plan = plan
			a.Dispatch.Deliveries[name] = d
		}
	}
	d := accept(t, s, a)
	step(t, s, ref(d, "retrying"), failedFor(time.Hour, false))
	step(t, s, ref(d, "waiting"), tracking.NotYet{Answer: tracking.Answer{JobID: "j-1"}, After: time.Hour})
	step(t, s, ref(d, "delivering"), tracking.Advanced{Next: "finish"})
	done := step(t, s, ref(d, "done"), succeeded())
	got := cancel(t, s, d.ID)
	if again := load(t, s, d.ID); !reflect.DeepEqual(got, again) {
		t.Errorf("Cancel gave\n%+v, recorded is\n%+v", got, again)
	}
	for _, target := range []string{"pending", "retrying", "waiting", "delivering"} {
		c := got.Deliveries[target]
		if c.State != tracking.Canceled || c.Phase != tracking.Ended || c.Reason != fault.Canceled || c.EndedAt.IsZero() || c.Message == "" {
			t.Errorf("%s is %+v", target, c)
		}
		if in := where(t, s, ref(d, target)); in != "" {
			t.Errorf("%s still stands in %q", target, in)
		}
		claimed, err := s.Claim(t.Context(), ref(d, target), c.Seq-1, "run", long)
		wantErr(t, "Claim by the queued task", err, tracking.ErrStale)
		if claimed == nil || !claimed.Delivery.State.Final() {
			t.Errorf("the queued task is not told that %s is final: %+v", target, claimed)
		}
		open, err := s.OpenPlans(t.Context())
		if n, there := open[tracking.PlanRef{Target: target, Hash: plan}]; err != nil || there {
			t.Errorf("%s counts as open %d times (%v)", target, n, err)
		}
		letter, err := s.Letter(t.Context(), ref(d, target))
		if err != nil || letter.Payload != nil {
			t.Errorf("%s keeps its payload %s (%v)", target, letter.Payload, err)
		}
	}
	if got.Deliveries["waiting"].JobID != "j-1" {
		t.Error("the backend's job is forgotten")
	}
	if !reflect.DeepEqual(got.Deliveries["done"], done) || got.Deliveries["skipped"].State != tracking.Skipped {
		t.Errorf("what was final changed: %+v", got.Deliveries)
	}
	if got.Status() != tracking.Partial {
		t.Errorf("status %s", got.Status())
	}
}

func cancelAll(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm", "mail")
	if got := cancel(t, s, d.ID); got.Status() != tracking.DispatchCanceled || got.EndedAt().IsZero() {
		t.Errorf("status %s, ended %v", got.Status(), got.EndedAt())
	}
}

func cancelRunning(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm", "mail")
	c := claim(t, s, ref(d, "crm"), 1, "run", long)
	got := cancel(t, s, d.ID)
	if got.Deliveries["crm"].Phase != tracking.Running || got.Deliveries["mail"].State != tracking.Canceled || got.Status() != tracking.InProgress {
		t.Fatalf("canceled to %+v", got.Deliveries)
	}
	// The run ends as if nothing had been, and the dispatch with it.
	next := apply(t, s, ref(d, "crm"), c.Delivery, failedFor(time.Hour, false), c.Now)
	if next.State != tracking.Retrying {
		t.Fatalf("%+v", next)
	}
	if got := cancel(t, s, d.ID); got.Status() != tracking.DispatchCanceled {
		t.Errorf("status %s after the second cancel", got.Status())
	}
}

func cancelTwice(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm", "mail")
	step(t, s, ref(d, "mail"), succeeded())
	first := cancel(t, s, d.ID)
	for range 2 {
		if again := cancel(t, s, d.ID); !reflect.DeepEqual(first, again) {
			t.Errorf("repeated it gives\n%+v, want\n%+v", again, first)
		}
	}
}

func cancelForeign(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm")
	_, err := s.Cancel(t.Context(), d.ID, "mobile/other")
	wantErr(t, "Cancel by another tenant", err, tracking.ErrNotFound)
	if got := load(t, s, d.ID); got.Status() != tracking.InProgress {
		t.Errorf("another tenant made it %s", got.Status())
	}
	never, err := tracking.NewID("")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{never, "", "trk_1"} {
		_, err := s.Cancel(t.Context(), id, owner)
		wantErr(t, "Cancel of an unknown record", err, tracking.ErrNotFound)
	}
}

// cancelRace lets runs and cancels meet: each delivery ends once, and the counts agree.
func cancelRace(t *testing.T, s tracking.Store) {
	for range 20 {
		a := acceptance(t, "", "crm", "mail", "stats")
		d := accept(t, s, a)
		var all sync.WaitGroup
		for _, target := range []string{"crm", "mail", "stats"} {
			all.Go(func() {
				c, err := s.Claim(t.Context(), ref(d, target), 1, "run", long)
				if err != nil {
					return
				}
				next := tracking.Apply(c.Delivery, succeeded(), c.Now)
				if err := s.Apply(t.Context(), ref(d, target), c.Delivery.Fence, next); err != nil {
					t.Errorf("%s: what a run came to is lost: %v", target, err)
				}
			})
		}
		for range 2 {
			all.Go(func() {
				if _, err := s.Cancel(t.Context(), d.ID, owner); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		got := cancel(t, s, d.ID)
		counts := got.Counts()
		if counts[tracking.Succeeded]+counts[tracking.Canceled] != 3 || got.EndedAt().IsZero() {
			t.Fatalf("ended as %v", counts)
		}
		open, err := s.OpenPlans(t.Context())
		for name, delivery := range a.Dispatch.Deliveries {
			if n, there := open[tracking.PlanRef{Target: name, Hash: delivery.Plan}]; err != nil || there {
				t.Fatalf("%s counts as open %d times (%v)", name, n, err)
			}
		}
	}
}

func cancelWakes(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm")
	wake, stop := s.Changed(t.Context(), d.ID)
	defer stop()
	receive := func(what string) {
		t.Helper()
		timeout := time.NewTimer(patience)
		defer timeout.Stop()
		select {
		case <-wake:
		case <-timeout.C:
			t.Fatalf("not woken: %s", what)
		}
	}
	receive("it stands")
	cancel(t, s, d.ID)
	receive("canceled")
}
