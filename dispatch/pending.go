package dispatch

import (
	"context"
	"errors"
	"time"

	"headgate/dispatch/tracking"
)

// Pending is what waits for a worker in the queues of one target.
type Pending struct {
	Count int
	// Oldest are a few tasks of each queue, those that have waited longest first.
	Oldest [][]tracking.Expected
}

// PendingQueue tells what waits. The queue is the judge of how many: a delivery that was
// canceled counts until its task has come to the front, and one whose task was lost only once
// the reconciler has queued it again.
type PendingQueue interface {
	// Pending leaves out targets of which it cannot tell, and gives an error then.
	Pending(ctx context.Context, targets []string) (map[string]Pending, error)
}

// PendingStore tells for how long deliveries have waited to be begun; negative for those that
// do not.
type PendingStore interface {
	PendingFor(ctx context.Context, tasks []tracking.Expected) ([]time.Duration, error)
}

// PendingOf gives how many deliveries of each target wait to be begun, in the target's own
// queue and in bulk, and for how long the one at the front of either has: since it was accepted
// or, if that is later, taken up again. With an error, targets of which it cannot be told are
// left out.
func PendingOf(ctx context.Context, queue PendingQueue, store PendingStore, targets []string) (map[string]tracking.Waiters, error) {
	found, errs := queue.Pending(ctx, targets)
	out := make(map[string]tracking.Waiters, len(found))
	type front struct {
		target string
		tasks  []tracking.Expected
	}
	var fronts []front
	for target, p := range found {
		out[target] = tracking.Waiters{Count: p.Count}
		for _, tasks := range p.Oldest {
			fronts = append(fronts, front{target, tasks})
		}
	}
	// Nearly always the first of each is what it looks like, and this is one wave.
	for {
		var ask []tracking.Expected
		var of []int
		for i, f := range fronts {
			if len(f.tasks) > 0 {
				ask, of = append(ask, f.tasks[0]), append(of, i)
			}
		}
		if len(ask) == 0 {
			return out, errs
		}
		ages, bad := store.PendingFor(ctx, ask)
		if bad != nil {
			for _, i := range of {
				delete(out, fronts[i].target)
			}
			return out, errors.Join(errs, bad)
		}
		for n, i := range of {
			f := &fronts[i]
			if f.tasks = f.tasks[1:]; ages[n] < 0 {
				continue // behind the record: the next one
			}
			f.tasks = nil
			w := out[f.target]
			w.Oldest = max(w.Oldest, ages[n])
			out[f.target] = w
		}
	}
}
