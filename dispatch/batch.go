package dispatch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
)

// batchRetention is how long the record of a batch is kept once it has ended: for looking
// into what happened. Its members have their own.
const batchRetention = 24 * time.Hour

// gather ends a member's run by putting it into the batch that is collecting. An error
// means that it is in none.
func (r *Runner) gather(ctx context.Context, t Task, claimed *tracking.Claimed, plan *target.Plan) error {
	candidate, err := tracking.NewBatchID(t.Target)
	if err != nil {
		return err
	}
	linger := plan.Batch.Linger.D()
	joined, err := r.Store.Join(ctx, t.Ref, tracking.Gathering{
		Candidate: candidate, Plan: plan.Hash, MaxRecords: plan.Batch.MaxRecords,
		Size: len(claimed.Payload) + len(","), MaxBytes: int(plan.Batch.MaxBytes),
		Until: claimed.Now.Add(linger), Retention: batchRetention,
	})
	if err != nil {
		return err
	}
	// From here on the member is on the list, and counts once it says so itself.
	next := tracking.Gather(claimed.Delivery, joined.Batch.Tracking)
	if err := r.apply(ctx, t.Ref, claimed, next); err != nil {
		return nil //nolint:nilerr // told in apply; the due row brings the delivery back
	}
	if joined.Began {
		r.enqueue(ctx, Task{Ref: joined.Batch, Seq: joined.Seq, After: linger})
		if r.Ripening != nil && !joined.Full {
			r.Ripening.after(linger, joined.Batch, joined.Seq)
		}
	}
	if joined.Full {
		ripen(ctx, r.Store, r.Queue, joined.Batch, joined.Seq)
	}
	return nil
}

// nothingLeft is the end of a batch whose members were all canceled or taken elsewhere.
const nothingLeft = "no record was left to send"

// manifest is what a batch holds, in the order in which it was or is sent.
type manifest struct {
	ids     []string // tracking IDs
	records [][]byte
	keys    []string // what names the deliveries to the backend
}

func (m *manifest) add(id, name, suffix string, record []byte) {
	m.ids = append(m.ids, id)
	m.records = append(m.records, record)
	m.keys = append(m.keys, target.DeliveryKey(id, name)+suffix)
}

// payload gives the records as one JSON array.
func (m *manifest) payload() json.RawMessage {
	return slices.Concat([]byte("["), bytes.Join(m.records, []byte(",")), []byte("]"))
}

// manifestOf reads what the step of a batch sends; nil for a step that needs no record,
// such as a poll, and one without any when there is nothing to send at all.
func (r *Runner) manifestOf(ctx context.Context, t Task, plan *target.Plan, d tracking.Delivery, now time.Time) (*manifest, error) {
	first := d.Attempts == 0 && d.Polls == 0
	switch {
	case !first && !plan.SendsRecords(d.Step):
		return nil, nil
	case !first && plan.Polls(d.Step):
		return r.sent(ctx, t.Ref)
	}
	return r.board(ctx, t.Ref, plan, now)
}

// sent reads what a batch has sent. A member that has left since keeps its place, without a
// record: places are what the backend's answer may go by.
func (r *Runner) sent(ctx context.Context, batch tracking.Ref) (*manifest, error) {
	ids, err := r.Store.Seal(ctx, batch)
	if err != nil {
		return nil, err
	}
	out := new(manifest)
	for page := range pages(ids) {
		members, err := r.Store.Board(ctx, batch, page, true)
		if err != nil {
			return nil, err
		}
		for _, m := range members {
			if m.Stands != tracking.Aboard {
				m.Payload = nil
			}
			out.add(m.Tracking, m.Target, m.Delivery.KeySuffix, m.Payload)
		}
	}
	return out, nil
}

