package dispatch

import (
	"context"
	"fmt"
	"time"

	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
)

// flightWait is how long a batch for which there is no room waits by itself. The end of
// another one wakes it.
const flightWait = 10 * time.Second

// launch has a batch wait while as many as may be are under way: the event, if any, is what
// comes of the run. One that has begun is among them.
func (r *Runner) launch(ctx context.Context, batch tracking.Ref, plan *target.Plan, d tracking.Delivery) (tracking.Event, error) {
	most := plan.Batch.MaxInFlight
	if most == 0 || d.Attempts > 0 || d.Polls > 0 {
		return nil, nil
	}
	room, err := r.Store.Launch(ctx, batch, most)
	if room || err != nil {
		return nil, err
	}
	return tracking.Deferred{After: flightWait, Message: fmt.Sprintf("waits for the end of another batch: %d are under way (batch.max_in_flight)", most)}, nil
}

// grounded reports whether a batch waits for the end of another one.
func grounded(e tracking.Event) bool {
	d, ok := e.(tracking.Deferred)
	return ok && d.HTTPStatus == 0
}

// relaunch looks again once the record says that the batch waits: who landed before that
// found nobody to wake.
func (r *Runner) relaunch(ctx context.Context, batch tracking.Ref, plan *target.Plan) {
	_ = r.write(ctx, batch, func(ctx context.Context) error { // told in write; it looks again at its own time
		room, err := r.Store.Launch(ctx, batch, plan.Batch.MaxInFlight)
		if err != nil || !room {
			return err
		}
		return ripen(ctx, r.Store, r.Queue, batch, anySeq)
	})
}

// land lets the batch that has waited longest begin. When the answer that names it is lost, it begins
// at its own time.
func (r *Runner) land(ctx context.Context, batch tracking.Ref) {
	next := ""
	_ = r.write(ctx, batch, func(ctx context.Context) (err error) { // told in write
		if next == "" {
			if next, err = r.Store.Land(ctx, batch); next == "" || err != nil {
				return err
			}
		}
		return ripen(ctx, r.Store, r.Queue, tracking.Ref{Tracking: next, Target: batch.Target}, anySeq)
	})
}
