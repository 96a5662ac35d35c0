package dispatch

import (
	"context"
	"log/slog"
	"time"

	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
	"headgate/internal/failpoint"
)

// lineLook is how soon a delivery that waits right behind the first one of its line looks
// whether it was forgotten; who stands further behind, or has waited for longer, looks less often.
const lineLook = 10 * time.Minute

func (r *Runner) lines() lines { return lines{r.Store, r.Queue} }

// turn reports whether the delivery that a run holds is to be sent now. Otherwise the run has ended:
// the delivery waits in its line, or a newer one makes it moot, or its time is over.
func (r *Runner) turn(ctx context.Context, t Task, claimed *tracking.Claimed, plan *target.Plan, clock func() time.Time) (bool, error) {
	d := claimed.Delivery
	coalesces := plan.Order != nil && plan.Order.Coalesces
	switch {
	case d.Line == "":
		return true, nil
	case d.State == tracking.Pending:
	case d.State == tracking.Retrying && d.Step == "" && coalesces: // nothing that it began is left half-done
	default:
		return true, nil // it has begun, so it was the first one
	}
	place, err := r.Store.Enter(ctx, d.Line, t.Tracking)
	if err != nil {
		return false, err
	}
	if coalesces {
		by, err := r.lines().newer(ctx, t.Ref, place)
		if err != nil {
			return false, err
		}
		if by != "" {
			// A run of the first one may have been cut short, and have got through.
			tried := d.Attempts > 0 || place.Before == 0 && d.Seq > firstSeq
			r.endInLine(ctx, t, claimed, tracking.Supersede(d, by, tried, clock()))
			return false, nil
		}
	}
	if place.Before == 0 || d.State != tracking.Pending {
		return true, nil
	}
	place, closes, err := r.lines().first(ctx, t.Ref, d.Line)
	switch {
	case err != nil:
		return false, err
	case place.Before == 0:
		return true, nil
	}
	now, last := clock(), plan.LastTry(claimed.Dispatch.AcceptedAt, d)
	if !now.Before(last) {
		r.endInLine(ctx, t, claimed, tracking.Expire(d, now))
		return false, nil
	}
	look := now.Add(lookAfter(now.Sub(d.Since(claimed.Dispatch.AcceptedAt)), place.Before, closes))
	if look.After(last) {
		look = last
	}
	r.park(ctx, t, claimed, tracking.Park(d, look), parking{behindHole: closes > 0, coalesces: coalesces}, clock)
	return false, nil
}

// lookAfter is in how long a delivery that waits looks whether it was forgotten, which should never
// happen: so it may take as long as it has waited for, and longer with each in front of it. A
// hole right in front of it has nobody else to close it.
func lookAfter(waited time.Duration, before int, closes time.Duration) time.Duration {
	if closes > 0 {
		return closes
	}
	return max(lineLook, waited) * time.Duration(min(max(before, 1), 100))
}

// endInLine ends a delivery that a run holds without sending it.
func (r *Runner) endInLine(ctx context.Context, t Task, claimed *tracking.Claimed, next tracking.Delivery) {
	if r.apply(ctx, t.Ref, claimed, next) != nil {
		return // told in apply; the due row brings the delivery back
	}
	level := slog.LevelInfo
	if next.State == tracking.Failed {
		level = slog.LevelWarn
	}
	r.Log.Log(ctx, level, "delivery not sent", "tracking_id", t.Tracking, "target", t.Target, "state", next.State,
		"reason", next.Reason, "superseded_by", next.SupersededBy)
	r.leave(ctx, t.Ref, next)
}

// leave has a delivery that ended leave its line.
func (r *Runner) leave(ctx context.Context, ref tracking.Ref, d tracking.Delivery) {
	if d.Leaves() {
		_ = r.write(ctx, ref, func(ctx context.Context) error { return r.lines().leave(ctx, ref, d) }) // told in write; its row tells the reconciler
	}
}

// parking is what a delivery knew when it went to wait.
type parking struct {
	behindHole bool // it looks again when the hole in front of it closes
	coalesces  bool // one that waits right before it is moot
}

// park ends a run whose delivery is to wait in its line. While it was on the way to it, those in front
// may have gone and found nobody to wake: so it looks again.
func (r *Runner) park(ctx context.Context, t Task, claimed *tracking.Claimed, next tracking.Delivery, knows parking, clock func() time.Time) {
	if r.apply(ctx, t.Ref, claimed, next) != nil {
		return // told in apply; the due row brings the delivery back
	}
	failpoint.Hit("worker.parked")
	_ = r.write(ctx, t.Ref, func(ctx context.Context) error { // told in write; the due row brings the delivery back
		place, closes, err := r.lines().first(ctx, t.Ref, next.Line)
		switch {
		case err != nil:
			return err
		case place.Before <= 0, closes > 0 && !knows.behindHole:
			return r.lines().wake(ctx, t.Ref, next)
		case knows.coalesces:
			return r.lines().replace(ctx, t.Ref, place, clock())
		}
		return nil
	})
}
