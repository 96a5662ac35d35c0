package routetests

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"headgate/dispatch/encode"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
	"headgate/policies"
)

// The IDs that requests and batches have here; record n of a batch has the n-th from
// the first on.
const (
	idDigits = "%024d"
	batchID  = "bat_000000000000000000000000"
)

func trackingID(n int) string { return fmt.Sprintf("trk_"+idDigits, n) }

// maxRuns ends a delivery that would take too long: a poll each second for a day is less.
const maxRuns = 100_000

// delivery is a delivery to one target, or a batch of them.
type delivery struct {
	file    *File
	plan    *target.Plan
	want    *Target
	request *policies.Request
	payload []byte
}

func (d *delivery) run(ctx context.Context) []string {
	in, sent, failure := d.input()
	if failure != "" {
		return []string{failure}
	}
	b := &backend{script: d.want.Calls}
	engine := target.NewScripted(b, d.file.secret)
	defer engine.Close()
	at := tracking.Delivery{Fence: tracking.Fence{Seq: 1}, Phase: tracking.Queued, State: tracking.Pending, Plan: d.plan.Hash}
	var states []string
	var last tracking.Event
	for !at.State.Final() && (sent == nil || len(sent.places) > 0) {
		if len(states) == maxRuns {
			return append(b.failures, fmt.Sprintf("is still %s after %d runs", at.State, maxRuns))
		}
		in.Delivery, b.now = at, in.Now
		last = engine.Run(ctx, d.plan, in)
		if b.stray {
			return because(b.failures, at)
		}
		at = tracking.Apply(at, last, in.Now)
		if e, ok := last.(tracking.Stripped); ok {
			sent.strip(e, &in)
		}
		states = append(states, string(at.State))
		if at.NextAt.After(in.Now) {
			in.Now = at.NextAt
		}
	}
	failures := slices.Concat(b.failures, because(b.missing(), at), d.compareStates(states))
	for i, end := range d.ends(at, last, sent) {
		failures = append(failures, d.compareEnd(i, end)...)
	}
	if took := at.EndedAt.Sub(began); d.want.Within != nil && took > d.want.Within.D() {
		failures = append(failures, fmt.Sprintf("within: want an end after %s at the latest, got one after %s", d.want.Within, took))
	}
	return failures
}

// because adds to the last failure how the delivery stands: that is most often why a call
// was made or was not.
func because(failures []string, at tracking.Delivery) []string {
	if len(failures) == 0 || at.State == tracking.Pending {
		return failures
	}
	failures[len(failures)-1] += fmt.Sprintf("; the delivery is %s", at.State)
	if why := reasonOf(at); why != "" {
		failures[len(failures)-1] += " (" + why + ")"
	}
	return failures
}

// reasonOf tells in a line why the last try of a delivery did not work, or why it ended.
func reasonOf(d tracking.Delivery) string {
	if d.Message == "" || d.Reason == "" {
		return string(d.Reason) + d.Message
	}
	return string(d.Reason) + ": " + d.Message
}

// upload is what a batch holds.
type upload struct {
	records  [][]byte
	keys     []string
	places   []int                // of its records in the test
	stripped map[int]tracking.End // records that have left, by their places in the test
}

// strip takes the records out that the backend refused, as the runner does.
func (u *upload) strip(e tracking.Stripped, in *target.Input) {
	left := upload{stripped: u.stripped}
	for i, place := range u.places {
		if end, refused := e.Records[i]; refused {
			u.stripped[place] = end
			continue
		}
		left.records, left.keys, left.places = append(left.records, u.records[i]), append(left.keys, u.keys[i]), append(left.places, place)
	}
	*u = left
	u.into(in)
}

func (u *upload) into(in *target.Input) {
	in.Payload, in.Keys = array(u.records), u.keys
	in.Members = func(context.Context) ([][]byte, []string, error) { return u.records, u.keys, nil }
}

