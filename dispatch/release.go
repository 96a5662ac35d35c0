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
	if err != nil || place.Before < 0 {
		return false, err
	}
	return true, lines{o.Store, o.Queue}.part(ctx, ref, d.Line)
}

// mayEnter refuses to take up again a delivery that would make newer ones moot: where only the newest is
// sent, what is taken up again would count as the newest.
func (o *Operator) mayEnter(ctx context.Context, ref tracking.Ref, d tracking.Delivery, plan *target.Plan) error {
	if d.Line == "" || plan.Order == nil || !plan.Order.Coalesces {
		return nil
	}
	place, err := o.Store.Place(ctx, d.Line, ref.Tracking)
	if err != nil || place.Before >= 0 || len(place.Front) == 0 {
		return err
	}
	return &NotReplayableError{Ref: ref, State: d.State, Why: "a newer one for the same key is under way"}
}
