package queue

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Leaks(m) }

// bodies are the tests that hold for every kind of Redis.
var bodies = map[string]func(t *testing.T, rdb redis.UniversalClient){
	"GateRecognisesDequeue":     testGateRecognisesDequeue,
	"GateHoldsEmptyLooks":       testGateHoldsEmptyLooks,
	"ForwardIsRecognised":       testForwardIsRecognised,
	"DueTaskIsASignal":          testDueTaskIsASignal,
	"TaskReachesHandler":        testTaskReachesHandler,
	"EnqueueTwiceRunsOnce":      testEnqueueTwiceRunsOnce,
	"OldestPending":             testOldestPending,
	"Lengths":                   testLengths,
	"StopEndsRunsInFlight":      testStopEndsRunsInFlight,
	"ForeignTaskIsKept":         testForeignTaskIsKept,
	"ShutTargetTakesNothing":    testShutTargetTakesNothing,
	"StopWhileShut":             testStopWhileShut,
	"NewDeliveriesAreHeldAlone": testNewDeliveriesAreHeldAlone,
	"Ensure":                    testEnsure,
	"EnsureGoesByTheRecord":     testEnsureGoesByTheRecord,
	"LotIsTakenAsAsynqTakes":    testLotIsTakenAsAsynqTakes,
	"LotGoesBack":               testLotGoesBack,
	"DoneIsRecognised":          testDoneIsRecognised,
	"DoneByItself":              testDoneByItself,
	"Look":                      testLook,
	"Hosts":                     testHosts,
	"Release":                   testRelease,
	"RemoveDeserted":            testRemoveDeserted,
	"ReplacedServerFinishes":    testReplacedServerFinishes,
	"StopAwaitsReplacedServers": testStopAwaitsReplacedServers,
}

func TestOnOneServer(t *testing.T) {
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) { body(t, testenv.Redis(t).Client(t)) })
	}
}

func TestOnACluster(t *testing.T) {
	cluster := testenv.Cluster(t, false)
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			cluster.Flush(t)
			body(t, cluster.Client(t))
		})
	}
}

// empty removes what an earlier case has left.
func empty(t *testing.T, rdb redis.UniversalClient) {
	t.Helper()
	err := error(nil)
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(t.Context(), func(ctx context.Context, master *redis.Client) error { return master.FlushAll(ctx).Err() })
	} else {
		err = rdb.FlushAll(t.Context()).Err()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func task(seq int) dispatch.Task {
	return dispatch.Task{Ref: tracking.Ref{Tracking: "trk_0112345678", Target: "crm"}, Seq: seq}
}

func serve(t *testing.T, rdb redis.UniversalClient, handler Handler) *Worker {
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
func testGateRecognisesDequeue(t *testing.T, rdb redis.UniversalClient) {
	valve := shutValve()
	valve.open()
	g := newGate(len(lanes("crm")), 4, valve)
	defer g.release()
	server := asynq.NewServerFromRedisClient(gated{rdb, rdb, g, newDones()}, asynq.Config{Queues: lanes("crm"), LogLevel: asynq.FatalLevel, TaskCheckInterval: time.Millisecond})
	if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { return nil })); err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	testenv.Eventually(t, 5*time.Second, func() bool { return valve.entered.Load() >= int64(len(lanes("crm"))) && g.holds.Load() > 0 },
		"no command looked like asynq's dequeue script")
}

// With the gate an idle server costs a few commands a second, and a task that is queued
// runs at once all the same.
func testGateHoldsEmptyLooks(t *testing.T, rdb redis.UniversalClient) {
	w := serve(t, rdb, func(context.Context, dispatch.Task) error { return nil })
	g := w.servers["crm"].gate
	testenv.Eventually(t, 5*time.Second, func() bool { return g.holds.Load() > 0 }, "an empty look was not held")
	before := g.holds.Load()
	enqueue(t, NewClient(rdb, rdb, slog.New(slog.DiscardHandler)), task(1))
	testenv.Eventually(t, 5*time.Second, func() bool { return g.signals.Load() > 0 && g.holds.Load() > before }, "the signal did not end the hold")
}

