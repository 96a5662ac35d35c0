package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"headgate/dispatch"
)

// taskType is the asynq type of all our tasks.
const taskType = "delivery"

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

// Client queues tasks.
type Client struct {
	rdb       redis.UniversalClient
	client    *asynq.Client
	inspector *asynq.Inspector
}

// NewClient makes a client. shared may be an auto-pipelining client: then the tasks of
// one wave, and those of concurrent callers, travel together. base is the plain one.
func NewClient(shared, base redis.UniversalClient) *Client {
	return &Client{
		rdb:       shared,
		client:    asynq.NewClientFromRedisClient(shared),
		inspector: asynq.NewInspectorFromRedisClient(base),
	}
}

var _ dispatch.Queue = (*Client)(nil)

// Enqueue implements dispatch.Queue.
func (c *Client) Enqueue(ctx context.Context, tasks ...dispatch.Task) error {
	if len(tasks) == 0 {
		return nil
	}
	errs := make([]error, len(tasks))
	var wave sync.WaitGroup
	for i, t := range tasks[1:] {
		wave.Go(func() { errs[i+1] = c.enqueue(ctx, t) })
	}
	errs[0] = c.enqueue(ctx, tasks[0])
	wave.Wait()
	return errors.Join(append(errs, c.wake(ctx, tasks))...)
}

func (c *Client) enqueue(ctx context.Context, t dispatch.Task) error {
	options := []asynq.Option{
		asynq.TaskID(taskID(t)), asynq.Queue(lane(t)), asynq.MaxRetry(infraRetries), asynq.Timeout(taskTimeout),
	}
	if t.After > 0 {
		// asynq keeps whole seconds; rounding up keeps Retry-After a floor.
		options = append(options, asynq.ProcessAt(time.Now().Add(t.After+time.Second-1).Truncate(time.Second)))
	}
	_, err := c.client.EnqueueContext(ctx, asynq.NewTask(taskType, nil), options...)
	if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
		return fmt.Errorf("enqueue %s: %w", taskID(t), err)
	}
	return nil
}

func (c *Client) wake(ctx context.Context, tasks []dispatch.Task) error {
	var targets []string
	for _, t := range tasks {
		if t.After == 0 && !slices.Contains(targets, t.Target) {
			targets = append(targets, t.Target)
		}
	}
	if len(targets) == 0 {
		return nil
	}
	if err := c.rdb.Publish(ctx, wakeChannel, strings.Join(targets, " ")).Err(); err != nil {
		return fmt.Errorf("wake workers: %w", err)
	}
	return nil
}

// Ensure implements dispatch.Queue.
func (c *Client) Ensure(ctx context.Context, t dispatch.Task) (dispatch.Presence, error) {
	info, err := c.inspector.GetTaskInfo(lane(t), taskID(t))
	if errors.Is(err, asynq.ErrTaskNotFound) || errors.Is(err, asynq.ErrQueueNotFound) {
		return dispatch.Enqueued, c.Enqueue(ctx, t)
	}
	if err != nil {
		return dispatch.Present, fmt.Errorf("look at task %s: %w", taskID(t), err)
	}
	switch info.State {
	case asynq.TaskStatePending, asynq.TaskStateScheduled, asynq.TaskStateRetry, asynq.TaskStateAggregating:
		return dispatch.Present, nil
	case asynq.TaskStateActive:
		alive, err := c.leased(ctx, t)
		if err != nil || alive {
			return dispatch.Present, err
		}
		return dispatch.Lost, nil
	case asynq.TaskStateArchived, asynq.TaskStateCompleted:
	}
	// It will never run and only takes the ID. That it cannot be removed does no harm.
	_ = c.inspector.DeleteTask(lane(t), taskID(t))
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
	score, err := c.rdb.ZScore(ctx, "asynq:{"+lane(t)+"}:lease", taskID(t)).Result()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at lease of %s: %w", taskID(t), err)
	}
	now, err := c.rdb.Time(ctx).Result()
	return time.Unix(int64(score), 0).After(now.Add(leaseLeft)), err
}

// OldestPending implements dispatch.Queue.
func (c *Client) OldestPending(_ context.Context, t dispatch.Task) (time.Duration, error) {
	info, err := c.inspector.GetQueueInfo(lane(t))
	if errors.Is(err, asynq.ErrQueueNotFound) || (err != nil && strings.Contains(err.Error(), "NOT_FOUND")) {
		return 0, nil // asynq wraps the sentinel in some calls and not in others
	}
	if err != nil {
		return 0, fmt.Errorf("look at queue %s: %w", lane(t), err)
	}
	return info.Latency, nil
}
