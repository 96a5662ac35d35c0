package trackingtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

func batchJudged(t *testing.T, s tracking.Store) {
	target := unique("mail")
	_, j := joined(t, s, target, gathering(t, target, 10))
	other := tracking.Ref{Tracking: gathering(t, target, 10).Candidate, Target: target}
	noted := func(batch tracking.Ref, ids ...string) map[string]tracking.End {
		t.Helper()
		out, err := s.Ends(t.Context(), batch, ids)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := noted(j.Batch, "a", "b"); len(got) != 0 {
		t.Errorf("before anything is noted: %v", got)
	}
	many := map[string]tracking.End{}
	for i := range 1200 { // more than goes at once
		many[fmt.Sprint("id", i)] = tracking.End{State: tracking.Rejected, Reason: fault.Rejected, Message: fmt.Sprint("ü \"no\" ", i),
			Result: map[string]json.RawMessage{"id": json.RawMessage(fmt.Sprint(i))}}
	}
	must(t, s.Judge(t.Context(), j.Batch, many, time.Hour))
	must(t, s.Judge(t.Context(), other, map[string]tracking.End{"id0": {State: tracking.Warned}}, time.Hour))
	got := noted(j.Batch, slices.Collect(maps.Keys(many))...)
	if !reflect.DeepEqual(got, many) {
		t.Errorf("%d of %d are as they were noted", len(got), len(many))
	}
	// A poll that is made again may come to less.
	less := map[string]tracking.End{"id7": {State: tracking.Unknown}}
	must(t, s.Judge(t.Context(), j.Batch, less, time.Hour))
	if got := noted(j.Batch, "id0", "id7", "id8"); !reflect.DeepEqual(got, less) {
		t.Errorf("after it was noted anew: %v", got)
	}
	must(t, s.Judge(t.Context(), j.Batch, nil, time.Hour))
	if got := noted(j.Batch, "id7"); len(got) != 0 {
		t.Errorf("after nothing was noted anew: %v", got)
	}
	if got := noted(j.Batch); len(got) != 0 {
		t.Errorf("of nobody: %v", got)
	}
	if got := noted(other, "id0"); got["id0"].State != tracking.Warned {
		t.Errorf("of another batch: %v", got)
	}
}

// A member that is to be sent again is scheduled, belongs to no batch, and joins another when
// its time has come.
func batchSentAgain(t *testing.T, s tracking.Store) {
	target := unique("mail")
	g := gathering(t, target, 2)
	joined(t, s, target, g)
	r, j := joined(t, s, target, again(t, target, g))
	c := claim(t, s, j.Batch, j.Seq, "run", long)
	m := board(t, s, j.Batch, true)[1]
	own := tracking.End{State: tracking.Retrying, Reason: fault.JobFailed, Message: "locked"}
	must(t, s.Judge(t.Context(), j.Batch, map[string]tracking.End{r.Tracking: own}, time.Hour))
	noted, err := s.Ends(t.Context(), j.Batch, []string{r.Tracking})
	if err != nil || !reflect.DeepEqual(noted[r.Tracking], own) {
		t.Fatalf("noted %+v (%v)", noted, err)
	}
	own.After = 50 * time.Millisecond
	batch := tracking.Settling(tracking.Apply(c.Delivery, succeeded(), c.Now))
	next := tracking.MemberEnd(m.Delivery, batch, own, c.Now)
	for range 2 { // as by two runs of which the first was killed
		must(t, s.ApplyAll(t.Context(), target, []tracking.Change{{Tracking: r.Tracking, Expect: m.Delivery.Fence, Next: next}}))
	}
	d := load(t, s, r.Tracking).Deliveries[target]
	if d.State != tracking.Retrying || d.Phase != tracking.Scheduled || d.Rounds != 1 || d.KeySuffix == "" || d.Attempts != 1 || d.Batch != "" || d.Message != "locked" || where(t, s, r) != "due" {
		t.Errorf("%+v in %q", d, where(t, s, r))
	}
	if got := board(t, s, j.Batch, false)[1].Stands; got != tracking.Left {
		t.Errorf("it stands %v to its batch", got)
	}
	taken := claim(t, s, r, d.Seq, "run", long)
	if len(taken.Payload) == 0 {
		t.Error("its payload is gone")
	}
	other, err := s.Join(t.Context(), r, again(t, target, g))
	must(t, err)
	must(t, s.Apply(t.Context(), r, taken.Delivery.Fence, tracking.Gather(taken.Delivery, other)))
	if got := board(t, s, other.Batch, true); other.Batch == j.Batch || len(got) != 1 || got[0].Stands != tracking.Aboard || len(got[0].Payload) == 0 {
		t.Errorf("in %v: %+v", other.Batch, got)
	}
}
