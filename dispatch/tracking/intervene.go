package tracking

import (
	"time"

	"headgate/dispatch/fault"
)

// Cancel gives the delivery as it is after it was canceled at the time now. ok is false
// when that cannot be: it is final, its end is known, or a run holds it, whose call cannot
// be called back.
// It is pure.
func Cancel(d Delivery, now time.Time) (next Delivery, ok bool) {
	if d.State.Final() || d.Phase == Running || d.Verdict != "" {
		return d, false
	}
	next = d
	next.Seq++
	next.Token = ""
	next.end(Canceled, fault.Canceled, canceledMessage(d), now)
	return next, true
}

// canceledMessage says what canceling cannot undo.
func canceledMessage(d Delivery) string {
	switch {
	case d.State == Waiting:
		return "no longer polled; the backend's job cannot be stopped and may still have effect"
	case d.State == Delivering:
		return "canceled between two steps; what the earlier ones did stays"
	case d.State == Retrying:
		return "canceled before its next attempt; an earlier one may have had effect"
	case d.Parked():
		return "canceled while it waited for those before it"
	case d.State == Pending && d.Seq > 1:
		// Taken over or replayed: a run that was cut short may have got through.
		return "canceled before its next run; an earlier one may have had effect"
	}
	return "canceled before it was begun"
}

// Revival says how a delivery is taken up again.
type Revival struct {
	// Plan is the hash of the plan to run under; empty: the one it had.
	Plan string
	// Resume goes on at the step where the delivery stopped, with what was saved: for a
	// poll whose job may well have worked. Otherwise the first step is next.
	Resume bool
	// NewKey lets the backend see other idempotency keys than before.
	NewKey bool
	// Mass says that it is one of many that are taken up together: its task goes behind
	// those of new deliveries.
	Mass bool
}

// Revive gives a delivery that was final as it is after it was taken up again at the time
// now: with a raised fence, fresh budgets, and its history in Replays and PastAttempts.
// It is pure. Which states may be revived is the caller's to decide.
func Revive(d Delivery, r Revival, now time.Time) Delivery {
	next := Delivery{
		Fence: Fence{Seq: d.Seq + 1}, Phase: Queued, Lane: LaneNew, State: Pending, Plan: d.Plan,
		Replays: d.Replays + 1, ReplayedAt: now, PastAttempts: d.PastAttempts + d.Attempts, KeySuffix: d.KeySuffix, KeepPayload: d.KeepPayload,
		Line: d.Line, Blocks: d.Blocks,
	}
	if r.Plan != "" {
		next.Plan = r.Plan
	}
	if r.NewKey {
		next.KeySuffix = keySuffix(next.Replays)
	}
	if !r.NewKey { // to the backend it is the same work as before
		next.Doubts = d.Doubts
	}
	if r.Resume {
		next.State, next.Step, next.Saved = Waiting, d.Step, d.Saved
		next.StepSince = now // the deadline of a poll counts from here
		next.JobID, next.JobState = d.JobID, d.JobState
		next.JobDone, next.JobTotal = d.JobDone, d.JobTotal
		next.Lane = LaneResume
	}
	if r.Mass {
		next.Lane = LaneBulk
	}
	return next
}
