package queue

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"headgate/dispatch"
	"headgate/internal/testenv"
)

// TestFullRedisStillDrains: a Redis that takes nothing more gives out what is queued: new,
// due by time, and what was running when it became full. Without that an upgrade of asynq
// that changes how it works fails here.
func TestFullRedisStillDrains(t *testing.T) {
	rdb := testenv.Redis(t).Client(t)
	c := NewClient(rdb, rdb, slog.New(slog.DiscardHandler))
	later := task(2)
	later.After = time.Second
	running := task(3)
	for _, queued := range []dispatch.Task{running, task(1), later} {
		enqueue(t, c, queued)
	}
	began, finish := make(chan int, 10), make(chan struct{})
	w := serve(t, rdb, func(ctx context.Context, task dispatch.Task) error {
		began <- task.Seq
		if task.Seq == running.Seq {
			select {
			case <-finish:
			case <-ctx.Done():
			}
		}
		return nil
	})
	await := func(want int) {
		t.Helper()
		for {
			select {
			case seq := <-began:
				if seq == want {
					return
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("task %d does not run", want)
			}
		}
	}
	await(running.Seq)
	if err := rdb.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if err := rdb.Set(t.Context(), "anything", "new", 0).Err(); !isFull(err) {
		t.Fatalf("a write: %v, want it refused", err)
	}
	await(later.Seq)
	for _, seq := range []int{9, 1} { // a next step, of a queue that was there and of one that was not
		fresh := task(seq)
		fresh.Target = "crm"
		fresh.Tracking = fresh.Tracking[:len(fresh.Tracking)-1] + "Z"
		enqueue(t, c, fresh)
		await(seq)
	}
	// asynq extends the lease of a run every five seconds.
	before := rdb.ZScore(t.Context(), asynqKey(running, "lease"), taskID(running)).Val()
	testenv.Eventually(t, 20*time.Second, func() bool {
		return rdb.ZScore(t.Context(), asynqKey(running, "lease"), taskID(running)).Val() > before
	}, "its lease is not extended")
	close(finish)
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	testenv.Eventually(t, 20*time.Second, func() bool {
		for queue := range lanes("crm") {
			info, err := inspector.GetQueueInfo(queue)
			if err == nil && info.Size > 0 {
				return false
			}
		}
		return true
	}, "tasks are left")
	w.Stop()
}
