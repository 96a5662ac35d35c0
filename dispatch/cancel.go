package dispatch

import (
	"context"
	"errors"
	"maps"
	"slices"

	"headgate/dispatch/tracking"
)

// Cancel stops what can be stopped of a tenant's dispatch and gives its record after
// that. What a run holds goes on. tracking.ErrNotFound when the dispatch is unknown or
// another tenant's. Queued tasks of canceled deliveries stay: they are behind the record
// and end without doing anything.
func (o *Operator) Cancel(ctx context.Context, id, tenant string) (*tracking.Dispatch, error) {
	d, err := o.Store.Cancel(ctx, id, tenant)
	if err != nil {
		return nil, err
	}
	for name, delivery := range d.Deliveries {
		if err := (lines{o.Store, o.Queue}).leave(ctx, tracking.Ref{Tracking: id, Target: name}, delivery); err != nil {
			o.Log.WarnContext(ctx, "canceled, and still in its line; the reconciler will see to it", "tracking_id", id, "target", name, "error", err)
		}
	}
	if err := followBatches(ctx, o.Store, d); err != nil {
		return nil, err
	}
	o.Log.InfoContext(ctx, "dispatch canceled", "tracking_id", id, "canceled", d.Counts()[tracking.Canceled], "status", d.Status())
	return d, nil
}

// Replayed is what became of an owner's wish to try again.
type Replayed struct {
	Dispatch *tracking.Dispatch // after it
	Targets  []string           // taken up again, in the order of the route
	// Refused says of each other target why it was not.
	Refused map[string]string
}

// UnknownTargetsError lists names that the dispatch does not have.
type UnknownTargetsError struct{ Names []string }

// Error implements error.
func (e *UnknownTargetsError) Error() string { return "the dispatch has no such target" }

// ReplayFailed takes up again those of a tenant's deliveries that failed: all of them,
// or those of targets. Errors: tracking.ErrNotFound, *UnknownTargetsError, or the
// store's; deliveries taken up before an error of the store stay so.
func (o *Operator) ReplayFailed(ctx context.Context, id, tenant string, targets []string) (*Replayed, error) {
	d, err := o.Store.Load(ctx, id)
	if err != nil {
		return nil, err
	}
	if d.Tenant != tenant {
		return nil, tracking.ErrNotFound
	}
	unknown := slices.DeleteFunc(slices.Clone(targets), func(name string) bool { _, ok := d.Target(name); return ok })
	if len(unknown) > 0 {
		return nil, &UnknownTargetsError{unknown}
	}
	out := &Replayed{Dispatch: d, Refused: map[string]string{}}
	for _, t := range d.Targets {
		asked := slices.Contains(targets, t.Name)
		if len(targets) > 0 && !asked {
			continue
		}
		if state := d.Deliveries[t.Name].State; state != tracking.Failed {
			if asked {
				out.Refused[t.Name] = notFailed(state)
			}
			continue
		}
		next, err := o.Replay(ctx, tracking.Ref{Tracking: id, Target: t.Name}, ReplayOrder{})
		if why, ok := refusal(err); ok {
			out.Refused[t.Name] = why
			continue
		}
		if err != nil {
			return nil, err
		}
		out.Targets = append(out.Targets, t.Name)
		d.Deliveries = maps.Clone(d.Deliveries)
		d.Deliveries[t.Name] = next
	}
	return out, nil
}

func notFailed(s tracking.State) string {
	if !s.Final() {
		return "it is under way"
	}
	return "it is " + string(s) + ", not failed"
}

// refusal says why one delivery is not replayed, when the others may be all the same.
func refusal(err error) (why string, ok bool) {
	var not *NotReplayableError
	switch {
	case errors.As(err, &not):
		return not.Why, true
	case errors.Is(err, tracking.ErrNoPayload):
		return "its payload is no longer kept", true
	case errors.Is(err, ErrPlanGone):
		return "its target is no longer known", true
	case errors.Is(err, tracking.ErrFenced):
		return "it was taken up by somebody else", true
	case errors.Is(err, tracking.ErrNotFound):
		return "its record is gone", true
	}
	return "", false
}
