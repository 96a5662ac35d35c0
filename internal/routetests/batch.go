package routetests

import (
	"context"
	"slices"
	"time"

	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
)

// batch is a batch as its runs find it: what dispatch.Runner keeps in the store.
type batch struct {
	plan    *target.Plan
	records [][]byte
	keys    []string
	list    []int // places of those that have not ended, in the order in which they are sent
	window  []int // of those, the ones that go through the steps now
	part    []int // of those, the ones that the run may send
	members []tracking.Delivery
	later   []int // places of those that are sent again, in another batch
	batches int   // how many there were before this one
}

// newBatch makes a batch that nothing has been sent of. A record that is too large for the
// target has ended.
func newBatch(plan *target.Plan, records [][]byte, keys []string) *batch {
	b := &batch{plan: plan, records: records, keys: keys, members: make([]tracking.Delivery, len(records))}
	for place, record := range records {
		if end, over := plan.Oversized(record); over {
			b.members[place] = tracking.Apply(tracking.Delivery{State: tracking.Pending, Phase: tracking.Queued}, end, began)
			continue
		}
		b.members[place] = tracking.Delivery{State: tracking.Delivering, Phase: tracking.Running, Batch: batchID(0)}
		b.list = append(b.list, place)
	}
	return b
}

// into gives a run what it may send, and how the batch stands then.
func (b *batch) into(in *target.Input, at tracking.Delivery) tracking.Delivery {
	room, part := b.plan.Batch.Room(at), b.plan.Batch.Part(at)
	b.window, b.part = nil, nil
	for _, place := range b.list {
		if (at.Window > 0 && place >= at.Window) || !room.Take(len(b.records[place])) {
			break
		}
		if b.window = append(b.window, place); len(b.window) > at.Sent && part.Take(len(b.records[place])) {
			b.part = append(b.part, place)
		}
	}
	if b.plan.Batch.Later(at) && len(b.window) > 0 {
		at.Window = b.window[len(b.window)-1] + 1
	}
	in.Tracking = batchID(b.batches)
	in.Upload = nil
	if b.plan.SendsRecords(at.Step) {
		in.Upload = &target.Upload{First: at.Sent, Of: len(b.window)}
		in.Upload.Records, in.Upload.Keys = b.of(b.part)
	}
	in.Members = func(context.Context) (*target.Upload, error) {
		records, keys := b.of(b.window)
		return &target.Upload{Records: records, Keys: keys}, nil
	}
	return at
}

func (b *batch) of(places []int) (records [][]byte, keys []string) {
	for _, place := range places {
		records, keys = append(records, b.records[place]), append(keys, b.keys[place])
	}
	return records, keys
}

// after hands the end of a window on to its records, and goes on with those that are left.
func (b *batch) after(e tracking.Event, at tracking.Delivery, now time.Time) tracking.Delivery {
	switch e := e.(type) {
	case tracking.Stripped:
		for i, end := range e.Records {
			b.end(b.part[i], tracking.Delivery{Attempts: 1, HTTPStatus: e.HTTPStatus}, end, now)
		}
	case tracking.Concluded:
		for i, place := range b.window {
			b.end(place, tracking.Settling(at), e.Records[i], now)
		}
	}
	if at.State.Final() { // also by an attempt that failed
		for _, place := range b.window {
			b.end(place, tracking.Settling(at), tracking.End{}, now)
		}
	}
	switch {
	case at.State.Final() && len(b.list) > 0:
		return tracking.NextWindow(tracking.Settling(at), now)
	case !at.State.Final() && len(b.list) == 0:
		return tracking.Apply(at, tracking.Concluded{State: tracking.Succeeded}, now)
	}
	return at
}

// end ends a record that has not ended, or has it sent again in another batch.
func (b *batch) end(place int, of tracking.Delivery, own tracking.End, now time.Time) {
	i := slices.Index(b.list, place)
	if i < 0 {
		return
	}
	b.list = slices.Delete(b.list, i, i+1)
	m := &b.members[place]
	if own.State == tracking.Retrying {
		own = b.plan.Again(m, own, began, now, 0.5)
	}
	if *m = tracking.MemberEnd(*m, of, own, now); !m.State.Final() {
		b.later = append(b.later, place)
	}
}

// again makes the batch in which records are sent once more, all of them together when the
// last may be; false when there are none.
func (b *batch) again(in *target.Input) bool {
	if len(b.later) == 0 {
		return false
	}
	b.batches++
	b.list, b.later = b.later, nil
	for _, place := range b.list {
		m := &b.members[place]
		if m.NextAt.After(in.Now) {
			in.Now = m.NextAt
		}
		b.keys[place] = target.DeliveryKey(trackingID(place), b.plan.Name) + m.KeySuffix
		m.State, m.Phase, m.Batch = tracking.Delivering, tracking.Running, batchID(b.batches)
	}
	return true
}
