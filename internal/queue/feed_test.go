package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

// What the feed writes is what asynq's own client would have written.
func TestFeedWritesWhatAsynqWrites(t *testing.T) {
	ours, theirs := testenv.Redis(t).Client(t), testenv.Redis(t).Client(t)
	tasks := []dispatch.Task{
		{Ref: tracking.Ref{Tracking: "trk_1", Target: "crm"}, Seq: 1, Lane: tracking.LaneNew},
		{Ref: tracking.Ref{Tracking: "trk_2", Target: "crm"}, Seq: 1, Lane: tracking.LaneBulk},
		{Ref: tracking.Ref{Tracking: "trk_3", Target: "crm"}, Seq: 7},
		{Ref: tracking.Ref{Tracking: "trk_4", Target: "crm"}, Seq: 1, Lane: tracking.LaneNew},
	}
	c := NewClient(ours, ours, slog.New(slog.DiscardHandler))
	c.Submit(tasks...)
	closed(t, c)
	asynqs := asynq.NewClientFromRedisClient(theirs)
	for _, task := range tasks {
		if _, err := asynqs.Enqueue(asynq.NewTask(taskType, nil), asynq.TaskID(taskID(task)), asynq.Queue(lane(task)),
			asynq.MaxRetry(infraRetries), asynq.Timeout(taskTimeout)); err != nil {
			t.Fatal(err)
		}
	}
	want, got := everything(t, theirs), everything(t, ours)
	if len(want) < 8 {
		t.Fatalf("asynq wrote %v", want)
	}
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s is %q, asynq writes %q", key, got[key], value)
		}
		delete(got, key)
	}
	for key, value := range got {
		t.Errorf("%s is %q, asynq does not write it", key, value)
	}
}

// everything reads a Redis, but for when tasks began to wait.
func everything(t *testing.T, rdb *redis.Client) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, key := range rdb.Keys(t.Context(), "*").Val() {
		switch rdb.Type(t.Context(), key).Val() {
		case "hash":
			for field, value := range rdb.HGetAll(t.Context(), key).Val() {
				if field == "pending_since" {
					if n, err := strconv.ParseInt(value, 10, 64); err != nil || n < 1e18 {
						t.Errorf("%s is pending since %q", key, value)
					}
					value = "then"
				}
				out[key+" "+field] = value
			}
		case "list":
			for i, value := range rdb.LRange(t.Context(), key, 0, -1).Val() {
				out[key+" "+strconv.Itoa(i)] = value
			}
		case "set":
			for _, value := range rdb.SMembers(t.Context(), key).Val() {
				out[key+" "+value] = ""
			}
		default:
			t.Errorf("%s is of a kind that nobody expects", key)
		}
	}
	return out
}

// A thousand tasks from many goroutines are all queued, each once, although some come
// twice; who waited knows.
func TestFeedQueuesAllOnce(t *testing.T) {
	rdb := testenv.Redis(t).Client(t)
	c := NewClient(rdb, rdb, slog.New(slog.DiscardHandler))
	const tasks, callers = 1000, 20
	errs := make(chan error, callers)
	for range callers {
		go func() {
			for i := range tasks {
				if i%2 == 0 {
					c.Submit(task(i))
				} else if err := c.Enqueue(t.Context(), task(i)); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range callers {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	closed(t, c)
	n := int64(0)
	for _, list := range rdb.Keys(t.Context(), "asynq:*:pending").Val() {
		n += rdb.LLen(t.Context(), list).Val()
	}
	if n != tasks {
		t.Errorf("%d tasks are queued, want %d", n, tasks)
	}
	if n := len(rdb.Keys(t.Context(), "asynq:*:t:*").Val()); n != tasks {
		t.Errorf("there are %d tasks, want %d", n, tasks)
	}
}

// Who waits for a Redis that is away is told, and nothing is left running.
func TestFeedWithoutRedis(t *testing.T) {
	server := testenv.Redis(t)
	rdb := server.Client(t)
	c := NewClient(rdb, rdb, slog.New(slog.DiscardHandler))
	server.Kill()
	if err := c.Enqueue(t.Context(), task(1)); err == nil {
		t.Error("a task counts as queued without a Redis")
	}
	c.Submit(task(2))
	closed(t, c)
}

func closed(t *testing.T, c *Client) {
	t.Helper()
	if err := c.Close(t.Context()); err != nil {
		t.Errorf("what was submitted is not queued: %v", err)
	}
}

// Stopping does not wait for a Redis that says nothing.
func TestFeedGivesUpWhenStopped(t *testing.T) {
	server := testenv.Redis(t)
	c := NewClient(server.Client(t), server.Client(t), slog.New(slog.DiscardHandler))
	c.Submit(task(1))
	closed(t, c)
	server.Pause()
	defer server.Resume()
	for seq := range 3 * feedLot {
		c.Submit(task(seq))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := c.Close(ctx); err == nil {
		t.Error("all is queued, says Close")
	}
	if took := time.Since(began); took > 2*feedPatience {
		t.Errorf("stopping took %v", took)
	}
}

// A node of a cluster that stands still holds up its own queues only.
func TestFeedWithANodeThatStandsStill(t *testing.T) {
	cluster := testenv.Cluster(t, false, testenv.WithConf("cluster-require-full-coverage", "no"))
	rdb := cluster.Client(t)
	c := NewClient(rdb, rdb, slog.New(slog.DiscardHandler))
	targets := map[string]string{} // a target of each node, by its address
	for i := 0; len(targets) < len(cluster.Masters); i++ {
		name := fmt.Sprint("target", i)
		node, err := rdb.MasterForKey(t.Context(), "{"+name+resumeSuffix+"}")
		if err != nil {
			t.Fatal(err)
		}
		targets[node.Options().Addr] = name
		if err := c.Enqueue(t.Context(), dispatch.Task{Ref: tracking.Ref{Tracking: "trk", Target: name}, Seq: 2}); err != nil { // known from now on
			t.Fatal(err)
		}
	}
	still, alive := cluster.Masters[0], targets[cluster.Masters[1].Addr()]
	still.Pause()
	const tasks = 20 * feedLot
	for seq := range tasks {
		c.Submit(dispatch.Task{Ref: tracking.Ref{Tracking: "trk", Target: targets[still.Addr()]}, Seq: seq + 3},
			dispatch.Task{Ref: tracking.Ref{Tracking: "trk", Target: alive}, Seq: seq + 3})
	}
	node := cluster.Masters[1].Client(t)
	testenv.Eventually(t, 20*time.Second, func() bool {
		return node.LLen(t.Context(), "asynq:{"+alive+resumeSuffix+"}:pending").Val() >= tasks
	}, "the queue of the other node is filled")
	still.Resume()
	closed(t, c)
}

// More than there is room for is left to the reconciler, and who waits is told so.
func TestFeedHasRoomForSoMany(t *testing.T) {
	server := testenv.Redis(t)
	c := NewClient(server.Client(t), server.Client(t), slog.New(slog.DiscardHandler))
	c.Submit(task(1))
	closed(t, c)
	server.Pause()
	for seq := range feedRoom + feedLot {
		c.Submit(task(seq + 2))
	}
	if err := c.Enqueue(t.Context(), task(0)); !errors.Is(err, errNoRoom) {
		t.Errorf("%v, want that there is no room", err)
	}
	server.Resume()
	closed(t, c)
}
