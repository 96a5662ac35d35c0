package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
)

// Standing is how a queue of asynq's stands.
type Standing struct {
	Queue     string
	Target    string // that it belongs to, if any has that name
	Pending   int64
	Active    int64
	Scheduled int64 // with those that asynq would retry
	Archived  int64
	Paused    bool          // in asynq, by hand: Headgate never does
	Oldest    time.Duration // how long the oldest pending task has waited
}

// Tasks is how many tasks are to be run.
func (s Standing) Tasks() int64 { return s.Pending + s.Active + s.Scheduled }

// Look gives every queue that asynq knows, in the order of their names. It costs Redis a few
// commands for each.
func (c *Client) Look(ctx context.Context) ([]Standing, error) {
	names, err := c.base.SMembers(ctx, "asynq:queues").Result()
	if err != nil {
		return nil, fmt.Errorf("list queues: %w", err)
	}
	slices.Sort(names)
	type asked struct {
		pending                            *redis.IntCmd
		active, scheduled, retry, archived *redis.IntCmd
		paused                             *redis.IntCmd
	}
	pipe := c.base.Pipeline()
	commands := make([]asked, len(names))
	for i, name := range names {
		key := func(suffix string) string { return "asynq:{" + name + "}:" + suffix }
		commands[i] = asked{
			pipe.LLen(ctx, key("pending")), pipe.LLen(ctx, key("active")), pipe.ZCard(ctx, key("scheduled")),
			pipe.ZCard(ctx, key("retry")), pipe.ZCard(ctx, key("archived")), pipe.Exists(ctx, key("paused")),
		}
	}
	if len(names) > 0 {
		if _, err := pipe.Exec(ctx); err != nil {
			return nil, fmt.Errorf("look at queues: %w", err)
		}
	}
	out := make([]Standing, len(names))
	for i, a := range commands {
		out[i] = Standing{
			Queue: names[i], Target: TargetOf(names[i]), Pending: a.pending.Val(), Active: a.active.Val(),
			Scheduled: a.scheduled.Val() + a.retry.Val(), Archived: a.archived.Val(), Paused: a.paused.Val() > 0,
		}
		if out[i].Pending > 0 {
			if out[i].Oldest, err = c.OldestPending(ctx, taskIn(names[i])); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// taskIn gives a task that belongs into the queue.
func taskIn(queue string) dispatch.Task {
	t := dispatch.Task{Ref: tracking.Ref{Target: TargetOf(queue)}, Lane: tracking.LaneNew}
	switch {
	case strings.HasSuffix(queue, bulkSuffix):
		t.Lane = tracking.LaneBulk
	case strings.HasSuffix(queue, resumeSuffix):
		t.Lane, t.Seq = tracking.LaneResume, 2 // it has begun
	}
	return t
}

// Host is a process that serves queues, as asynq's own signs of life show it.
type Host struct {
	Name string // host:process
	// Skew is how far its clock is before that of Redis, give or take half a second.
	Skew time.Duration
}

// Hosts lists the processes that serve queues. asynq writes down, by the clock of the process,
// when a sign of life ends, and Redis counts by its own how long it lasts: the difference is
// how far the two are apart.
func (c *Client) Hosts(ctx context.Context) ([]Host, error) {
	const servers = "asynq:servers"
	rows, err := c.base.ZRangeWithScores(ctx, servers, 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("list servers: %w", err)
	}
	var out []Host
	for _, row := range rows {
		key, _ := row.Member.(string)
		name, ok := hostOf(key)
		if !ok || slices.ContainsFunc(out, func(h Host) bool { return h.Name == name }) {
			continue
		}
		left, err := c.base.PTTL(ctx, key).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return nil, fmt.Errorf("look at server %s: %w", name, err)
		}
		if left <= 0 {
			continue // its sign of life has ended; asynq clears it away later
		}
		now, err := c.now(ctx, key)
		if err != nil {
			return nil, err
		}
		// The score is cut to whole seconds.
		ends := time.Unix(int64(row.Score), 0).Add(time.Second / 2)
		out = append(out, Host{Name: name, Skew: ends.Sub(now.Add(left))})
	}
	slices.SortFunc(out, func(a, b Host) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// hostOf reads asynq:servers:{host:process:server}.
func hostOf(key string) (string, bool) {
	inner, ok := strings.CutPrefix(key, "asynq:servers:{")
	i := strings.LastIndexByte(inner, ':')
	if !ok || i < 0 {
		return "", false
	}
	return inner[:i], true
}
