package queue

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Leaks(m) }

func task(seq int) dispatch.Task {
	return dispatch.Task{Ref: tracking.Ref{Tracking: "trk_0112345678", Target: "crm"}, Seq: seq}
}

func serve(t *testing.T, rdb *redis.Client, handler Handler) *Worker {
	t.Helper()
	w := NewWorker(Options{Redis: rdb, Handler: handler, Log: slog.New(slog.DiscardHandler), Grace: 3 * time.Second})
	t.Cleanup(w.Stop)
	if err := w.Serve("crm", 4); err != nil {
		t.Fatal(err)
	}
	return w
}

// An upgrade of asynq that changes its dequeue script must fail here, loudly, and not
// turn the gate into something that is never asked.
func TestGateRecognisesDequeue(t *testing.T) {
	rdb := testenv.Redis(t).Client(t)
	spy := &spyHook{}
	rdb.AddHook(spy)
	server := asynq.NewServerFromRedisClient(rdb, asynq.Config{Queues: lanes("crm"), LogLevel: asynq.FatalLevel})
	if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { return nil })); err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	testenv.Eventually(t, 5*time.Second, func() bool { return spy.dequeues.Load() >= int64(len(lanes("crm"))) }, "no command looked like asynq's dequeue script")
}

// With the gate an idle server costs a few commands a second, and a task that is queued
// runs at once all the same.
func TestGateHoldsEmptyLooks(t *testing.T) {
	rdb := testenv.Redis(t).Client(t)
	w := serve(t, rdb, func(context.Context, dispatch.Task) error { return nil })
	g := w.servers["crm"].gate
	testenv.Eventually(t, 5*time.Second, func() bool { return g.holds.Load() > 0 }, "an empty look was not held")
	before := g.holds.Load()
	enqueue(t, NewClient(rdb, rdb), task(1))
	testenv.Eventually(t, 5*time.Second, func() bool { return g.signals.Load() > 0 && g.holds.Load() > before }, "the signal did not end the hold")
}

type spyHook struct{ dequeues atomic.Int64 }

func (s *spyHook) DialHook(next redis.DialHook) redis.DialHook { return next }
func (s *spyHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
func (s *spyHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if isDequeue(cmd) {
			s.dequeues.Add(1)
		}
		return next(ctx, cmd)
	}
}

func TestTaskReachesHandler(t *testing.T) {
	rdb := testenv.Redis(t).Client(t)
	got := make(chan dispatch.Task, 10)
	serve(t, rdb, func(_ context.Context, task dispatch.Task) error { got <- task; return nil })
	client := NewClient(rdb, rdb)
	for seq := 1; seq <= 3; seq++ {
		if err := client.Enqueue(t.Context(), task(seq)); err != nil {
			t.Fatal(err)
		}
		select {
		case ran := <-got:
			if ran != task(seq) {
				t.Fatalf("ran %+v, want %+v", ran, task(seq))
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("task %d did not run", seq)
		}
	}
}

func TestEnqueueTwiceRunsOnce(t *testing.T) {
	rdb := testenv.Redis(t).Client(t)
	client := NewClient(rdb, rdb)
	for range 2 {
		if err := client.Enqueue(t.Context(), task(1)); err != nil {
			t.Fatal(err)
		}
	}
	info, err := asynq.NewInspectorFromRedisClient(rdb).GetQueueInfo("crm")
	if err != nil || info.Pending != 1 {
		t.Fatalf("pending %+v, %v; want one task", info, err)
	}
}

// That a task's ID exists proves nothing: only its state says whether it will run.
func TestEnsure(t *testing.T) {
	cases := map[string]struct {
		arrange func(t *testing.T, rdb *redis.Client, c *Client)
		want    dispatch.Presence
	}{
		"missing": {func(*testing.T, *redis.Client, *Client) {}, dispatch.Enqueued},
		"pending": {func(t *testing.T, _ *redis.Client, c *Client) { enqueue(t, c, task(1)) }, dispatch.Present},
		"scheduled": {func(t *testing.T, _ *redis.Client, c *Client) {
			later := task(1)
			later.After = time.Hour
			enqueue(t, c, later)
		}, dispatch.Present},
		"archived": {func(t *testing.T, _ *redis.Client, c *Client) {
			enqueue(t, c, task(1))
			if err := c.inspector.ArchiveTask("crm", taskID(task(1))); err != nil {
				t.Fatal(err)
			}
		}, dispatch.Lost},
		"active with a lease": {func(t *testing.T, rdb *redis.Client, c *Client) {
			active(t, rdb, c, time.Now().Add(30*time.Second))
		}, dispatch.Present},
		"active, lease not extended": {func(t *testing.T, rdb *redis.Client, c *Client) {
			active(t, rdb, c, time.Now().Add(10*time.Second))
		}, dispatch.Lost},
		"active, lease over": {func(t *testing.T, rdb *redis.Client, c *Client) {
			active(t, rdb, c, time.Now().Add(-time.Minute))
		}, dispatch.Lost},
		"active without lease": {func(t *testing.T, rdb *redis.Client, c *Client) { active(t, rdb, c, time.Time{}) }, dispatch.Lost},
		"pending, but not in the list": {func(t *testing.T, rdb *redis.Client, c *Client) {
			enqueue(t, c, task(1))
			rdb.LRem(t.Context(), "asynq:{crm}:pending", 0, taskID(task(1)))
		}, dispatch.Lost},
		"pending, not in the list, others wait": {func(t *testing.T, rdb *redis.Client, c *Client) {
			enqueue(t, c, task(1))
			rdb.LRem(t.Context(), "asynq:{crm}:pending", 0, taskID(task(1)))
			other := task(1)
			other.Tracking = "trk_0187654321"
			enqueue(t, c, other)
		}, dispatch.Lost},
		"scheduled, but not in the set": {func(t *testing.T, rdb *redis.Client, c *Client) {
			later := task(1)
			later.After = time.Hour
			enqueue(t, c, later)
			rdb.ZRem(t.Context(), "asynq:{crm}:scheduled", taskID(task(1)))
		}, dispatch.Lost},
		"deleted by hand": {func(t *testing.T, _ *redis.Client, c *Client) {
			enqueue(t, c, task(1))
			if err := c.inspector.DeleteTask("crm", taskID(task(1))); err != nil {
				t.Fatal(err)
			}
		}, dispatch.Enqueued},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			rdb := testenv.Redis(t).Client(t)
			client := NewClient(rdb, rdb)
			c.arrange(t, rdb, client)
			got, err := client.Ensure(t.Context(), task(1))
			if err != nil || got != c.want {
				t.Fatalf("Ensure = %v, %v; want %v", got, err, c.want)
			}
		})
	}
}

