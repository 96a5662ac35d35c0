package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"headgate/dispatch"
)

// taskType is the asynq type of all our tasks: each asks for one run of a delivery. It is
// short, and so is all that asynq keeps of a task: with a message of more than 64 bytes
// Redis takes more than twice the memory (hash-max-listpack-value).
const taskType = "run"

// wakeChannel carries the names of targets, separated by spaces, for which tasks were
// just queued: workers whose queues were empty look at once.
const wakeChannel = "hg:wake"

// taskTimeout is asynq's own bound on a run. Ours is shorter and inside: what ends by
// asynq's counts as failed whatever the handler says.
const taskTimeout = 30 * time.Minute

// infraRetries is how often asynq runs a task again that ended with an error of the
// infrastructure. It is no budget of attempts: those are the runner's. A task that asynq
// gives up is found by the reconciler.
const infraRetries = 50

// maxRetryDelay is the longest time between two of them.
const maxRetryDelay = 10 * time.Second

// Client queues tasks.
type Client struct {
	rdb, base redis.UniversalClient
	client    *asynq.Client
	pressing  *asynq.Client // for a Redis that is full
	inspector *asynq.Inspector
	feeds     *feeds
}

// NewClient makes a client. shared may be an auto-pipelining client over base, the plain
// one.
func NewClient(shared, base redis.UniversalClient, log *slog.Logger) *Client {
	return &Client{
		rdb: shared, base: base,
		client:    asynq.NewClientFromRedisClient(shared),
		pressing:  asynq.NewClientFromRedisClient(roomy{base, new(room)}),
		inspector: asynq.NewInspectorFromRedisClient(base),
		feeds:     newFeeds(base, log),
	}
}

var _ dispatch.Queue = (*Client)(nil)

// Submit implements dispatch.Queue.
func (c *Client) Submit(tasks ...dispatch.Task) { c.feeds.add(tasks, nil) }

// Close returns when everything that was submitted has been queued, or could not be, and
// soon after ctx has ended: then with its error, and what is left is for the due rows.
func (c *Client) Close(ctx context.Context) error { return c.feeds.drained(ctx) }

// Enqueue implements dispatch.Queue.
func (c *Client) Enqueue(ctx context.Context, tasks ...dispatch.Task) error {
	var now, later []dispatch.Task
	for _, t := range tasks {
		if t.After > 0 {
			later = append(later, t)
		} else {
			now = append(now, t)
		}
	}
	var err error
	if len(now) > 0 {
		err = c.enqueue(ctx, now)
	}
	for _, t := range later {
		err = errors.Join(err, c.schedule(ctx, t))
	}
	return err
}

// enqueue waits until the tasks are queued. It does not wait for longer than ctx says;
// they may be queued all the same then.
func (c *Client) enqueue(ctx context.Context, tasks []dispatch.Task) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("enqueue %s: %w", taskID(tasks[0]), err)
	}
	done, ended := new(wait), make(chan struct{})
	done.left.Add(len(tasks))
	c.feeds.add(tasks, done)
	go func() { done.left.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
		return fmt.Errorf("enqueue %s: %w", taskID(tasks[0]), ctx.Err())
	}
	if done.err != nil {
		return fmt.Errorf("enqueue %s: %w", taskID(tasks[0]), done.err)
	}
	return nil
}

// schedule queues a task that asynq's timer is to run.
func (c *Client) schedule(ctx context.Context, t dispatch.Task) error {
	options := []asynq.Option{
		asynq.TaskID(taskID(t)), asynq.Queue(lane(t)), asynq.MaxRetry(infraRetries), asynq.Timeout(taskTimeout),
		// asynq keeps whole seconds; rounding up keeps Retry-After a floor.
		asynq.ProcessAt(time.Now().Add(t.After + time.Second - 1).Truncate(time.Second)),
	}
	_, err := c.client.EnqueueContext(ctx, asynq.NewTask(taskType, nil), options...)
	if isFull(err) {
		// What the task stands for is recorded, and only its end frees that memory.
		_, err = c.pressing.EnqueueContext(ctx, asynq.NewTask(taskType, nil), options...)
	}
	if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
		return fmt.Errorf("enqueue %s: %w", taskID(t), err)
	}
	return nil
}

// Ensure implements dispatch.Queue. A Lost task is removed as far as it can be.
func (c *Client) Ensure(ctx context.Context, t dispatch.Task) (dispatch.Presence, error) {
	found, err := c.find(ctx, t)
	if err == nil && found == dispatch.Lost {
		_ = c.inspector.DeleteTask(lane(t), taskID(t)) // asynq may refuse; the ID is never used again
	}
	return found, err
}

func (c *Client) find(ctx context.Context, t dispatch.Task) (dispatch.Presence, error) {
	info, err := c.inspector.GetTaskInfo(lane(t), taskID(t))
	if errors.Is(err, asynq.ErrTaskNotFound) || errors.Is(err, asynq.ErrQueueNotFound) {
		return dispatch.Enqueued, c.Enqueue(ctx, t)
	}
	if err != nil {
		return dispatch.Present, fmt.Errorf("look at task %s: %w", taskID(t), err)
	}
	switch info.State {
	case asynq.TaskStatePending:
		return c.presence(c.listed(ctx, t))
	case asynq.TaskStateScheduled:
		return c.timed(ctx, t, "scheduled")
	case asynq.TaskStateRetry:
		return c.timed(ctx, t, "retry")
	case asynq.TaskStateAggregating:
		return dispatch.Present, nil // not one of ours: we never aggregate
	case asynq.TaskStateActive:
		found, err := c.presence(c.leased(ctx, t))
		if err == nil && found == dispatch.Present {
			found = dispatch.Taken
		}
		return found, err
	case asynq.TaskStateArchived, asynq.TaskStateCompleted:
	}
	return c.presence(false, nil)
}

