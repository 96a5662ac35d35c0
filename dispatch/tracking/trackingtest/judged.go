package trackingtest

import (
	"fmt"
	"maps"
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
		many[fmt.Sprint("id", i)] = tracking.End{State: tracking.Rejected, Reason: fault.Rejected, Message: fmt.Sprint("ü \"no\" ", i)}
	}
	must(t, s.Judge(t.Context(), j.Batch, many, time.Hour))
	must(t, s.Judge(t.Context(), other, map[string]tracking.End{"id0": {State: tracking.Warned}}, time.Hour))
	got := noted(j.Batch, slices.Collect(maps.Keys(many))...)
	if !maps.Equal(got, many) {
		t.Errorf("%d of %d are as they were noted", len(got), len(many))
	}
	// A poll that is made again may come to less.
	less := map[string]tracking.End{"id7": {State: tracking.Unknown}}
	must(t, s.Judge(t.Context(), j.Batch, less, time.Hour))
	if got := noted(j.Batch, "id0", "id7", "id8"); !maps.Equal(got, less) {
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