func enqueue(t *testing.T, c *Client, task dispatch.Task) {
	t.Helper()
	if err := c.Enqueue(t.Context(), task); err != nil {
		t.Fatal(err)
	}
}

// active puts a task where a worker that has taken it leaves it.
func active(t *testing.T, rdb *redis.Client, c *Client, lease time.Time) {
	t.Helper()
	enqueue(t, c, task(1))
	id := taskID(task(1))
	pipe := rdb.TxPipeline()
	pipe.LRem(t.Context(), "asynq:{crm}:pending", 0, id)
	pipe.LPush(t.Context(), "asynq:{crm}:active", id)
	pipe.HSet(t.Context(), "asynq:{crm}:t:"+id, "state", "active")
	if !lease.IsZero() {
		pipe.ZAdd(t.Context(), "asynq:{crm}:lease", redis.Z{Score: float64(lease.Unix()), Member: id})
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestOldestPending(t *testing.T) {
	rdb := testenv.Redis(t).Client(t)
	client := NewClient(rdb, rdb)
	if age, err := client.OldestPending(t.Context(), task(1)); age != 0 || err != nil {
		t.Fatalf("of a queue that does not exist: %v, %v", age, err)
	}
	enqueue(t, client, task(1))
	if err := rdb.HSet(t.Context(), "asynq:{crm}:t:"+taskID(task(1)), "pending_since", time.Now().Add(-time.Minute).UnixNano()).Err(); err != nil {
		t.Fatal(err)
	}
	// An entry whose task somebody deleted must not hide the others.
	if err := rdb.RPush(t.Context(), "asynq:{crm}:pending", "gone").Err(); err != nil {
		t.Fatal(err)
	}
	if age, err := client.OldestPending(t.Context(), task(1)); err != nil || age < 59*time.Second || age > 2*time.Minute {
		t.Fatalf("oldest pending %v, %v; want about a minute", age, err)
	}
}

// What is still running when the time is up gets its context ended, so that it can hand
// its delivery back, and Stop returns.
func TestStopEndsRunsInFlight(t *testing.T) {
	rdb := testenv.Redis(t).Client(t)
	began, ended := make(chan struct{}), make(chan struct{})
	w := serve(t, rdb, func(ctx context.Context, _ dispatch.Task) error {
		close(began)
		<-ctx.Done()
		close(ended)
		return nil
	})
	enqueue(t, NewClient(rdb, rdb), task(1))
	<-began
	w.Stop()
	select {
	case <-ended:
	default:
		t.Fatal("the run was not ended")
	}
}

func TestForeignTaskIsKept(t *testing.T) {
	rdb := testenv.Redis(t).Client(t)
	serve(t, rdb, func(context.Context, dispatch.Task) error { t.Error("a foreign task was run"); return nil })
	if _, err := asynq.NewClientFromRedisClient(rdb).Enqueue(asynq.NewTask("other", nil), asynq.Queue("crm"), asynq.TaskID("foreign")); err != nil {
		t.Fatal(err)
	}
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	testenv.Eventually(t, 5*time.Second, func() bool {
		info, err := inspector.GetTaskInfo("crm", "foreign")
		return err == nil && info.State == asynq.TaskStateArchived
	}, "the foreign task was not archived")
}