// timed makes sure of a task that waits for a time of asynq's. That time was set and is
// looked at by the clocks of hosts; when the record says that the task is due and it still
// waits, some clock was or is off, or nobody looked, and it is made to run now.
func (c *Client) timed(ctx context.Context, t dispatch.Task, set string) (dispatch.Presence, error) {
	found, err := c.presence(c.member(ctx, t, set))
	if err != nil || found != dispatch.Present || t.After > 0 {
		return found, err
	}
	if err := c.inspector.RunTask(lane(t), taskID(t)); err != nil {
		return dispatch.Present, fmt.Errorf("run task %s now: %w", taskID(t), err)
	}
	return dispatch.Enqueued, wake(ctx, c.base, t.Target)
}

// presence is Present for a task that is where its state says, Lost for another: it will
// never run and only takes the ID.
func (c *Client) presence(there bool, err error) (dispatch.Presence, error) {
	if there || err != nil {
		return dispatch.Present, err
	}
	return dispatch.Lost, nil
}

// leaseLeft is what a lease has left at least while its worker lives: asynq grants 30 s
// and extends every 5 s, so less than this means that two extensions were missed. A
// clock that is off only makes this wrong for tasks that nobody has claimed, and then a
// second task for the same delivery finds it claimed or claims it first.
const leaseLeft = 18 * time.Second

// leased reports whether somebody runs an active task: asynq extends its lease while
// the worker lives. A task without one is never recovered by asynq itself.
func (c *Client) leased(ctx context.Context, t dispatch.Task) (bool, error) {
	score, err := c.rdb.ZScore(ctx, asynqKey(t, "lease"), taskID(t)).Result()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at lease of %s: %w", taskID(t), err)
	}
	now, err := c.now(ctx, asynqKey(t, "lease"))
	return time.Unix(int64(score), 0).After(now.Add(leaseLeft)), err
}

// now gives the clock of the server that has the key. Another node of a cluster may be
// away, and no other is needed.
func (c *Client) now(ctx context.Context, key string) (time.Time, error) {
	rdb := c.rdb
	if cluster, ok := c.base.(*redis.ClusterClient); ok {
		master, err := cluster.MasterForKey(ctx, key)
		if err != nil {
			return time.Time{}, fmt.Errorf("look for the server of %s: %w", key, err)
		}
		rdb = master
	}
	return rdb.Time(ctx).Result()
}

// member reports whether a scheduled or retried task stands in the set its state names.
func (c *Client) member(ctx context.Context, t dispatch.Task, set string) (bool, error) {
	err := c.rdb.ZScore(ctx, asynqKey(t, set), taskID(t)).Err()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for %s: %w", taskID(t), err)
	}
	return true, nil
}

// nearTail is how many of the oldest waiting tasks are searched for one: a task that is
// made sure of is older than the oldest that waits, so it is among these or nowhere.
const nearTail = 1000

// listed reports whether a pending task stands in its queue's list.
func (c *Client) listed(ctx context.Context, t dispatch.Task) (bool, error) {
	err := c.rdb.LPos(ctx, asynqKey(t, "pending"), taskID(t), redis.LPosArgs{Rank: -1, MaxLen: nearTail}).Err()
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, redis.Nil) {
		return false, fmt.Errorf("look for %s: %w", taskID(t), err)
	}
	// Not among the oldest. It may have been queued anew a moment ago: younger than the
	// oldest, it is somewhere in a long list.
	since, err := c.pendingSince(ctx, t, taskID(t))
	if err != nil {
		return false, err
	}
	oldest, err := c.oldestSince(ctx, t)
	return !oldest.IsZero() && since.After(oldest), err
}

// pendingSince gives when a task began to wait; zero when that is not known.
func (c *Client) pendingSince(ctx context.Context, t dispatch.Task, id string) (time.Time, error) {
	nanos, err := c.rdb.HGet(ctx, asynqKey(t, "t:"+id), "pending_since").Int64()
	if errors.Is(err, redis.Nil) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("look at %s: %w", id, err)
	}
	return time.Unix(0, nanos), nil
}

// oldestSince gives when the oldest task in the lane of t began to wait; zero when the
// lane is empty. An entry without a task, which asynq will drop, does not count.
func (c *Client) oldestSince(ctx context.Context, t dispatch.Task) (time.Time, error) {
	ids, err := c.rdb.LRange(ctx, asynqKey(t, "pending"), -fewOldest, -1).Result()
	if err != nil {
		return time.Time{}, fmt.Errorf("look at queue %s: %w", lane(t), err)
	}
	for _, id := range slices.Backward(ids) {
		if since, err := c.pendingSince(ctx, t, id); err != nil || !since.IsZero() {
			return since, err
		}
	}
	return time.Time{}, nil
}

// fewOldest is how many entries without a task may stand before one that has one.
const fewOldest = 20

// asynqKey is a key of asynq's own for the lane of a task. What is read here of its
// layout is tested against the library, and a change fails there.
func asynqKey(t dispatch.Task, suffix string) string { return queueKey(lane(t), suffix) }

func queueKey(queue, suffix string) string { return "asynq:{" + queue + "}:" + suffix }

// OldestPending implements dispatch.Queue. asynq's own answer to this question also
// estimates memory, and fails on an entry without a task.
func (c *Client) OldestPending(ctx context.Context, t dispatch.Task) (time.Duration, error) {
	since, err := c.oldestSince(ctx, t)
	if err != nil || since.IsZero() {
		return 0, err
	}
	return max(time.Since(since), 0), nil
}
