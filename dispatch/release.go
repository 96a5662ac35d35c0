package dispatch

import (
	"context"
	"errors"

	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
)

// release lets those go on whom a delivery that failed holds up, and reports whether it stood in
// front of any line.
func (o *Operator) release(ctx context.Context, ref tracking.Ref) (bool, error) {
	record, err := o.Store.Load(ctx, ref.Tracking)
	if errors.Is(err, tracking.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	d := record.Deliveries[ref.Target]
	if !d.Holds() {
		return false, nil
	}
	place, err := o.Store.Place(ctx, d.Line, ref.Tracking)
	if err != nil {
		return false, err
	}
	if place.Before < 0 { // it left before, and whoever was to be woken then may wait still
		return false, lines{o.Store, o.Queue}.next(ctx, ref.Target, d.Line, place)
	}
	return true, lines{o.Store, o.Queue}.part(ctx, ref, d.Line)
}

// mayEnter refuses to take up again a delivery that would make a newer one moot: where only the newest is
// sent, what is taken up again counts as the newest of those that stand in the line.
func (o *Operator) mayEnter(ctx context.Context, l *tracking.Letter, plan *target.Plan) error {
	if l.Delivery.Line == "" || plan.Order == nil || !plan.Order.Coalesces {
		return nil
	}
	place, err := o.Store.Place(ctx, l.Delivery.Line, l.Tracking)
	if err != nil {
		return err
	}
	for _, id := range place.Last {
		other, err := o.Store.Load(ctx, id)
		switch {
		case errors.Is(err, tracking.ErrNotFound):
		case err != nil:
			return err
		case !other.Deliveries[l.Target].State.Final() && other.AcceptedAt.After(l.AcceptedAt):
			return &NotReplayableError{Ref: l.Ref, State: l.Delivery.State, Why: "a newer one for the same key is under way"}
		}
	}
	return nil
}
