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
)

func trackingID(n int) string { return fmt.Sprintf("trk_"+idDigits, n) }

func batchID(n int) string { return fmt.Sprintf("bat_"+idDigits, n) }

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
	at := d.begun()
	var states []string
	for sent == nil || len(sent.list) > 0 {
		if len(states) == maxRuns {
			return append(b.failures, fmt.Sprintf("is still %s after %d runs", at.State, maxRuns))
		}
		if sent != nil {
			at = sent.into(&in, at)
		}
		in.Delivery, b.now = at, in.Now
		event := engine.Run(ctx, d.plan, in)
		if b.stray {
			return because(b.failures, at)
		}
		ending := tracking.Concluding(at, event, in.Now)
		at = tracking.Apply(at, event, in.Now)
		if d.plan.CleansUp(ending) {
			in.Delivery = ending
			engine.CleanUp(ctx, d.plan, in)
		}
		states = append(states, string(at.State))
		if sent != nil {
			at = sent.after(event, at, in.Now)
		}
		if at.NextAt.After(in.Now) {
			in.Now = at.NextAt
		}
		if at.State.Final() && (sent == nil || !sent.again(&in)) {
			break
		}
		if at.State.Final() {
			at = d.begun()
		}
	}
	failures := slices.Concat(b.failures, because(b.missing(), at), d.compareStates(states))
	ends := []tracking.Delivery{at}
	if sent != nil {
		ends = sent.members
	}
	for i, end := range ends {
		failures = append(failures, d.compareEnd(i, end)...)
	}
	if took := at.EndedAt.Sub(began); d.want.Within != nil && took > d.want.Within.D() {
		failures = append(failures, fmt.Sprintf("within: want an end after %s at the latest, got one after %s", d.want.Within, took))
	}
	return failures
}

// begun is a delivery, or a batch, before its first run.
func (d *delivery) begun() tracking.Delivery {
	return tracking.Delivery{Fence: tracking.Fence{Seq: 1}, Phase: tracking.Queued, State: tracking.Pending, Plan: d.plan.Hash}
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

// input makes what the first run sees, and what a batch holds.
func (d *delivery) input() (in target.Input, sent *batch, failure string) {
	in = target.Input{
		Tracking: trackingID(0), Tenant: d.request.Principal.TenantKey(), Params: d.request.Params,
		AcceptedAt: began, Now: began, CallbackURL: target.ExampleCallbackURL,
	}
	if d.plan.Batch == nil {
		in.Payload = d.payload
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
	if n := len(d.want.Outcomes); n > 0 && n != len(members) {
		return in, nil, fmt.Sprintf("outcomes: %d of them for %d records", n, len(members))
	}
	return in, newBatch(d.plan, members, keys), ""
}

func (d *delivery) compareStates(got []string) []string {
	if d.want.States == nil || slices.Equal(d.want.States, got) {
		return nil
	}
	return []string{fmt.Sprintf("states: want [%s], got [%s]", strings.Join(d.want.States, ", "), strings.Join(got, ", "))}
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
