package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
)

// Operator does what people do to deliveries: canceling, and looking after dead letters.
type Operator struct {
	Store tracking.Store
	Queue Queue
	Plans *Plans
	Log   *slog.Logger
}

// ReplayOrder says how a delivery is to be taken up again. The zero order runs it from
// its first step, with the same payload and idempotency keys, under the plan it was
// accepted with; a delivery whose job's outcome is unknown goes on polling, or is refused when
// there is no job of its own to poll.
type ReplayOrder struct {
	// Payload replaces the one that is kept; the keys are new ones then.
	Payload json.RawMessage
	// NewKey lets the backend see idempotency keys that it has not seen: for one that
	// remembers the failure with the key.
	NewKey bool
	// CurrentPlan runs under what the files say now. That is also done when the plan of
	// the acceptance is no longer known.
	CurrentPlan bool
	// Restart runs an unknown delivery from its first step, and one that succeeded again,
	// provided that its payload was kept: the backend may do the work twice.
	Restart bool

	mass bool // one of many: it goes behind new deliveries
}

// NotReplayableError says why a delivery is not taken up again.
type NotReplayableError struct {
	tracking.Ref
	State tracking.State
	Why   string
}

// Error implements error.
func (e *NotReplayableError) Error() string {
	return fmt.Sprintf("%s is not replayed: %s", e.Target, e.Why)
}

// List gives a page of the dead letters.
func (o *Operator) List(ctx context.Context, q tracking.DeadQuery) (tracking.DeadPage, error) {
	return o.Store.DeadLetters(ctx, q)
}

// Show gives one delivery with its payload. It need not be a dead letter.
func (o *Operator) Show(ctx context.Context, ref tracking.Ref) (*tracking.Letter, error) {
	return o.Store.Letter(ctx, ref)
}

// Drop removes a dead letter and its payload; the delivery stays failed. If it holds up others
// of its key, those go on, also behind one whose outcome is unknown. Error: tracking.ErrNotFound
// when it is neither.
func (o *Operator) Drop(ctx context.Context, ref tracking.Ref) error {
	err := o.Store.DropDeadLetter(ctx, ref)
	if err != nil && !errors.Is(err, tracking.ErrNotFound) {
		return err
	}
	if released, failed := o.release(ctx, ref); failed != nil {
		return failed
	} else if err != nil && !released {
		return err
	}
	o.Log.InfoContext(ofTrace(ctx, o.Store, ref.Tracking), "dead letter dropped", "tracking_id", ref.Tracking, "target", ref.Target)
	return nil
}

// Replay takes up again one delivery that failed, was rejected, or whose outcome is
// unknown; one that succeeded only when a restart is ordered. Errors:
// tracking.ErrNotFound, tracking.ErrFenced when somebody else was faster,
// tracking.ErrNoPayload, ErrPlanGone, or *NotReplayableError.
func (o *Operator) Replay(ctx context.Context, ref tracking.Ref, order ReplayOrder) (tracking.Delivery, error) {
	letter, err := o.Store.Letter(ctx, ref)
	if err != nil {
		return tracking.Delivery{}, err
	}
	return o.replay(ctx, letter, order)
}

