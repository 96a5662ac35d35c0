package queue

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"headgate/dispatch"
	"headgate/internal/testenv"
)

// An upgrade of asynq that changes its forward script must fail here, loudly, and not
// let all of its looks through again.
func testForwardIsRecognised(t *testing.T, rdb redis.UniversalClient) {
	g := newGate(len(lanes("crm")), 4, open{})
	defer g.release()
	server := asynq.NewServerFromRedisClient(gated{rdb, rdb, g, newDones()}, asynq.Config{
		Queues: lanes("crm"), LogLevel: asynq.FatalLevel, TaskCheckInterval: time.Millisecond, DelayedTaskCheckInterval: 10 * time.Millisecond,
	})
	if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { return nil })); err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	want := []string{
		"asynq:{crm.bulk}:retry", "asynq:{crm.bulk}:scheduled", "asynq:{crm.resume}:retry", "asynq:{crm}:retry", "asynq:{crm}:scheduled",
	}
	testenv.Eventually(t, 5*time.Second, func() bool {
		g.forwards.mu.Lock()
		defer g.forwards.mu.Unlock()
		return slices.Equal(slices.Sorted(maps.Keys(g.forwards.next)), want)
	}, "no command looked like asynq's forward script")
}

// What becomes due while a server is idle does not wait for its next look of its own.
func testDueTaskIsASignal(t *testing.T, rdb redis.UniversalClient) {
	ran := make(chan time.Time, 1)
	w := serve(t, rdb, func(context.Context, dispatch.Task) error { ran <- time.Now(); return nil })
	g := w.servers["crm"].gate
	later := task(2)
	later.After = time.Second
	enqueue(t, NewClient(rdb, rdb, slog.New(slog.DiscardHandler)), later)
	testenv.Eventually(t, 5*time.Second, func() bool { return g.holds.Load() > 0 }, "an empty look was not held")
	began := time.Now()
	select {
	case at := <-ran: // at a whole second, found by asynq within another
		if took := at.Sub(began); took > idleLook-500*time.Millisecond {
			t.Errorf("it ran after %v", took)
		}
	case <-time.After(2 * idleLook):
		t.Fatal("it did not run")
	}
}

// Signals that were sent while there was no connection are made up for.
func TestNewSubscriptionIsASignal(t *testing.T) {
	rdb := testenv.Redis(t).Client(t)
	g := serve(t, rdb, func(context.Context, dispatch.Task) error { return nil }).servers["crm"].gate
	testenv.Eventually(t, 5*time.Second, func() bool { return g.holds.Load() > 0 }, "an empty look was not held")
	before := g.signals.Load()
	if err := rdb.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 5*time.Second, func() bool { return g.signals.Load() > before }, "the new subscription woke nobody")
}

// What an error of the infrastructure has stopped does not wait for a rare look.
func TestForwardsAreLookedForAfterAnError(t *testing.T) {
	f, now := forwards{next: map[string]time.Time{}}, time.Now()
	const set = "asynq:{crm}:retry"
	f.foundNothing(set, now)
	f.failed(now)
	f.foundNothing(set, now.Add(maxRetryDelay))
	if !f.due(set, now.Add(maxRetryDelay+time.Second)) {
		t.Error("the task that is run again waits for a rare look")
	}
	f.foundNothing(set, now.Add(afterError))
	if f.due(set, now.Add(afterError+time.Second)) {
		t.Error("long after an error it is still looked for each second")
	}
}

func TestForwardsArePaced(t *testing.T) {
	rdb := testenv.Redis(t).Client(t)
	for name, c := range map[string]struct {
		set   string
		moved int
		err   error
		again bool
	}{
		"nothing scheduled of what has begun": {"asynq:{crm.resume}:scheduled", 0, nil, true},
		"nothing to retry of it":              {"asynq:{crm.resume}:retry", 0, nil, false},
		"nothing scheduled of what is new":    {"asynq:{crm}:scheduled", 0, nil, false},
		"there may be more":                   {"asynq:{crm}:scheduled", 100, nil, true},
		"not answered":                        {"asynq:{crm}:retry", 0, errors.New("away"), true},
	} {
		t.Run(name, func(t *testing.T) {
			client := gated{rdb, rdb, newGate(3, 4, open{}), newDones()}
			looks := 0
			for range 2 {
				cmd := client.forward(t.Context(), []string{c.set, "asynq:{crm}:pending"}, func() *redis.Cmd {
					looks++
					return redis.NewCmdResult(int64(c.moved), c.err)
				})
				if n, err := cmd.Int(); n != c.moved && looks == 2 || !errors.Is(err, c.err) {
					t.Fatalf("answered %d, %v", n, err)
				}
			}
			if looks == 2 != c.again {
				t.Errorf("%d looks", looks)
			}
		})
	}
}
