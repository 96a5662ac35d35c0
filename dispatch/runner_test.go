package dispatch_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

func succeeded() tracking.Event { return tracking.Concluded{State: tracking.Succeeded} }

func TestRunToTheEnd(t *testing.T) {
	w := newWorld(t,
		tracking.AttemptFailed{Fault: &fault.Fault{Reason: fault.ServerError, Status: 503}, After: 2 * time.Second},
		tracking.Advanced{Next: "poll", Saved: map[string]json.RawMessage{"job": []byte(`"j1"`)}},
		tracking.NotYet{After: time.Minute},
		succeeded(),
	)
	task := w.one(t)
	for i, want := range []struct {
		state tracking.State
		after time.Duration
	}{{tracking.Retrying, 2 * time.Second}, {tracking.Delivering, 0}, {tracking.Waiting, time.Minute}} {
		w.run(t, task)
		if got := w.delivery(t, task).State; got != want.state {
			t.Fatalf("run %d: state %s, want %s", i, got, want.state)
		}
		next := w.only(t)
		// The queue counts from when the run ended, a moment after it began.
		if next.Seq != task.Seq+1 || !next.Begun() || next.After > want.after || next.After < want.after-time.Second {
			t.Fatalf("run %d: next task %+v, want seq %d after %v", i, next, task.Seq+1, want.after)
		}
		task = next
	}
	w.run(t, task)
	d := w.delivery(t, task)
	if d.State != tracking.Succeeded || d.Attempts != 3 || d.Polls != 1 {
		t.Fatalf("ended as %+v", d)
	}
	if left := w.queue.take(); len(left) != 0 {
		t.Fatalf("a final delivery has tasks: %+v", left)
	}
	if got := string(w.steps.ran[2].Delivery.Saved["job"]); got != `"j1"` {
		t.Fatalf("the poll saw job %s", got)
	}
}

// asynq may run a finished task again, or hand a running one to a second worker.
func TestOneCallForATaskRunTwice(t *testing.T) {
	w := newWorld(t, succeeded())
	task := w.one(t)
	w.steps.during = func() {
		w.steps.during = nil
		w.run(t, task) // the same task, while the first run holds the claim
	}
	w.run(t, task)
	w.run(t, task) // and again after it
	if n := len(w.steps.ran); n != 1 {
		t.Fatalf("the backend was called %d times", n)
	}
	if left := w.queue.take(); len(left) != 0 {
		t.Fatalf("tasks left: %+v", left)
	}
}

// A task behind the record is a repair signal: the task that the record calls for may
// never have been queued.
func TestStaleTaskRepairs(t *testing.T) {
	w := newWorld(t, tracking.NotYet{After: time.Minute})
	first := w.one(t)
	w.run(t, first)
	w.queue.take() // lost: the worker died before it could queue it
	w.run(t, first)
	if got := w.only(t); got.Seq != first.Seq+1 {
		t.Fatalf("repaired with %+v", got)
	}
	if n := len(w.steps.ran); n != 1 {
		t.Fatalf("a stale task called the backend: %d calls", n)
	}
}

// The queue goes by the clocks of hosts. A task that comes long before its time by the
// store's clock calls nobody and uses up no attempt; the due row brings it in time.
func TestTaskBeforeItsTime(t *testing.T) {
	w := newWorld(t, tracking.AttemptFailed{Fault: &fault.Fault{Reason: fault.ServerError, Status: 503}, After: time.Minute}, succeeded())
	w.run(t, w.one(t))
	early := w.only(t)
	early.After = 0
	before := w.delivery(t, early)
	w.run(t, early)
	d := w.delivery(t, early)
	if len(w.steps.ran) != 1 || d.Phase != tracking.Scheduled || d.State != tracking.Retrying || !d.NextAt.Equal(before.NextAt) || d.Attempts != 1 {
		t.Fatalf("%d calls; before its time it became %+v", len(w.steps.ran), d)
	}
	if left := w.queue.take(); len(left) != 0 {
		t.Fatalf("queued again, to come too early again: %+v", left)
	}
	w.clock.Add(50 * time.Second)
	w.look(t)
	if left := w.queue.take(); len(left) != 0 {
		t.Fatalf("brought back too early: %+v", left)
	}
	w.clock.Add(20 * time.Second)
	w.look(t)
	w.run(t, w.only(t))
	if d := w.delivery(t, early); d.State != tracking.Succeeded || d.Attempts != 2 {
		t.Fatalf("ended as %+v", d)
	}
}

// A run that was taken over can change nothing any longer.
func TestLateRunIsFenced(t *testing.T) {
	w := newWorld(t, tracking.Concluded{State: tracking.Rejected}, succeeded())
	task := w.one(t)
	w.steps.during = func() {
		w.steps.during = nil
		w.clock.Add(time.Hour) // the claim is over; the reconciler takes the delivery back
		w.look(t)
		w.run(t, w.only(t))
	}
	w.run(t, task)
	if got := w.delivery(t, task).State; got != tracking.Succeeded {
		t.Fatalf("the late run won: %s", got)
	}
}

func TestStoppedRunIsHandedBack(t *testing.T) {
	w := newWorld(t, tracking.AttemptFailed{Fault: &fault.Fault{Reason: fault.Timeout, Retry: true}})
	task := w.one(t)
	ctx, cancel := context.WithCancel(t.Context())
	w.steps.during = cancel
	if err := w.runner.Run(ctx, task); err != nil {
		t.Fatal(err)
	}
	next := w.only(t)
	if d := w.delivery(t, task); d.Phase != tracking.Queued || d.Seq != next.Seq || next.Seq <= task.Seq || d.State != tracking.Pending {
		t.Fatalf("not handed back: %+v, task %+v", d, next)
	}
}

