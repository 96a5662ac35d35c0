package dispatch

import (
	"context"
	"time"

	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
)

// manifest is what a run of a batch sends, in the order in which it joined: the whole
// window, or of a step that is repeated the part that comes next.
type manifest struct {
	cargo
	ids    []string // tracking IDs
	keys   []string // what names the deliveries to the backend
	window int      // how many records go through the steps now
	last   int      // the place of the last of them, 0: there are no others
}

func (m *manifest) add(id, name, suffix string, record []byte) {
	m.ids = append(m.ids, id)
	m.keys = append(m.keys, target.DeliveryKey(id, name)+suffix)
	m.load(record)
}

// upload is what the engine sees of it; nil for a run that sends no records. read gives the
// records again that are not held.
func (m *manifest) upload(d tracking.Delivery, read reading) *target.Upload {
	if m == nil {
		return nil
	}
	out := &target.Upload{Records: m.records, Keys: m.keys, First: d.Sent, Of: m.window}
	if m.dropped {
		out.Page = func(ctx context.Context, from int) ([][]byte, error) {
			return read(ctx, m.ids[from:from+m.fits(from)])
		}
	}
	return out
}

// manifestOf reads what the step of a batch sends; nil for a step that needs no record,
// such as a poll, and one without any when there is nothing to send at all.
func (r *Runner) manifestOf(ctx context.Context, t Task, plan *target.Plan, d tracking.Delivery) (*manifest, error) {
	first := d.Attempts == 0 && d.Polls == 0
	switch {
	case !first && !plan.SendsRecords(d.Step):
		return nil, nil
	case !first && plan.Polls(d.Step):
		return r.sent(ctx, t.Ref, plan, d)
	}
	return r.board(ctx, t.Ref, plan, d)
}

// sent reads what a batch has sent. A member that has left since keeps its place, without a
// record: places are what the backend's answer may go by.
func (r *Runner) sent(ctx context.Context, batch tracking.Ref, plan *target.Plan, d tracking.Delivery) (*manifest, error) {
	ids, err := r.Store.Seal(ctx, batch, d.Window)
	if err != nil {
		return nil, err
	}
	out := &manifest{window: len(ids), cargo: cargoOf(plan, true)}
	for page := range out.pages(ids) {
		members, err := r.Store.Board(ctx, batch, page, true)
		if err != nil {
			return nil, err
		}
		out.read.add(members)
		for _, m := range members {
			out.add(m.Tracking, m.Target, m.Delivery.KeySuffix, aboard(m))
		}
	}
	return out, nil
}

// aboard gives the record of a member that has not left its batch; nil for any other.
func aboard(m tracking.Member) []byte {
	if m.Stands != tracking.Aboard {
		return nil
	}
	return m.Payload
}

// joinWait is how long a batch waits at a time for members that are about to join: their
// runs have put them on its list and not yet ended.
const joinWait = 20 * time.Millisecond

// board gives the records that a batch sends, in the order in which they joined, with the
// keys of their deliveries. What does not fit into the batch's bytes leaves it. The same
// records come each time from the first sending on; who is not sent leaves the list, so that
// it is in the order of the upload.
func (r *Runner) board(ctx context.Context, batch tracking.Ref, plan *target.Plan, d tracking.Delivery) (*manifest, error) {
	ids, err := r.Store.Seal(ctx, batch, d.Window)
	if err != nil {
		return nil, err
	}
	out, ashore := &manifest{cargo: cargoOf(plan, plan.Streams(d.Step))}, []string(nil)
	room := plan.Batch.Room(d)
	keep := plan.Batch.Part(d)
	if !plan.SendsRecords(d.Step) {
		keep = target.Room{}
	}
	for page := range out.pages(ids) {
		members, err := r.boardPage(ctx, batch, page)
		if err != nil {
			return nil, err
		}
		out.read.add(members)
		for _, m := range members {
			switch {
			case m.Stands != tracking.Aboard:
				ashore = append(ashore, m.Tracking)
			case room.Take(len(m.Payload)):
				if plan.Batch.Later(d) {
					out.last = m.Delivery.Place
				}
				if out.window++; out.window > d.Sent && keep.Take(len(m.Payload)) {
					out.add(m.Tracking, m.Target, m.Delivery.KeySuffix, m.Payload)
				}
			case plan.Batch.Later(d): // those behind it too, in another window
			default: // those behind it leave as well: order stays
				ashore = append(ashore, m.Tracking)
				if err := r.release(ctx, m); err != nil {
					return nil, err
				}
			}
		}
		if room.Full() && plan.Batch.Later(d) {
			break
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