// judge notes how members end that do not end as their batch, in place of what a run noted
// that died before the batch had ended.
func (r *Runner) judge(ctx context.Context, t Task, e tracking.Event, sent *manifest) error {
	end, ok := e.(tracking.Concluded)
	if !ok {
		return nil
	}
	return r.write(ctx, t.Ref, func(ctx context.Context) (err error) {
		if sent == nil && len(end.Records) > 0 {
			if sent, err = r.sent(ctx, t.Ref); err != nil {
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

// joinWait is how long a batch waits at a time for members that are about to join: their
// runs have put them on its list and not yet ended.
const joinWait = 20 * time.Millisecond

// board gives the records that a batch sends, in the order in which they joined, with the
// keys of their deliveries. What does not fit into the batch's bytes leaves it, and a
// record that never will is rejected. The same records come each time from the first
// sending on; who is not sent leaves the list, so that it is in the order of the upload.
func (r *Runner) board(ctx context.Context, batch tracking.Ref, plan *target.Plan, now time.Time) (*manifest, error) {
	ids, err := r.Store.Seal(ctx, batch)
	if err != nil {
		return nil, err
	}
	out, ashore := new(manifest), []string(nil)
	most := int64(plan.Batch.MaxBytes) - int64(len("[]"))
	room := most
	for page := range pages(ids) {
		members, err := r.boardPage(ctx, batch, page)
		if err != nil {
			return nil, err
		}
		for _, m := range members {
			if m.Stands != tracking.Aboard {
				ashore = append(ashore, m.Tracking)
				continue
			}
			size := int64(len(m.Payload) + len(","))
			switch {
			case size > most:
				ashore = append(ashore, m.Tracking)
				end := tracking.MemberEnd(m.Delivery, tracking.Delivery{}, tooLarge(m, plan), now)
				if err = r.Store.Apply(ctx, m.Ref, m.Delivery.Fence, end); err == nil {
					r.leave(ctx, m.Ref, end)
				}
			case size > room:
				room = 0 // those behind it leave as well: order stays
				ashore = append(ashore, m.Tracking)
				err = r.release(ctx, m)
			default:
				room -= size
				out.add(m.Tracking, m.Target, m.Delivery.KeySuffix, m.Payload)
			}
			if err != nil && !moved(err) {
				return nil, err
			}
		}
	}
	return out, r.Store.Settled(ctx, batch, ashore)
}

// boardPage reads a part of the members and waits for those who are joining. A run that
// never ends is taken over before long: then it has left.
func (r *Runner) boardPage(ctx context.Context, batch tracking.Ref, ids []string) ([]tracking.Member, error) {
	for {
		members, err := r.Store.Board(ctx, batch, ids, true)
		if err != nil {
			return nil, err
		}
		joining := false
		for _, m := range members {
			joining = joining || m.Stands == tracking.Joining
		}
		if !joining {
			return members, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(joinWait):
		}
	}
}

func tooLarge(m tracking.Member, plan *target.Plan) tracking.End {
	return tracking.End{State: tracking.Rejected, Reason: fault.TooLarge, Message: fmt.Sprintf(
		"the record has %d bytes, more than a batch of %s takes (batch.max_bytes: %s)", len(m.Payload), plan.Name, plan.Batch.MaxBytes)}
}

// strip ends members whose records the backend refused, and takes them off the list: the
// batch is sent again without them. After a crash half-way through, those that have ended
// are found not to be aboard any more.
func (r *Runner) strip(ctx context.Context, t Task, e tracking.Stripped, sent *manifest, now time.Time) error {
	return r.write(ctx, t.Ref, func(ctx context.Context) error {
		ids, own := make([]string, 0, len(e.Records)), make(map[string]tracking.End, len(e.Records))
		for place, end := range e.Records {
			ids, own[sent.ids[place]] = append(ids, sent.ids[place]), end
		}
		for page := range pages(ids) {
			members, err := r.Store.Board(ctx, t.Ref, page, false)
			if err == nil {
				batch := tracking.Delivery{Attempts: 1, HTTPStatus: e.HTTPStatus}
				err = r.settlePage(ctx, members, batch, own, now)
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

// release sends a member away, to join another batch.
func (r *Runner) release(ctx context.Context, m tracking.Member) error {
	next := tracking.TakeOver(m.Delivery)
	if err := r.Store.Apply(ctx, m.Ref, m.Delivery.Fence, next); err != nil {
		return err
	}
	r.enqueue(ctx, taskOf(m.Ref, next, time.Time{}))
	return nil
}

// moved reports whether an error says that the delivery is not the batch's any more.
func moved(err error) bool {
	return errors.Is(err, tracking.ErrFenced) || errors.Is(err, tracking.ErrNotFound)
}

// settle hands the end of a batch on to its members. What is settled leaves the list, so
// that whoever takes over goes on where this run stopped.
func (r *Runner) settle(ctx context.Context, t Task, claimed *tracking.Claimed, now func() time.Time) error {
	ids, err := r.Store.Seal(ctx, t.Ref)
	if err != nil {
		return r.giveBack(ctx, t.Ref, claimed.Delivery, err)
	}
	for page := range pages(ids) {
		members, err := r.Store.Board(ctx, t.Ref, page, false)
		var own map[string]tracking.End
		if err == nil {
			own, err = r.Store.Ends(ctx, t.Ref, page)
		}
		if err == nil {
			err = r.settlePage(ctx, members, claimed.Delivery, own, now())
		}
		if err == nil {
			err = r.Store.Settled(ctx, t.Ref, page)
		}
		if err == nil { // the claim holds for another page
			_, err = r.claim(ctx, t, claimed.Delivery.Token, settleHold)
		}
		if err != nil {
			return r.giveBack(ctx, t.Ref, claimed.Delivery, err)
		}
	}
	_ = r.apply(ctx, t.Ref, claimed, tracking.SettledBatch(claimed.Delivery, now())) // told in apply
	return nil
}

// settleHold is the claim on a batch for settling one page.
const settleHold = 30 * time.Second

func (r *Runner) settlePage(ctx context.Context, members []tracking.Member, batch tracking.Delivery, own map[string]tracking.End, now time.Time) error {
	ends := make([]tracking.Change, 0, len(members))
	for _, m := range members {
		if m.Stands != tracking.Aboard {
			continue
		}
		if m.Delivery.Phase == tracking.Gathered { // it was not sent
			if err := r.release(ctx, m); err != nil && !moved(err) {
				return err
			}
			continue
		}
		ends = append(ends, tracking.Change{
			Tracking: m.Tracking, Expect: m.Delivery.Fence, Next: tracking.MemberEnd(m.Delivery, batch, own[m.Tracking], now),
		})
	}
	err := r.Store.ApplyAll(ctx, members[0].Target, ends)
	if err == nil {
		r.lines().leaveAll(ctx, members[0].Target, ends)
	}
	return err
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