// The backend did what it was asked, and only we know: stopping must not lose that.
func TestAnswerIsRecordedWhileStopping(t *testing.T) {
	for name, c := range map[string]struct {
		event tracking.Event
		state tracking.State
		step  string
	}{
		"the end":      {succeeded(), tracking.Succeeded, ""},
		"a step on":    {tracking.Advanced{Next: "poll"}, tracking.Delivering, "poll"},
		"not yet over": {tracking.NotYet{After: time.Minute}, tracking.Waiting, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.event)
			task := w.one(t)
			ctx, cancel := context.WithCancel(t.Context())
			w.steps.during = cancel
			if err := w.runner.Run(ctx, task); err != nil {
				t.Fatal(err)
			}
			if d := w.delivery(t, task); d.State != c.state || d.Step != c.step || d.Phase == tracking.Running {
				t.Fatalf("recorded %+v", d)
			}
		})
	}
}

// A removed target changes nothing for what is in flight: its plan is in the store.
func TestPlanOutlivesFiles(t *testing.T) {
	w := newWorld(t, succeeded())
	task := w.one(t)
	delete(w.live, "crm")
	w.run(t, task)
	if got := w.delivery(t, task).State; got != tracking.Succeeded {
		t.Fatalf("ended as %s", got)
	}
}

func TestUnknownPlanIsTold(t *testing.T) {
	w := newWorld(t, succeeded())
	w.accept(t, dispatch.Intake{Tenant: "t"})
	task := w.only(t)
	d := w.delivery(t, task)
	changed := d
	changed.Seq, changed.Plan = d.Seq+1, "0000000000000000"
	if err := w.store.Apply(t.Context(), task.Ref, d.Fence, changed); err != nil {
		t.Fatal(err)
	}
	task.Seq++
	w.run(t, task)
	if got := w.delivery(t, task); got.State != tracking.Failed || got.Reason != fault.TargetGone {
		t.Fatalf("ended as %+v", got)
	}
}

func TestRunOfAnExpiredRecord(t *testing.T) {
	w := newWorld(t, succeeded())
	id, err := tracking.NewID("")
	if err != nil {
		t.Fatal(err)
	}
	w.run(t, dispatch.Task{Ref: tracking.Ref{Tracking: id, Target: "crm"}, Seq: 1})
	if len(w.steps.ran) != 0 {
		t.Fatal("a task without a record called the backend")
	}
}

func TestAcceptSurvivesAQueueThatIsAway(t *testing.T) {
	w := newWorld(t, succeeded())
	w.queue.down = errors.New("no connection")
	receipt := w.accept(t, dispatch.Intake{Tenant: "t"})
	w.queue.down = nil
	w.clock.Add(time.Minute)
	w.look(t)
	task := w.only(t)
	if task.Tracking != receipt.ID {
		t.Fatalf("repaired %+v, want %s", task, receipt.ID)
	}
	w.run(t, task)
	if got := w.delivery(t, task).State; got != tracking.Succeeded {
		t.Fatalf("ended as %s", got)
	}
}

func TestIdempotencyKey(t *testing.T) {
	w := newWorld(t, succeeded())
	key := func(fingerprint string) *dispatch.Idem {
		return &dispatch.Idem{Hash: "k", Fingerprint: fingerprint, TTL: time.Hour}
	}
	first := w.accept(t, dispatch.Intake{Tenant: "t", Idem: key("f")})
	again := w.accept(t, dispatch.Intake{Tenant: "t", Idem: key("f")})
	if !again.Replayed || again.ID != first.ID || again.Targets["crm"] != tracking.Pending {
		t.Fatalf("replay: %+v", again)
	}
	if other := w.accept(t, dispatch.Intake{Tenant: "t", Idem: key("other")}); !other.Conflict {
		t.Fatalf("conflict: %+v", other)
	}
	if n := len(w.queue.take()); n != 1 {
		t.Fatalf("%d tasks for one request", n)
	}
	found, ok, err := w.dispatcher.Lookup(t.Context(), *key("f"))
	if err != nil || !ok || found.ID != first.ID || !found.Replayed {
		t.Fatalf("lookup: %+v %v %v", found, ok, err)
	}
}

func TestTrackIsTheTenantsOwn(t *testing.T) {
	w := newWorld(t, succeeded())
	receipt := w.accept(t, dispatch.Intake{Tenant: "a"})
	if _, err := w.dispatcher.Track(t.Context(), receipt.ID, "b", 0); !errors.Is(err, tracking.ErrNotFound) {
		t.Fatalf("another tenant's: %v", err)
	}
	if d, err := w.dispatcher.Track(t.Context(), receipt.ID, "a", 0); err != nil || d.Status() != tracking.InProgress {
		t.Fatalf("own: %+v %v", d, err)
	}
}

func TestTrackWaits(t *testing.T) {
	w := newWorld(t, succeeded())
	receipt := w.accept(t, dispatch.Intake{Tenant: "a"})
	answered := make(chan *tracking.Dispatch)
	go func() {
		d, err := w.dispatcher.Track(t.Context(), receipt.ID, "a", time.Minute)
		if err != nil {
			t.Error(err)
		}
		answered <- d
	}()
	w.run(t, w.only(t))
	select {
	case d := <-answered:
		if d.Status() != tracking.DispatchSucceeded {
			t.Fatalf("answered while %s", d.Status())
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the end of the dispatch woke nobody")
	}
}
