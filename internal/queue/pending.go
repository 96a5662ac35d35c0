package queue

import (
	"context"
	"errors"
	"slices"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
)

// seenOfTail is how many of the tasks that have waited longest Pending gives of each queue: the
// first of them may be behind the record.
const seenOfTail = 8

// Pending tells how many tasks of new deliveries wait for a worker, and which have waited
// longest: four commands for each target, in one pipeline, however many wait. A target whose
// queues cannot be read is left out, and told of in the error.
func (c *Client) Pending(ctx context.Context, targets []string) (map[string]dispatch.Pending, error) {
	type look struct {
		count *redis.IntCmd
		tail  *redis.StringSliceCmd
	}
	lanes := []tracking.Lane{tracking.LaneNew, tracking.LaneBulk}
	pipe := c.base.Pipeline()
	looks := make([][]look, len(targets))
	for i, target := range targets {
		for _, l := range lanes {
			key := asynqKey(dispatch.Task{Ref: tracking.Ref{Target: target}, Seq: 1, Lane: l}, "pending")
			looks[i] = append(looks[i], look{pipe.LLen(ctx, key), pipe.LRange(ctx, key, -seenOfTail, -1)})
		}
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	out := make(map[string]dispatch.Pending, len(targets))
	var errs []error
	for i, target := range targets {
		var found dispatch.Pending
		var bad error
		for _, l := range looks[i] {
			bad = errors.Join(bad, l.count.Err(), l.tail.Err())
			found.Count += int(l.count.Val())
			var tasks []tracking.Expected
			for _, id := range slices.Backward(l.tail.Val()) {
				if t, ok := parseTaskID(id); ok {
					tasks = append(tasks, tracking.Expected{Ref: t.Ref, Seq: t.Seq})
				}
			}
			found.Oldest = append(found.Oldest, tasks)
		}
		if bad != nil {
			errs = append(errs, bad)
			continue
		}
		out[target] = found
	}
	return out, errors.Join(errs...)
}