// input makes what the first run sees, and what a batch holds.
func (d *delivery) input() (in target.Input, sent *upload, failure string) {
	in = target.Input{
		Tracking: trackingID(0), Tenant: d.request.Principal.TenantKey(), Params: d.request.Params,
		Payload: d.payload, AcceptedAt: began, Now: began,
	}
	if d.plan.Batch == nil {
		if len(d.want.Records) > 0 || len(d.want.Outcomes) > 0 {
			return in, nil, "records and outcomes are for targets with batch"
		}
		return in, nil, ""
	}
	members, keys := [][]byte{d.payload}, []string{target.DeliveryKey(trackingID(0), d.plan.Name)}
	if len(d.want.Records) > 0 {
		members, keys = nil, nil
	}
	for i, record := range d.want.Records {
		text, err := encode.AppendJSON(nil, record.Value())
		if err != nil {
			return in, nil, fmt.Sprintf("records[%d] cannot be written as JSON: %s", i, err)
		}
		members = append(members, text)
		keys = append(keys, target.DeliveryKey(trackingID(i), d.plan.Name))
	}
	if most := d.plan.Batch.MaxRecords; len(members) > most {
		return in, nil, fmt.Sprintf("records: %d of them, but a batch has at most %d", len(members), most)
	}
	if size := len(array(members)); int64(size) > int64(d.plan.Batch.MaxBytes) {
		return in, nil, fmt.Sprintf("records: %d bytes, but a batch has at most %s", size, d.plan.Batch.MaxBytes)
	}
	if n := len(d.want.Outcomes); n > 0 && n != len(members) {
		return in, nil, fmt.Sprintf("outcomes: %d of them for %d records", n, len(members))
	}
	in.Tracking = batchID
	sent = &upload{records: members, keys: keys, stripped: map[int]tracking.End{}}
	for place := range members {
		sent.places = append(sent.places, place)
	}
	sent.into(&in)
	return in, sent, ""
}

func (d *delivery) compareStates(got []string) []string {
	if d.want.States == nil || slices.Equal(d.want.States, got) {
		return nil
	}
	return []string{fmt.Sprintf("states: want [%s], got [%s]", strings.Join(d.want.States, ", "), strings.Join(got, ", "))}
}

// ends gives how the delivery ended, or each record of a batch: as its batch, or as the
// backend said of it.
func (d *delivery) ends(at tracking.Delivery, last tracking.Event, sent *upload) []tracking.Delivery {
	if d.plan.Batch == nil {
		return []tracking.Delivery{at}
	}
	own := map[int]tracking.End{}
	if e, ok := last.(tracking.Concluded); ok {
		own = e.Records
	}
	settling := tracking.Settling(at)
	member := tracking.Delivery{State: tracking.Delivering, Phase: tracking.Running, Batch: batchID}
	out := make([]tracking.Delivery, len(sent.places)+len(sent.stripped))
	for i, place := range sent.places {
		out[place] = tracking.MemberEnd(member, settling, own[i], at.EndedAt)
	}
	for place, end := range sent.stripped {
		out[place] = tracking.MemberEnd(member, tracking.Delivery{Attempts: 1}, end, at.EndedAt)
	}
	return out
}

// compareEnd compares one end with the outcome that is written for it, if any.
func (d *delivery) compareEnd(record int, got tracking.Delivery) (failures []string) {
	want, name := d.want.Outcome, "outcome"
	switch {
	case len(d.want.Outcomes) > 0:
		want, name = &d.want.Outcomes[record], fmt.Sprintf("outcomes[%d]", record)
	case len(d.want.Records) > 1:
		name = fmt.Sprintf("outcome of records[%d]", record)
	}
	if want == nil {
		return nil
	}
	for _, difference := range want.compare(got) {
		failures = append(failures, name+"."+difference)
	}
	return failures
}

// resultOf gives the result of an end as a value; nil when there is none.
func resultOf(d tracking.Delivery) any {
	if len(d.Result) == 0 {
		return nil
	}
	out := make(map[string]any, len(d.Result))
	for name, raw := range d.Result {
		v, err := encode.Decode(raw)
		if err != nil {
			v = string(raw)
		}
		out[name] = v
	}
	return out
}
