package dispatch_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
	"headgate/dispatch/tracking/memory"
)

func TestReconcileRunning(t *testing.T) {
	w := newWorld(t, succeeded())
	task := w.one(t)
	if _, err := w.store.Claim(t.Context(), task.Ref, task.Seq, "killed", 15*time.Second); err != nil {
		t.Fatal(err)
	}
	w.clock.Add(14 * time.Second)
	w.look(t)
	if got := w.queue.take(); len(got) != 0 {
		t.Fatalf("a live run was taken over: %+v", got)
	}
	w.clock.Add(2 * time.Second)
	w.look(t)
	next := w.only(t)
	if next.Seq != task.Seq+1 {
		t.Fatalf("taken over with %+v", next)
	}
	w.run(t, next)
	if got := w.delivery(t, task).State; got != tracking.Succeeded {
		t.Fatalf("ended as %s", got)
	}
}

func TestReconcileScheduled(t *testing.T) {
	retry := tracking.AttemptFailed{Fault: &fault.Fault{Reason: fault.Timeout}, After: 30 * time.Second}
	cases := map[string]struct {
		presence dispatch.Presence
		after    time.Duration
		want     int // tasks queued
		raised   bool
	}{
		"not yet due":       {dispatch.Enqueued, 20 * time.Second, 0, false},
		"within the grace":  {dispatch.Enqueued, 32 * time.Second, 0, false},
		"missing":           {dispatch.Enqueued, 40 * time.Second, 1, false},
		"late, but present": {dispatch.Present, 40 * time.Second, 0, false},
		"will never run":    {dispatch.Lost, 40 * time.Second, 1, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, retry, succeeded())
			task := w.one(t)
			w.run(t, task)
			w.queue.take()
			w.queue.presence = c.presence
			before := w.delivery(t, task)
			w.clock.Add(c.after)
			w.look(t)
			got := w.queue.take()
			if len(got) != c.want {
				t.Fatalf("queued %+v, want %d", got, c.want)
			}
			if raised := w.delivery(t, task).Seq > before.Seq; raised != c.raised {
				t.Fatalf("fence raised: %v, want %v", raised, c.raised)
			}
			// What was looked at is left alone for a while.
			w.look(t)
			if again := w.queue.take(); len(again) != 0 {
				t.Fatalf("queued again at once: %+v", again)
			}
		})
	}
}

// A backlog is no loss: as long as an older task waits in the lane, this one may too.
func TestReconcileQueued(t *testing.T) {
	cases := map[string]struct {
		oldest   time.Duration
		presence dispatch.Presence
		want     int
	}{
		"backlog":             {2 * time.Minute, dispatch.Enqueued, 0},
		"lane is younger":     {10 * time.Second, dispatch.Enqueued, 1},
		"lane is empty":       {0, dispatch.Enqueued, 1},
		"there after all":     {0, dispatch.Present, 0},
		"dead with its ID on": {0, dispatch.Lost, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, succeeded())
			task := w.one(t)
			w.queue.oldest, w.queue.presence = c.oldest, c.presence
			w.clock.Add(time.Minute)
			w.look(t)
			got := w.queue.take()
			if len(got) != c.want {
				t.Fatalf("queued %+v, want %d", got, c.want)
			}
			if c.want == 1 {
				w.run(t, got[0])
				if state := w.delivery(t, task).State; state != tracking.Succeeded {
					t.Fatalf("ended as %s", state)
				}
			}
		})
	}
}

// A process that is gone leaves its claims; nobody waits for their time to run out.
func TestReconcileOwnerLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, succeeded())
		w.store = memory.New(nil) // on the bubble's clock, as the census is
		w.rewire()
		task := w.one(t)
		ctx, kill := context.WithCancel(t.Context())
		defer kill()
		lost, living := tracking.NewOwner(), dispatch.NewOwner(w.store, w.runner.Log)
		go living.Run(ctx)
		if err := w.store.Beat(t.Context(), lost); err != nil {
			t.Fatal(err)
		}
		if _, err := w.store.Claim(t.Context(), task.Ref, task.Seq, tracking.NewToken(lost), time.Hour); err != nil {
			t.Fatal(err)
		}
		other := w.one(t)
		if _, err := w.store.Claim(t.Context(), other.Ref, other.Seq, tracking.NewToken(living.ID), 5*time.Second); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for len(w.queue.queued) == 0 && time.Since(began) < time.Minute {
			time.Sleep(time.Second)
			w.look(t)
		}
		if took := time.Since(began); took > 15*time.Second {
			t.Fatalf("taken over after %v", took)
		}
		if next := w.only(t); next.Tracking != task.Tracking || next.Seq != task.Seq+1 {
			t.Fatalf("taken over %+v, the lost one was %+v", next, task)
		}
		for range 3 {
			time.Sleep(time.Second)
			w.look(t)
		}
		if owners, err := w.store.Owners(t.Context()); err != nil || len(owners) != 1 {
			t.Fatalf("owners %v, %v; want the living one", owners, err)
		}
		kill()
	})
}

// A claim under the name of a run that this process has ended is nobody's: it is given up
// as soon as its time is over. One of a run that still goes on has its chance.
func TestReconcileRunEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, succeeded())
		w.store = memory.New(nil) // on the bubble's clock, as the census is
		w.rewire()
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go w.runner.Owner.Run(ctx)
		takenAfter := func(task dispatch.Task) time.Duration {
			t.Helper()
			for began := time.Now(); time.Since(began) < 2*time.Minute; time.Sleep(time.Second) {
				w.look(t)
				if w.delivery(t, task).Seq > task.Seq {
					return time.Since(began)
				}
			}
			t.Fatal("it was never taken back")
			return 0
		}
		ended := w.one(t)
		if _, err := w.store.Claim(t.Context(), ended.Ref, ended.Seq, tracking.NewToken(w.runner.Owner.ID), 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if took := takenAfter(ended); took < 5*time.Second || took > 8*time.Second {
			t.Errorf("a claim of 5 s whose run has ended was taken back after %v", took)
		}
		w.queue.take()

		going := w.one(t)
		w.steps.during = func() {
			if took := takenAfter(going); took < 40*time.Second {
				t.Errorf("a run that went on was taken back after %v", took)
			}
		}
		w.run(t, going)
		stop()
	})
}
