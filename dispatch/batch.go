package dispatch

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/target"
	"headgate/dispatch/trace"
	"headgate/dispatch/tracking"
)

// batchRetention is how long the record of a batch is kept once it has ended: for looking
// into what happened. Its members have their own.
const batchRetention = 24 * time.Hour

// gather ends a member's run by putting it into the batch that is collecting. An error
// means that it is in none.
func (r *Runner) gather(ctx context.Context, t Task, claimed *tracking.Claimed, plan *target.Plan, end trace.End) error {
	candidate, err := tracking.NewBatchID(t.Target)
	if err != nil {
		return err
	}
	linger := plan.Batch.Linger.D()
	own, begun := r.traceOfBatch(ctx, t.Target, candidate)
	joined, err := r.Store.Join(ctx, t.Ref, tracking.Gathering{
		Candidate: candidate, Plan: plan.Hash, MaxRecords: plan.Batch.MaxRecords,
		Size: len(claimed.Payload) + len(","), MaxBytes: int(plan.Batch.MaxBytes),
		Until: claimed.Now.Add(linger), Retention: batchRetention, TraceParent: string(own),
	})
	if err != nil {
		return err
	}
	if joined.Began {
		begun(trace.Facts{}, trace.From(ctx))
	}
	// From here on the member is on the list, and counts once it says so itself. When that cannot be
	// told (see apply) the due row brings it back; the batch is for others as well.
	next := tracking.Gather(claimed.Delivery, joined)
	if r.apply(ctx, t.Ref, claimed, next) == nil {
		end(trace.Facts{State: string(next.State), Batch: joined.Batch.Tracking})
	}
	if joined.Place == 1 { // it began the batch, if not by this call
		r.enqueue(ctx, Task{Ref: joined.Batch, Seq: joined.Seq, After: linger})
		if r.Ripening != nil && !joined.Full {
			r.Ripening.after(linger, joined.Batch, joined.Seq)
		}
	}
	if joined.Full {
		_ = r.write(ctx, joined.Batch, func(ctx context.Context) error { // told in write; it is sent at its time
			return ripen(ctx, r.Store, r.Queue, joined.Batch, joined.Seq)
		})
	}
	return nil
}

// nothingLeft is the end of a batch whose members were all canceled or taken elsewhere.
const nothingLeft = "no record was left to send"

// judge notes how members end that do not end as their batch, in place of what a run noted
// that died before the batch had ended.
func (r *Runner) judge(ctx context.Context, t Task, plan *target.Plan, d tracking.Delivery, end tracking.Concluded, sent *manifest) error {
	return r.write(ctx, t.Ref, func(ctx context.Context) (err error) {
		if sent == nil && len(end.Records) > 0 {
			if sent, err = r.sent(ctx, t.Ref, plan, d); err != nil {
				return err
			}
		}
		ends := make(map[string]tracking.End, len(end.Records))
		for place, one := range end.Records {
			ends[sent.ids[place]] = one
		}
		return r.Store.Judge(ctx, t.Ref, ends, batchRetention)
	})
}

// strip ends members whose records the backend refused, and takes them off the list: the
// batch is sent again without them. After a crash half-way through, those that have ended
// are found not to be aboard any more.
func (r *Runner) strip(ctx context.Context, t Task, plan *target.Plan, e tracking.Stripped, sent *manifest, now time.Time) error {
	return r.write(ctx, t.Ref, func(ctx context.Context) error {
		ids, own := make([]string, 0, len(e.Records)), make(map[string]tracking.End, len(e.Records))
		for place, end := range e.Records {
			ids, own[sent.ids[place]] = append(ids, sent.ids[place]), end
		}
		for page := range pages(ids) {
			members, err := r.Store.Board(ctx, t.Ref, page, false)
			if err == nil {
				batch := tracking.Delivery{Attempts: 1, HTTPStatus: e.HTTPStatus}
				err = r.settlePage(ctx, plan, members, batch, own, now)
			}
			if err == nil {
				err = r.Store.Settled(ctx, t.Ref, page)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// thin sends away the members that are too much for one upload, before anything of it was
// sent. They join another batch.
func (r *Runner) thin(ctx context.Context, t Task, sent *manifest, most int) error {
	return r.write(ctx, t.Ref, func(ctx context.Context) error {
		for page := range pages(sent.ids[most:]) {
			members, err := r.Store.Board(ctx, t.Ref, page, false)
			if err != nil {
				return err
			}
			for _, m := range members {
				if m.Stands != tracking.Aboard {
					continue
				}
				if err := r.release(ctx, m); err != nil {
					return err
				}
			}
			if err := r.Store.Settled(ctx, t.Ref, page); err != nil {
				return err
			}
		}
		return nil
	})
}

// release sends a member away, to join another batch.
func (r *Runner) release(ctx context.Context, m tracking.Member) error {
	return goOn(ctx, r.Store, r.Queue, m.Ref, m.Delivery)
}

// moved reports whether an error says that the delivery is not the batch's any more.
func moved(err error) bool {
	return errors.Is(err, tracking.ErrFenced) || errors.Is(err, tracking.ErrNotFound)
}

// settleHold is the claim on a batch for settling one page.
const settleHold = 30 * time.Second

func (r *Runner) settlePage(ctx context.Context, plan *target.Plan, members []tracking.Member, batch tracking.Delivery, own map[string]tracking.End, now time.Time) error {
	ends := make([]tracking.Change, 0, len(members))
	for _, m := range members {
		if m.Stands != tracking.Aboard {
			continue
		}
		if m.Delivery.Phase == tracking.Gathered { // it was not sent
			if err := r.release(ctx, m); err != nil {
				return err
			}
			continue
		}
		ends = append(ends, tracking.Change{
			Tracking: m.Tracking, Expect: m.Delivery.Fence, Next: tracking.MemberEnd(m.Delivery, batch, endOf(m, own, plan, now), now),
		})
	}
	if err := r.Store.ApplyAll(ctx, members[0].Target, ends); err != nil {
		return err
	}
	r.lines().leaveAll(ctx, members[0].Target, ends)
	for _, end := range ends {
		if !end.Next.State.Final() { // whoever dies before this leaves it to the due row
			r.enqueue(ctx, taskOf(tracking.Ref{Tracking: end.Tracking, Target: members[0].Target}, end.Next, now))
		}
	}
	return nil
}

// endOf gives the end that a member has by itself. Whether one that the backend wants to have
// once more may be sent again is decided here, for each by what it has behind it.
func endOf(m tracking.Member, own map[string]tracking.End, plan *target.Plan, now time.Time) tracking.End {
	end := own[m.Tracking]
	switch {
	case end.State != tracking.Retrying:
		return end
	case plan == nil:
		return tracking.End{State: tracking.Failed, Reason: fault.TargetGone, Message: end.Message + "; the target's plan is no longer known"}
	}
	return plan.Again(&m.Delivery, end, tracking.MadeAt(m.Tracking), now, rand.Float64()) //nolint:gosec // spreads load
}

// pageOfMembers bounds what is held of a batch at a time besides its records.
const pageOfMembers = 1000

// pages gives the IDs in pages.
func pages(ids []string) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		for len(ids) > 0 {
			n := min(len(ids), pageOfMembers)
			if !yield(ids[:n]) {
				return
			}
			ids = ids[n:]
		}
	}
}
