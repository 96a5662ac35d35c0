package queue

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

// testValve is shut until it is opened; with holdNew it passes new deliveries over.
type testValve struct {
	mu      sync.Mutex
	opened  chan struct{}
	holdNew bool
	until   time.Time // of holdNew, as it says
	spare   bool      // what a run ends with

	entered, took, began, ended atomic.Int64
}

func shutValve() *testValve { return &testValve{opened: make(chan struct{})} }

func (v *testValve) open() { close(v.opened) }

func (v *testValve) Enter(ctx context.Context, begun bool) (bool, time.Time) {
	v.entered.Add(1)
	v.mu.Lock()
	over, until := v.holdNew && !begun, v.until
	v.mu.Unlock()
	if over {
		return false, until
	}
	select {
	case <-v.opened:
		return true, time.Time{}
	case <-ctx.Done():
		return false, time.Time{}
	}
}
func (v *testValve) Room(_ bool, want int) int { return want }
func (v *testValve) Took(bool)                 { v.took.Add(1) }
func (v *testValve) Begin(ctx context.Context, _ bool) (context.Context, func() bool) {
	v.began.Add(1)
	return ctx, func() bool { v.ended.Add(1); return v.spare }
}
func (v *testValve) Empty(context.Context) {}

func serveBehind(t *testing.T, rdb redis.UniversalClient, valves map[string]Valve, handler Handler) *Worker {
	t.Helper()
	w := NewWorker(Options{
		Redis: rdb, Handler: handler, Log: slog.New(slog.DiscardHandler), Grace: 3 * time.Second,
		Valve: func(target string) Valve { return valves[target] },
	})
	t.Cleanup(w.Stop)
	for target := range valves {
		if err := w.Serve(target, 4); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func ref(target string) tracking.Ref { return tracking.Ref{Tracking: "trk_0112345678", Target: target} }

func pending(t *testing.T, rdb redis.UniversalClient, queue string) int64 {
	t.Helper()
	n, err := rdb.LLen(t.Context(), "asynq:{"+queue+"}:pending").Result()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// While a target is shut nothing of it is taken out; its neighbour does not notice, and
// when it opens it goes on at once.
func testShutTargetTakesNothing(t *testing.T, rdb redis.UniversalClient) {
	crm, neighbour := shutValve(), shutValve()
	neighbour.open()
	ran := make(chan dispatch.Task, 10)
	serveBehind(t, rdb, map[string]Valve{"crm": crm, "billing": neighbour}, func(_ context.Context, task dispatch.Task) error { ran <- task; return nil })
	testenv.Eventually(t, 5*time.Second, func() bool { return crm.entered.Load() > 0 }, "the valve was not asked")
	client := NewClient(rdb, rdb, slog.New(slog.DiscardHandler))
	enqueue(t, client, task(1))
	for seq := 1; seq <= 3; seq++ {
		enqueue(t, client, dispatch.Task{Ref: ref("billing"), Seq: seq})
		if got := <-ran; got.Target != "billing" {
			t.Fatalf("ran %+v although it is shut", got)
		}
	}
	if n := pending(t, rdb, "crm"); n != 1 || crm.took.Load() != 0 {
		t.Fatalf("%d pending, %d taken out; want 1 and 0", n, crm.took.Load())
	}
	crm.open()
	if got := <-ran; got != task(1) {
		t.Fatalf("ran %+v", got)
	}
	testenv.Eventually(t, 5*time.Second, func() bool {
		return crm.took.Load() == 1 && crm.began.Load() == 1 && crm.ended.Load() == 1
	}, "a run was not counted from end to end")
}

// Stopping does not wait for a shut valve, and takes nothing out either.
func testStopWhileShut(t *testing.T, rdb redis.UniversalClient) {
	crm := shutValve()
	w := serveBehind(t, rdb, map[string]Valve{"crm": crm}, func(context.Context, dispatch.Task) error { t.Error("ran although it is shut"); return nil })
	enqueue(t, NewClient(rdb, rdb, slog.New(slog.DiscardHandler)), task(1))
	testenv.Eventually(t, 5*time.Second, func() bool { return crm.entered.Load() > 0 }, "the valve was not asked")
	began := time.Now()
	w.Stop()
	if took := time.Since(began); took > time.Second {
		t.Errorf("stopping took %v", took)
	}
	if n := pending(t, rdb, "crm"); n != 1 {
		t.Errorf("%d tasks pending, want 1", n)
	}
}

// What has begun goes on while new deliveries wait.
func testNewDeliveriesAreHeldAlone(t *testing.T, rdb redis.UniversalClient) {
	crm := shutValve()
	crm.holdNew = true
	crm.open()
	ran := make(chan dispatch.Task, 10)
	serveBehind(t, rdb, map[string]Valve{"crm": crm}, func(_ context.Context, task dispatch.Task) error { ran <- task; return nil })
	client := NewClient(rdb, rdb, slog.New(slog.DiscardHandler))
	enqueue(t, client, task(1))
	for seq := 2; seq <= 4; seq++ {
		enqueue(t, client, task(seq))
		if got := <-ran; got.Seq != seq {
			t.Fatalf("ran %+v, want only what has begun", got)
		}
	}
	crm.mu.Lock()
	crm.holdNew = false
	crm.mu.Unlock()
	if got := <-ran; got != task(1) {
		t.Fatalf("ran %+v", got)
	}
}

// A look that was held for long carries a lease from before it was held: what it found
// would be taken for a dead worker's. It must not be made; nor may the lane that was to
// be looked at lose its turn to another.
func TestStaleLookIsNotMade(t *testing.T) {
	valve := shutValve()
	g := newGate(3, 4, valve)
	g.staleAfter = time.Nanosecond // every look is held for longer
	var made []string
	look := func(lane string) error {
		_, err := g.pass(lane, func(int) ([]taken, error) {
			made = append(made, lane)
			lot := []taken{{lane: lane, id: "1", message: "one"}}
			g.stock.keep(lot)
			return lot, nil
		})
		return err
	}
	valve.open()
	for _, lane := range []string{"crm.resume", "crm", "crm.bulk"} { // one round of asynq
		if err := look(lane); err != redis.Nil { //nolint:errorlint // asynq compares like this
			t.Fatalf("look at %s: %v, want an empty lane", lane, err)
		}
	}
	g.staleAfter = time.Minute
	if err := look("crm.resume"); err != nil {
		t.Fatal(err)
	}
	if want := []string{"crm.resume"}; !slices.Equal(made, want) {
		t.Fatalf("looks made: %v, want %v", made, want)
	}
	if g.holds.Load() != 0 {
		t.Error("lanes that were passed over counted as empty")
	}
}

// A lane that is passed over is looked at again when the valve says that it may be let in, also
// where the others are empty: not when idle queues are looked at the next time.
func TestPassedOverLaneIsLookedAtInTime(t *testing.T) {
	valve := shutValve()
	valve.open()
	valve.holdNew, valve.until = true, time.Now().Add(10*time.Millisecond)
	g := newGate(2, 4, valve)
	defer g.release()
	look := func(lane string) {
		if _, err := g.pass(lane, func(int) ([]taken, error) { return nil, nil }); err != redis.Nil { //nolint:errorlint // asynq compares like this
			t.Errorf("look at %s: %v, want an empty lane", lane, err)
		}
	}
	look("crm")
	look("crm.resume")
	again := make(chan struct{})
	go func() { look("crm"); close(again) }()
	select {
	case <-again:
	case <-time.After(idleLook / 2):
		t.Error("the lane is left alone like an empty one")
		g.wake()
		<-again
	}
}
