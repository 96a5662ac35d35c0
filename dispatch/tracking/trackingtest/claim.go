package trackingtest

import (
	"errors"
	"reflect"
	"sync"
	"testing"

	"headgate/dispatch/tracking"
)

var claimRules = map[string]func(*testing.T, tracking.Store){
	"claim gives the delivery":                     claimGives,
	"claim with another seq is stale":              claimStale,
	"claim of a final delivery is stale":           claimFinal,
	"claim of a held delivery":                     claimHeld,
	"claim twice with one token":                   claimTwice,
	"claim after the hold fences the old run":      claimAfterHold,
	"claim has one winner":                         claimOneWinner,
	"claim refuses a token that cannot be written": claimBadToken,
	"a run may end late when nobody took over":     lateButFirst,
}

func claimGives(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm")
	c := claim(t, s, ref(d, "crm"), 1, "run-1", long)
	want := d.Deliveries["crm"]
	want.Phase, want.Lane, want.Token = tracking.Running, tracking.LaneResume, "run-1"
	if !reflect.DeepEqual(c.Delivery, want) {
		t.Errorf("claimed %+v, want %+v", c.Delivery, want)
	}
	if c.Now.Before(c.Dispatch.AcceptedAt) || c.Dispatch.Params["id"] != "42" || string(c.Payload) != `{"for":"crm"}` {
		t.Errorf("claimed %+v with %s at %v", c.Dispatch, c.Payload, c.Now)
	}
	if got := load(t, s, d.ID).Deliveries["crm"]; !reflect.DeepEqual(got, want) {
		t.Errorf("recorded %+v, want %+v", got, want)
	}
}

func claimStale(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm")
	for _, seq := range []int{0, 2, 11, -1} {
		c, err := s.Claim(t.Context(), ref(d, "crm"), seq, "run", long)
		wantErr(t, "Claim", err, tracking.ErrStale)
		if c == nil || !reflect.DeepEqual(c.Delivery, d.Deliveries["crm"]) {
			t.Errorf("seq %d: %+v, want the delivery as recorded", seq, c)
		}
	}
	claim(t, s, ref(d, "crm"), 1, "run", long) // none of it did any harm
}

func claimFinal(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm")
	end := step(t, s, ref(d, "crm"), succeeded())
	for _, seq := range []int{1, end.Seq} {
		c, err := s.Claim(t.Context(), ref(d, "crm"), seq, "run", long)
		wantErr(t, "Claim", err, tracking.ErrStale)
		if c == nil || c.Delivery.State != tracking.Succeeded {
			t.Errorf("seq %d: %+v, want the delivery", seq, c)
		}
	}
}

func claimHeld(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm", "mail")
	claim(t, s, ref(d, "crm"), 1, "run-1", long)
	_, err := s.Claim(t.Context(), ref(d, "crm"), 1, "run-2", long)
	wantErr(t, "Claim by another", err, tracking.ErrHeld)
	claim(t, s, ref(d, "mail"), 1, "run-2", long) // a neighbour is not held
}

func claimTwice(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm")
	r := ref(d, "crm")
	claim(t, s, r, 1, "run-1", short)
	again := claim(t, s, r, 1, "run-1", long)
	if again.Delivery.Token != "run-1" || string(again.Payload) != `{"for":"crm"}` || again.Dispatch == nil {
		t.Errorf("claimed again: %+v", again)
	}
	// The second claim counts: nobody gets in when the first hold has run out.
	eventually(t, "the end of the first hold", func() bool {
		c, err := s.Claim(t.Context(), r, 1, "run-2", long)
		if !errors.Is(err, tracking.ErrHeld) {
			t.Fatalf("another run got %+v, %v while the hold lasts", c, err)
		}
		renewed := claim(t, s, r, 1, "run-1", long)
		return renewed.Now.Sub(again.Now) > 2*short
	})
	apply(t, s, r, again.Delivery, succeeded(), again.Now)
}

func claimAfterHold(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm")
	r := ref(d, "crm")
	first := claim(t, s, r, 1, "run-1", short)
	eventually(t, "an overdue row", func() bool {
		rows, err := s.Overdue(t.Context(), 0, 1000)
		return err == nil && hasRow(rows, r)
	})
	_, err := s.Claim(t.Context(), r, 1, "run-2", long)
	wantErr(t, "Claim by another run after the hold", err, tracking.ErrHeld)
	must(t, s.Apply(t.Context(), r, first.Delivery.Fence, tracking.TakeOver(first.Delivery)))
	second := claim(t, s, r, 2, "run-2", long)
	late := tracking.Apply(first.Delivery, failedFor(0, true), first.Now)
	wantErr(t, "Apply by the old run", s.Apply(t.Context(), r, first.Delivery.Fence, late), tracking.ErrFenced)
	_, err = s.Claim(t.Context(), r, 1, "run-1", long)
	wantErr(t, "Claim by the old run", err, tracking.ErrStale)
	apply(t, s, r, second.Delivery, succeeded(), second.Now)
	if got := load(t, s, d.ID).Deliveries["crm"].State; got != tracking.Succeeded {
		t.Errorf("state %s, want what the second run wrote", got)
	}
}

func claimOneWinner(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm")
	var all sync.WaitGroup
	var mu sync.Mutex
	var winners []*tracking.Claimed
	for range 16 {
		all.Go(func() {
			c, err := s.Claim(t.Context(), ref(d, "crm"), 1, unique("run"), long)
			switch {
			case err == nil:
				mu.Lock()
				winners = append(winners, c)
				mu.Unlock()
			case !errors.Is(err, tracking.ErrHeld):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(winners) != 1 {
		t.Fatalf("%d runs got the delivery", len(winners))
	}
	apply(t, s, ref(d, "crm"), winners[0].Delivery, succeeded(), winners[0].Now)
}

func claimBadToken(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm")
	for _, token := range []string{"", "-", "a b", "a\n", "ü"} {
		_, err := s.Claim(t.Context(), ref(d, "crm"), 1, token, long)
		wantErr(t, "Claim as "+quote(token), err, tracking.ErrInvalid)
	}
	step(t, s, ref(d, "crm"), succeeded()) // none of it did any harm
}

func lateButFirst(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm")
	r := ref(d, "crm")
	c := claim(t, s, r, 1, "run-1", short)
	eventually(t, "the end of the hold", func() bool {
		rows, err := s.Overdue(t.Context(), 0, manyRows)
		if err != nil {
			t.Fatal(err)
		}
		return hasRow(rows, r)
	})
	apply(t, s, r, c.Delivery, succeeded(), c.Now)
}
