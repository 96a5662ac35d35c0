package app_test

import (
	"log/slog"
	"regexp"
	"strconv"
	"testing"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
	"headgate/internal/queue"
	"headgate/internal/redisstore"
	"headgate/internal/testenv"
)

// What a look costs does not depend on how much waits.
func TestALookCostsTheSame(t *testing.T) {
	server := testenv.Redis(t)
	rdb := server.Client(t)
	store := redisstore.New(rdb, rdb)
	t.Cleanup(func() { _ = store.Close() })
	tasks := queue.NewClient(rdb, rdb, slog.New(slog.DiscardHandler))
	calls := func() (n int) {
		for _, found := range regexp.MustCompile(`cmdstat_(\w+):calls=(\d+)`).FindAllStringSubmatch(rdb.Info(t.Context(), "commandstats").Val(), -1) {
			if one, err := strconv.Atoi(found[2]); err == nil && found[1] != "info" {
				n += one
			}
		}
		return n
	}
	look := func() (counts tracking.TargetCounts, waits tracking.Waiters, cost int) {
		t.Helper()
		before := calls()
		all, err := store.Counts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		waiting, err := dispatch.PendingOf(t.Context(), tasks, store, []string{"crm", "mail"})
		if err != nil {
			t.Fatal(err)
		}
		return all["crm"], waiting["crm"], calls() - before
	}
	var was int
	for round, n := range []int{300, 3000} {
		for range n {
			ref := tracking.Ref{Tracking: newTracking(t), Target: "crm"}
			if _, err := store.Accept(t.Context(), &tracking.Acceptance{
				Dispatch: &tracking.Dispatch{
					ID: ref.Tracking, Route: "r", Tenant: "t", Rule: tracking.DoneAll, Targets: []tracking.TargetRef{{Name: "crm"}},
					Deliveries: map[string]tracking.Delivery{"crm": {Fence: tracking.Fence{Seq: 1}, Phase: tracking.Queued, State: tracking.Pending, Plan: "p"}},
				},
				Retention: time.Hour,
			}); err != nil {
				t.Fatal(err)
			}
			tasks.Submit(dispatch.Task{Ref: ref, Seq: 1, Lane: tracking.LaneNew})
		}
		if err := tasks.Close(t.Context()); err != nil { // all are queued
			t.Fatal(err)
		}
		if round == 0 {
			look() // the scripts are there from now on
		}
		counts, waits, cost := look()
		if waits.Count != counts.Open || counts.Open < n || waits.Oldest <= 0 {
			t.Errorf("%+v are open, %+v wait", counts, waits)
		}
		t.Logf("%d wait: %d commands, those of scripts included", counts.Open, cost)
		if round > 0 && cost > was {
			t.Errorf("a look costs %d commands, and %d with less to do", cost, was)
		}
		was = cost
	}
}

func newTracking(t *testing.T) string {
	t.Helper()
	id, err := tracking.NewID("")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// The age of what is pending is that of the oldest delivery that really waits, in whichever
// queue, since it was accepted or taken up again.
func TestAgeOfThePending(t *testing.T) {
	rdb := testenv.Redis(t).Client(t)
	store := redisstore.New(rdb, rdb)
	t.Cleanup(func() { _ = store.Close() })
	tasks := queue.NewClient(rdb, rdb, slog.New(slog.DiscardHandler))
	add := func(lane tracking.Lane) tracking.Ref {
		ref := tracking.Ref{Tracking: newTracking(t), Target: "crm"}
		a := &tracking.Acceptance{
			Dispatch: &tracking.Dispatch{
				ID: ref.Tracking, Route: "r", Tenant: "t", Rule: tracking.DoneAll, Targets: []tracking.TargetRef{{Name: "crm"}},
				Deliveries: map[string]tracking.Delivery{"crm": {Fence: tracking.Fence{Seq: 1}, Phase: tracking.Queued, State: tracking.Pending, Plan: "p"}},
			},
			Retention: time.Hour,
		}
		if _, err := store.Accept(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if err := tasks.Enqueue(t.Context(), dispatch.Task{Ref: ref, Seq: 1, Lane: lane}); err != nil {
			t.Fatal(err)
		}
		return ref
	}
	// younger makes the redis clock pass, so that ages differ.
	younger := func() (since time.Time) {
		since = time.Now()
		testenv.Eventually(t, 5*time.Second, func() bool { return time.Since(since) > 30*time.Millisecond }, "time stands still")
		return time.Now()
	}
	expect := func(when string, count int, from, to time.Time) {
		t.Helper()
		before := time.Now()
		found, err := dispatch.PendingOf(t.Context(), tasks, store, []string{"crm", "idle"})
		if err != nil {
			t.Fatal(err)
		}
		got := found["crm"]
		least, most := before.Sub(to)-2*time.Millisecond, time.Since(from)+2*time.Millisecond
		if got.Count != count || got.Oldest < least || got.Oldest > most || found["idle"] != (tracking.Waiters{}) {
			t.Errorf("%s: %+v, want %d, the oldest %s to %s", when, got, count, least, most)
		}
	}
	start := time.Now()
	var canceled []tracking.Ref
	for range 3 {
		canceled = append(canceled, add(tracking.LaneNew))
	}
	second := younger()
	bulk := add(tracking.LaneBulk)
	third := younger()
	own := add(tracking.LaneNew)
	last := time.Now()
	expect("all wait", 5, start, second)
	for _, ref := range canceled {
		if _, err := store.Cancel(t.Context(), ref.Tracking, "t"); err != nil {
			t.Fatal(err)
		}
	}
	expect("the oldest are canceled, and their tasks still there", 5, second, third)
	if _, err := store.Cancel(t.Context(), bulk.Tracking, "t"); err != nil {
		t.Fatal(err)
	}
	expect("the one in bulk, too", 5, third, last)
	// Paused by hand in the dashboard: what waits waits.
	if err := rdb.Set(t.Context(), "asynq:{crm}:paused", time.Now().Unix(), 0).Err(); err != nil {
		t.Fatal(err)
	}
	expect("paused", 5, third, last)
	letter, err := store.Letter(t.Context(), bulk)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Cancel(t.Context(), own.Tracking, "t"); err != nil {
		t.Fatal(err)
	}
	fourth := younger()
	letter.Now = time.Now()
	next := tracking.Revive(letter.Delivery, tracking.Revival{}, letter.Now)
	if err := store.Revive(t.Context(), bulk, letter.Delivery.Fence, next, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if err := tasks.Enqueue(t.Context(), dispatch.Task{Ref: bulk, Seq: next.Seq, Lane: next.Lane}); err != nil {
		t.Fatal(err)
	}
	expect("one is replayed", 6, fourth, time.Now())
}