func (o *Operator) replay(ctx context.Context, l *tracking.Letter, order ReplayOrder) (tracking.Delivery, error) {
	old := l.Delivery
	if tracking.IsBatch(l.Tracking) {
		return old, &NotReplayableError{Ref: l.Ref, State: old.State, Why: "it is a batch; its records are replayed, each by itself"}
	}
	switch old.State {
	case tracking.Failed, tracking.Rejected, tracking.Unknown:
	case tracking.Succeeded, tracking.Warned:
		if !order.Restart {
			return old, &NotReplayableError{Ref: l.Ref, State: old.State, Why: "it is " + string(old.State)}
		}
	default:
		why := "it is " + string(old.State)
		if !old.State.Final() {
			why = "it is under way"
		}
		return old, &NotReplayableError{Ref: l.Ref, State: old.State, Why: why}
	}
	plan, err := o.plan(ctx, l.Target, old.Plan, order.CurrentPlan)
	if err != nil {
		return old, err
	}
	how := tracking.Revival{Plan: plan.Hash, NewKey: order.NewKey || order.Payload != nil, Mass: order.mass}
	if old.State == tracking.Unknown && !order.Restart && !how.NewKey {
		if why := unpollable(old, plan); why != "" {
			return old, &NotReplayableError{Ref: l.Ref, State: old.State, Why: why + "; with restart it is sent again, although the backend may have it already"}
		}
		how.Resume = true
	}
	if err := o.mayEnter(ctx, l, plan); err != nil {
		return old, err
	}
	ctx = ofTrace(ctx, o.Store, l.Tracking)
	next := tracking.Revive(old, how, l.Now)
	if err := o.Store.Revive(ctx, l.Ref, old.Fence, next, order.Payload); err != nil {
		if errors.Is(err, tracking.ErrUnavailable) { // it may be done, and then nobody can order it again; else the task does nothing
			_ = o.Queue.Enqueue(ctx, taskOf(l.Ref, next, l.Now))
		}
		return old, err
	}
	if next.Line != "" && !how.Resume { // a poll that goes on sends nothing, and waits for nobody
		if _, err := o.Store.Enter(ctx, next.Line, l.Tracking); err != nil {
			o.Log.WarnContext(ctx, "replayed, and not yet in its line; its run will enter it", "tracking_id", l.Tracking, "target", l.Target, "error", err)
		}
	}
	o.Log.InfoContext(ctx, "delivery replayed", "tracking_id", l.Tracking, "target", l.Target, "was", old.State,
		"reason", old.Reason, "replays", next.Replays, "new_key", how.NewKey, "resumed", how.Resume)
	if err := o.Queue.Enqueue(ctx, taskOf(l.Ref, next, l.Now)); err != nil {
		o.Log.WarnContext(ctx, "replayed, but its task could not be queued; the reconciler will", "tracking_id", l.Tracking, "target", l.Target, "error", err)
	}
	return next, nil
}

// unpollable says why a delivery whose outcome is unknown cannot go on polling; empty when
// it can. To send it again instead is nothing that happens unasked.
func unpollable(d tracking.Delivery, plan *target.Plan) string {
	switch {
	case d.Batch != "": // what was saved, and which record is whose, went with the batch
		return "its outcome is unknown, and the job of its batch is not polled for a single record"
	case !plan.Polls(d.Step):
		return "its outcome is unknown, and the target has no job of it to poll"
	}
	return ""
}

// plan finds the plan that a replay runs under, and makes sure that it is kept.
func (o *Operator) plan(ctx context.Context, name, hash string, current bool) (*target.Plan, error) {
	if !current {
		plan, err := o.Plans.Find(ctx, name, hash)
		if err == nil || !errors.Is(err, ErrPlanGone) {
			return plan, err
		}
	}
	plan := o.Plans.Live(name)
	if plan == nil {
		return nil, fmt.Errorf("target %s: %w, and the files have none", name, ErrPlanGone)
	}
	if err := o.Store.SavePlan(ctx, plan.Hash, plan.Source); err != nil {
		return nil, fmt.Errorf("save plan of %s: %w", name, err)
	}
	return plan, nil
}

// Expiry looks for dead letters whose time is over.
const (
	expiryInterval = time.Minute
	expiryChunk    = 1000
)

// Run removes dead letters whose time is over until ctx ends. Every process may do it.
func (o *Operator) Run(ctx context.Context) {
	ticker := time.NewTicker(expiryInterval)
	defer ticker.Stop()
	for {
		n, err := o.Store.ExpireDeadLetters(ctx, expiryChunk)
		switch {
		case err != nil && ctx.Err() == nil:
			o.Log.WarnContext(ctx, "dead letters could not be expired; trying again", "error", err)
		case n > 0:
			o.Log.InfoContext(ctx, "dead letters expired", "letters", n)
		}
		if n >= expiryChunk && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