func testTaskReachesHandler(t *testing.T, rdb redis.UniversalClient) {
	got := make(chan dispatch.Task, 10)
	serve(t, rdb, func(_ context.Context, task dispatch.Task) error { got <- task; return nil })
	client := NewClient(rdb, rdb, slog.New(slog.DiscardHandler))
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

func testEnqueueTwiceRunsOnce(t *testing.T, rdb redis.UniversalClient) {
	client := NewClient(rdb, rdb, slog.New(slog.DiscardHandler))
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
func testEnsure(t *testing.T, rdb redis.UniversalClient) {
	cases := map[string]struct {
		arrange func(t *testing.T, rdb redis.UniversalClient, c *Client)
		want    dispatch.Presence
	}{
		"missing": {func(*testing.T, redis.UniversalClient, *Client) {}, dispatch.Enqueued},
		"pending": {func(t *testing.T, _ redis.UniversalClient, c *Client) { enqueue(t, c, task(1)) }, dispatch.Present},
		"scheduled by a clock that was ahead": {func(t *testing.T, _ redis.UniversalClient, c *Client) {
			later := task(1)
			later.After = time.Hour
			enqueue(t, c, later)
		}, dispatch.Enqueued},
		"archived": {func(t *testing.T, _ redis.UniversalClient, c *Client) {
			enqueue(t, c, task(1))
			if err := c.inspector.ArchiveTask("crm", taskID(task(1))); err != nil {
				t.Fatal(err)
			}
		}, dispatch.Lost},
		"active with a lease": {func(t *testing.T, rdb redis.UniversalClient, c *Client) {
			active(t, rdb, c, time.Now().Add(30*time.Second))
		}, dispatch.Taken},
		"active, lease not extended": {func(t *testing.T, rdb redis.UniversalClient, c *Client) {
			active(t, rdb, c, time.Now().Add(10*time.Second))
		}, dispatch.Lost},
		"active, lease over": {func(t *testing.T, rdb redis.UniversalClient, c *Client) {
			active(t, rdb, c, time.Now().Add(-time.Minute))
		}, dispatch.Lost},
		"active without lease": {func(t *testing.T, rdb redis.UniversalClient, c *Client) { active(t, rdb, c, time.Time{}) }, dispatch.Lost},
		"pending, but not in the list": {func(t *testing.T, rdb redis.UniversalClient, c *Client) {
			enqueue(t, c, task(1))
			rdb.LRem(t.Context(), "asynq:{crm}:pending", 0, taskID(task(1)))
		}, dispatch.Lost},
		"pending, not in the list, others wait": {func(t *testing.T, rdb redis.UniversalClient, c *Client) {
			enqueue(t, c, task(1))
			rdb.LRem(t.Context(), "asynq:{crm}:pending", 0, taskID(task(1)))
			other := task(1)
			other.Tracking = "trk_0187654321"
			enqueue(t, c, other)
		}, dispatch.Lost},
		"scheduled, but not in the set": {func(t *testing.T, rdb redis.UniversalClient, c *Client) {
			later := task(1)
			later.After = time.Hour
			enqueue(t, c, later)
			rdb.ZRem(t.Context(), "asynq:{crm}:scheduled", taskID(task(1)))
		}, dispatch.Lost},
		"deleted by hand": {func(t *testing.T, _ redis.UniversalClient, c *Client) {
			enqueue(t, c, task(1))
			if err := c.inspector.DeleteTask("crm", taskID(task(1))); err != nil {
				t.Fatal(err)
			}
		}, dispatch.Enqueued},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			empty(t, rdb)
			client := NewClient(rdb, rdb, slog.New(slog.DiscardHandler))
			c.arrange(t, rdb, client)
			got, err := client.Ensure(t.Context(), task(1))
			if err != nil || got != c.want {
				t.Fatalf("Ensure = %v, %v; want %v", got, err, c.want)
			}
		})
	}
}

// A task is due when the record says so, whatever the clock of the host said that queued
// it; one that is not due stays where it is.
func testEnsureGoesByTheRecord(t *testing.T, rdb redis.UniversalClient) {
	client := NewClient(rdb, rdb, slog.New(slog.DiscardHandler))
	later := task(1)
	later.After = time.Hour
	enqueue(t, client, later)
	for _, c := range []struct {
		after time.Duration
		want  dispatch.Presence
		state asynq.TaskState
	}{{time.Hour, dispatch.Present, asynq.TaskStateScheduled}, {0, dispatch.Enqueued, asynq.TaskStatePending}} {
		later.After = c.after
		got, err := client.Ensure(t.Context(), later)
		if err != nil || got != c.want {
			t.Fatalf("due in %v: Ensure = %v, %v; want %v", c.after, got, err, c.want)
		}
		info, err := client.inspector.GetTaskInfo("crm", taskID(later))
		if err != nil || info.State != c.state {
			t.Fatalf("due in %v: the task is %v (%v), want %v", c.after, info, err, c.state)
		}
	}
}

func enqueue(t *testing.T, c *Client, task dispatch.Task) {
	t.Helper()
	if err := c.Enqueue(t.Context(), task); err != nil {
		t.Fatal(err)
	}
}

// active puts a task where a worker that has taken it leaves it.
func active(t *testing.T, rdb redis.UniversalClient, c *Client, lease time.Time) {
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

func testOldestPending(t *testing.T, rdb redis.UniversalClient) {
	client := NewClient(rdb, rdb, slog.New(slog.DiscardHandler))
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
func testStopEndsRunsInFlight(t *testing.T, rdb redis.UniversalClient) {
	began, ended := make(chan struct{}), make(chan struct{})
	w := serve(t, rdb, func(ctx context.Context, _ dispatch.Task) error {
		close(began)
		<-ctx.Done()
		close(ended)
		return nil
	})
	enqueue(t, NewClient(rdb, rdb, slog.New(slog.DiscardHandler)), task(1))
	<-began
	w.Stop()
	select {
	case <-ended:
	default:
		t.Fatal("the run was not ended")
	}
}

func testForeignTaskIsKept(t *testing.T, rdb redis.UniversalClient) {
	serve(t, rdb, func(context.Context, dispatch.Task) error { t.Error("a foreign task was run"); return nil })
	if _, err := asynq.NewClientFromRedisClient(rdb).Enqueue(asynq.NewTask("other", nil), asynq.Queue("crm"), asynq.TaskID("foreign")); err != nil {
		t.Fatal(err)
	}
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	testenv.Eventually(t, 6*idleLook, func() bool { // nobody gives a signal
		info, err := inspector.GetTaskInfo("crm", "foreign")
		return err == nil && info.State == asynq.TaskStateArchived
	}, "the foreign task was not archived")
}
