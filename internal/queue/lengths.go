package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Length is how long one queue of a target is, by what its tasks are doing.
type Length struct {
	Queue     string
	Pending   int // could be taken out now
	Active    int // taken out
	Scheduled int // wait for their time
	Retry     int // wait because Redis failed them
	Archived  int // asynq has given them up; the reconciler brings their deliveries back
	// Oldest is how long the one that is pending for longest has been; 0: none is.
	Oldest time.Duration
	Paused bool // by hand, in the dashboard
}

// Target is that of the queue, if any has its name.
func (l Length) Target() string { return TargetOf(l.Queue) }

// Tasks is how many tasks are to be run.
func (l Length) Tasks() int { return l.Pending + l.Active + l.Scheduled + l.Retry }

// Lengths gives the queues of each target: that of new deliveries, of those already begun
// and of those in bulk. It takes two round trips, however many targets there are.
func (c *Client) Lengths(ctx context.Context, targets []string) (map[string][]Length, error) {
	names := make([]string, 0, 3*len(targets))
	for _, target := range targets {
		names = append(names, target, target+resumeSuffix, target+bulkSuffix)
	}
	list, err := c.lengths(ctx, names)
	out := make(map[string][]Length, len(targets))
	for _, l := range list {
		out[l.Target()] = append(out[l.Target()], l)
	}
	return out, err
}

// lengths looks at queues, in the order of their names.
func (c *Client) lengths(ctx context.Context, names []string) ([]Length, error) {
	if len(names) == 0 {
		return nil, nil
	}
	pipe := c.base.Pipeline()
	asked := make([]*askedQueue, len(names))
	for i, name := range names {
		asked[i] = askQueue(ctx, pipe, name)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("look at queues: %w", err)
	}
	pipe = c.base.Pipeline()
	for _, a := range asked {
		a.askAges(ctx, pipe)
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) { // no such task, or it is not pending
		return nil, fmt.Errorf("look at what is pending: %w", err)
	}
	out := make([]Length, len(asked))
	for i, a := range asked {
		out[i] = a.length()
	}
	return out, nil
}

// askedQueue is what was asked of one queue.
type askedQueue struct {
	name                                        string
	pending, active, scheduled, retry, archived *redis.IntCmd
	paused                                      *redis.IntCmd
	tail                                        *redis.StringSliceCmd
	since                                       []*redis.StringCmd // of the tail
}

func askQueue(ctx context.Context, pipe redis.Pipeliner, name string) *askedQueue {
	key := func(suffix string) string { return queueKey(name, suffix) }
	return &askedQueue{
		name: name, pending: pipe.LLen(ctx, key("pending")), active: pipe.LLen(ctx, key("active")),
		scheduled: pipe.ZCard(ctx, key("scheduled")), retry: pipe.ZCard(ctx, key("retry")), archived: pipe.ZCard(ctx, key("archived")),
		paused: pipe.Exists(ctx, key("paused")), tail: pipe.LRange(ctx, key("pending"), -fewOldest, -1),
	}
}

func (a *askedQueue) askAges(ctx context.Context, pipe redis.Pipeliner) {
	for _, id := range a.tail.Val() {
		a.since = append(a.since, pipe.HGet(ctx, queueKey(a.name, "t:"+id), "pending_since"))
	}
}

func (a *askedQueue) length() Length {
	out := Length{
		Queue: a.name, Pending: int(a.pending.Val()), Active: int(a.active.Val()), Scheduled: int(a.scheduled.Val()),
		Retry: int(a.retry.Val()), Archived: int(a.archived.Val()), Paused: a.paused.Val() > 0,
	}
	for _, since := range a.since {
		if nanos, err := since.Int64(); err == nil { // an entry without a task does not count
			out.Oldest = max(out.Oldest, time.Since(time.Unix(0, nanos)))
		}
	}
	return out
}
