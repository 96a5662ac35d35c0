package queue

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

func TestLane(t *testing.T) {
	ref := tracking.Ref{Tracking: "trk_0112345678", Target: "crm"}
	for name, c := range map[string]struct {
		task dispatch.Task
		want string
	}{
		"new":                        {dispatch.Task{Ref: ref, Seq: 1, Lane: tracking.LaneNew}, "crm"},
		"new, taken over":            {dispatch.Task{Ref: ref, Seq: 3, Lane: tracking.LaneNew}, "crm"},
		"beyond its tenant's share":  {dispatch.Task{Ref: ref, Seq: 1, Lane: tracking.LaneBulk}, "crm.bulk"},
		"replayed with many":         {dispatch.Task{Ref: ref, Seq: 5, Lane: tracking.LaneBulk}, "crm.bulk"},
		"begun":                      {dispatch.Task{Ref: ref, Seq: 2}, "crm.resume"},
		"new, from before the lanes": {dispatch.Task{Ref: ref, Seq: 1}, "crm"},
	} {
		got := lane(c.task)
		if got != c.want || TargetOf(got) != "crm" {
			t.Errorf("%s: queue %s of target %s, want %s", name, got, TargetOf(got), c.want)
		}
		if _, served := lanes("crm")[got]; !served {
			t.Errorf("%s: queue %s is not served", name, got)
		}
	}
}

// TestLanesAreMadeSureOfApart: a task is looked for in the queue of its lane.
func TestLanesAreMadeSureOfApart(t *testing.T) {
	rdb := testenv.Redis(t).Client(t)
	c := NewClient(rdb, rdb, slog.New(slog.DiscardHandler))
	for _, lane := range []tracking.Lane{tracking.LaneNew, tracking.LaneBulk, tracking.LaneResume} {
		waits := task(2)
		waits.Lane = lane
		for i, want := range []dispatch.Presence{dispatch.Enqueued, dispatch.Present} {
			if got, err := c.Ensure(t.Context(), waits); err != nil || got != want {
				t.Errorf("lane %q, look %d: %v, %v; want %v", lane, i, got, err, want)
			}
		}
		if age, err := c.OldestPending(t.Context(), waits); err != nil || age <= 0 {
			t.Errorf("lane %q: oldest has waited %v, %v", lane, age, err)
		}
	}
}

// TestNoLaneIsStarved: where all lanes have tasks, each gets its part of the slots.
func TestNoLaneIsStarved(t *testing.T) {
	rdb := testenv.Redis(t).Client(t)
	c := NewClient(rdb, rdb, slog.New(slog.DiscardHandler))
	const looks = 600
	var tasks []dispatch.Task
	for _, lane := range []tracking.Lane{tracking.LaneNew, tracking.LaneBulk, tracking.LaneResume} {
		for i := range looks {
			next := task(2 + i)
			next.Lane = lane
			tasks = append(tasks, next)
		}
	}
	if err := c.Enqueue(t.Context(), tasks...); err != nil {
		t.Fatal(err)
	}
	served, done := 0, make(chan struct{})
	w := NewWorker(Options{Redis: rdb, Log: slog.New(slog.DiscardHandler), Grace: 3 * time.Second,
		Handler: func(context.Context, dispatch.Task) error {
			if served++; served == looks { // one slot: one at a time
				close(done)
			}
			return nil
		}})
	t.Cleanup(w.Stop)
	if err := w.Serve("crm", 1); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("they are not run")
	}
	w.Stop()
	ran := func(lane string) int { return looks - int(rdb.LLen(t.Context(), "asynq:{"+lane+"}:pending").Val()) }
	own, resume, bulk := ran("crm"), ran("crm.resume"), ran("crm.bulk")
	t.Logf("of the first %d: %d had begun, %d were new, %d bulk", looks, resume, own, bulk)
	// Of 600 about 387, 194 and 19; the bounds are six standard deviations away.
	if resume < 315 || own < 124 || bulk < 1 || bulk > 45 {
		t.Error("a lane has too small or too large a part")
	}
}

// TestAPollDoesNotWaitBehindNewDeliveries: what has begun is asked for before long, however
// many new deliveries are in the queue before it.
func TestAPollDoesNotWaitBehindNewDeliveries(t *testing.T) {
	rdb := testenv.Redis(t).Client(t)
	c := NewClient(rdb, rdb, slog.New(slog.DiscardHandler))
	const backlog = 2000
	crowd := make([]dispatch.Task, backlog)
	for i := range crowd {
		crowd[i] = task(2 + i)
		crowd[i].Lane = tracking.LaneNew
	}
	if err := c.Enqueue(t.Context(), crowd...); err != nil {
		t.Fatal(err)
	}
	poll := task(2 + backlog)
	poll.Lane = tracking.LaneResume
	ran, before := 0, make(chan int, 1)
	w := NewWorker(Options{Redis: rdb, Log: slog.New(slog.DiscardHandler), Grace: 3 * time.Second,
		Handler: func(ctx context.Context, got dispatch.Task) error { // one slot: one at a time
			if ran == 0 {
				if err := c.Enqueue(ctx, poll); err != nil {
					t.Error(err)
				}
			}
			if got.Seq == poll.Seq {
				before <- ran
			}
			ran++
			return nil
		}})
	t.Cleanup(w.Stop)
	if err := w.Serve("crm", 1); err != nil {
		t.Fatal(err)
	}
	select {
	case n := <-before:
		// Each look begins with .resume in 20 of 31 cases: that 100 did not has a chance of 1e-45.
		if n > 100 {
			t.Errorf("%d new deliveries went before it", n)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it is not polled")
	}
}
