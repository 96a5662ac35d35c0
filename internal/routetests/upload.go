package routetests

import (
	"context"

	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
)

// upload is what a batch holds, and what has become of all records of the test.
type upload struct {
	records [][]byte
	keys    []string
	members []tracking.Delivery // all records, by their places in the test
	places  []int               // in the test, of those that the batch holds
	batches int                 // how many there were before this one
}

func newUpload(records [][]byte, keys []string) *upload {
	u := &upload{records: records, keys: keys}
	for place := range records {
		u.places = append(u.places, place)
		u.members = append(u.members, tracking.Delivery{State: tracking.Delivering, Phase: tracking.Running, Batch: batchID(0)})
	}
	return u
}

// follow does what the runner does with the records after a run of their batch: those that have
// an end leave. It reports whether the ones that are left begin a batch anew.
func (u *upload) follow(plan *target.Plan, batch tracking.Delivery, e tracking.Event, in *target.Input) bool {
	own := map[int]tracking.End{}
	switch e := e.(type) {
	case tracking.Stripped:
		own = e.Records
		batch = tracking.Delivery{Attempts: 1, HTTPStatus: e.HTTPStatus}
	case tracking.Concluded:
		own = e.Records
	}
	over := batch.State.Final()
	batch = tracking.Settling(batch)
	var stay []int
	for i, place := range u.places {
		end, named := own[i]
		if !named && !over {
			stay = append(stay, i)
			continue
		}
		m := &u.members[place]
		if end.State == tracking.Retrying {
			end = plan.Again(m, end, began, in.Now, 0.5)
		}
		*m = tracking.MemberEnd(*m, batch, end, in.Now)
		if !m.State.Final() {
			stay = append(stay, i)
		}
	}
	if len(stay) < len(u.places) {
		u.keep(stay)
	}
	if over && len(stay) > 0 {
		u.again(plan, in)
	}
	u.into(in)
	return over && len(stay) > 0
}

func (u *upload) keep(stay []int) {
	left := upload{members: u.members, batches: u.batches}
	for _, i := range stay {
		left.records, left.keys, left.places = append(left.records, u.records[i]), append(left.keys, u.keys[i]), append(left.places, u.places[i])
	}
	*u = left
}

// again makes the batch in which the records are sent once more, all of them together when the
// last may be.
func (u *upload) again(plan *target.Plan, in *target.Input) {
	u.batches++
	for i, place := range u.places {
		m := &u.members[place]
		if m.NextAt.After(in.Now) {
			in.Now = m.NextAt
		}
		u.keys[i] = target.DeliveryKey(trackingID(place), plan.Name) + m.KeySuffix
		m.State, m.Phase, m.Batch = tracking.Delivering, tracking.Running, batchID(u.batches)
	}
}

func (u *upload) into(in *target.Input) {
	in.Tracking, in.Payload, in.Keys = batchID(u.batches), array(u.records), u.keys
	in.Members = func(context.Context) ([][]byte, []string, error) { return u.records, u.keys, nil }
}
