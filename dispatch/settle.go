package dispatch

import (
	"context"
	"time"

	"headgate/dispatch/target"
	"headgate/dispatch/trace"
	"headgate/dispatch/tracking"
)

// settle does what is left once the end of a delivery is known, and ends it. The end is in
// the record, so that whatever is cut short here is done again and changes nothing of it.
func (r *Runner) settle(ctx context.Context, t Task, plan *target.Plan, claimed *tracking.Claimed, end trace.End, now func() time.Time) error {
	var err error
	if tracking.IsBatch(t.Tracking) {
		err = r.settleMembers(ctx, t, plan, claimed, now)
	}
	var left []string // for other windows
	if err == nil && tracking.IsBatch(t.Tracking) {
		left, err = r.Store.Seal(ctx, t.Ref, 0)
	}
	if err == nil { // last: after it only the end is written, so that it is not made again without need
		err = r.cleanUp(ctx, t, plan, claimed, now)
	}
	if err != nil {
		return r.giveBack(ctx, t.Ref, claimed.Delivery, err)
	}
	next := tracking.Settled(claimed.Delivery, now())
	if len(left) > 0 {
		next = tracking.NextWindow(claimed.Delivery, now())
	}
	if r.apply(ctx, t.Ref, claimed, next) != nil {
		return nil // told in apply; the due row brings the delivery back
	}
	end(trace.Facts{State: string(next.State)})
	r.leave(ctx, t.Ref, next)
	switch {
	case !next.State.Final():
		r.enqueue(ctx, taskOf(t.Ref, next, now()))
	case plan != nil && plan.Batch != nil && plan.Batch.MaxInFlight > 0:
		r.land(ctx, t.Ref)
	}
	return nil
}

// settleMembers hands the end of a batch on to its members. What is settled leaves the
// list, so that whoever takes over goes on where this run stopped.
func (r *Runner) settleMembers(ctx context.Context, t Task, plan *target.Plan, claimed *tracking.Claimed, now func() time.Time) error {
	ids, err := r.Store.Seal(ctx, t.Ref, claimed.Delivery.Window)
	if err != nil {
		return err
	}
	first := true
	for page := range pages(ids) {
		if !first { // what was claimed at the beginning covers one page
			if _, err := r.claim(ctx, t, claimed.Delivery.Token, settleHold); err != nil {
				return err
			}
		}
		first = false
		members, err := r.Store.Board(ctx, t.Ref, page, false)
		var own map[string]tracking.End
		if err == nil {
			own, err = r.Store.Ends(ctx, t.Ref, page)
		}
		if err == nil {
			err = r.settlePage(ctx, plan, members, claimed.Delivery, own, now())
		}
		if err == nil {
			err = r.Store.Settled(ctx, t.Ref, page)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// cleanUp makes the calls of finally. An error means that they are to be made by another
// run; what the backend says to them is none.
func (r *Runner) cleanUp(ctx context.Context, t Task, plan *target.Plan, claimed *tracking.Claimed, now func() time.Time) error {
	if !plan.CleansUp(claimed.Delivery) {
		return nil
	}
	hold := plan.CleanUpTime()
	if _, err := r.claim(ctx, t, claimed.Delivery.Token, hold+applyGrace); err != nil {
		return err
	}
	calls, release, err := r.Owner.bind(ctx)
	if err != nil {
		return err
	}
	defer release()
	calls, cancel := context.WithTimeout(calls, hold)
	defer cancel()
	r.Engine.CleanUp(calls, plan, input(claimed, now()))
	return ctx.Err()
}
