package trackingtest

import (
	"testing"

	"headgate/dispatch/tracking"
)

func batchFlight(t *testing.T, s tracking.Store) {
	target := unique("mail")
	begun := func() tracking.Joined {
		_, j := joined(t, s, target, gathering(t, target, 1))
		return j
	}
	launch := func(j tracking.Joined, want bool) {
		t.Helper()
		for range 2 { // as by two runs of which the first was killed
			if room, err := s.Launch(t.Context(), j.Batch, 2); err != nil || room != want {
				t.Fatalf("launched: %v (%v), want %v", room, err, want)
			}
		}
	}
	land := func(j tracking.Joined, want string) {
		t.Helper()
		if next, err := s.Land(t.Context(), j.Batch); err != nil || next != want {
			t.Fatalf("the next is %q (%v), want %q", next, err, want)
		}
	}
	one, two, three, four := begun(), begun(), begun(), begun()
	launch(one, true)
	launch(two, true)
	launch(three, false)
	launch(four, false)
	land(one, three.Batch.Tracking)
	launch(three, true)
	launch(four, false)

	// A worker that died before it told of an end blocks nobody.
	c := claim(t, s, two.Batch, two.Seq, "run", long)
	ended := tracking.Settling(tracking.Apply(c.Delivery, succeeded(), c.Now))
	must(t, s.Apply(t.Context(), two.Batch, c.Delivery.Fence, ended))
	launch(four, false) // its end is not yet handed on
	c = claim(t, s, two.Batch, ended.Seq, "run", long)
	must(t, s.Apply(t.Context(), two.Batch, c.Delivery.Fence, tracking.Settled(c.Delivery, c.Now)))
	launch(four, true)
	land(two, "")
	launch(three, true)

	// Other targets have room of their own.
	target = unique("mail")
	launch(begun(), true)
}
