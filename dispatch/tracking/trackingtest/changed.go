package trackingtest

import (
	"sync"
	"testing"
	"time"

	"headgate/dispatch/tracking"
)

var changedRules = map[string]func(*testing.T, tracking.Store){
	"changed receives once it stands": changedStands,
	"changed wakes at the end":        changedWakes,
	"changed loses no wake-up":        changedHammer,
	"changed wakes all who wait":      changedMany,
	"changed may be stopped twice":    changedStop,
}

// wait takes one wake-up.
func wait(t testing.TB, wake <-chan struct{}, what string) bool {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case <-wake:
		return true
	case <-timeout.C:
		t.Errorf("not woken within %v: %s", patience, what)
		return false
	}
}

func changedStands(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm")
	for range 3 {
		wake, stop := s.Changed(t.Context(), d.ID)
		wait(t, wake, "the subscription stands")
		stop()
	}
	// Each of several who wait is told, the later ones too: the change may lie between
	// their read and their subscription.
	for range 3 {
		wake, stop := s.Changed(t.Context(), d.ID)
		defer stop()
		wait(t, wake, "the subscription of another waiter stands")
	}
}

// awaitEnd reads the record until it is final, as a request that waits does.
func awaitEnd(t testing.TB, s tracking.Store, id string) {
	t.Helper()
	if d, err := s.Load(t.Context(), id); err != nil || d.Status() != tracking.InProgress {
		if err != nil {
			t.Error(err)
		}
		return
	}
	wake, stop := s.Changed(t.Context(), id)
	defer stop()
	for wait(t, wake, "a change of "+id) {
		d, err := s.Load(t.Context(), id)
		if err != nil {
			t.Error(err)
			return
		}
		if d.Status() != tracking.InProgress {
			return
		}
	}
}

func changedWakes(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm", "mail")
	var ended sync.WaitGroup
	ended.Go(func() { awaitEnd(t, s, d.ID) })
	step(t, s, ref(d, "crm"), succeeded())
	step(t, s, ref(d, "mail"), tracking.NotYet{After: time.Hour})
	step(t, s, ref(d, "mail"), failedFor(0, true))
	ended.Wait()
}

// changedHammer ends deliveries at every moment between the read, the subscription and
// its confirmation.
func changedHammer(t *testing.T, s tracking.Store) {
	const rounds, lanes = 40, 8
	var all sync.WaitGroup
	for range lanes {
		all.Go(func() {
			for i := range rounds {
				a := acceptance(t, "", "crm")
				if _, err := s.Accept(t.Context(), a); err != nil {
					t.Error(err)
					return
				}
				r := ref(a.Dispatch, "crm")
				c, err := s.Claim(t.Context(), r, 1, "run", long)
				if err != nil {
					t.Error(err)
					return
				}
				var both sync.WaitGroup
				both.Go(func() { awaitEnd(t, s, a.Dispatch.ID) })
				for range i % 4 { // a few round trips of head start
					if _, err := s.Load(t.Context(), a.Dispatch.ID); err != nil {
						t.Error(err)
					}
				}
				if err := s.Apply(t.Context(), r, c.Delivery.Fence, tracking.Apply(c.Delivery, succeeded(), c.Now)); err != nil {
					t.Error(err)
				}
				both.Wait()
				if t.Failed() {
					return
				}
			}
		})
	}
	all.Wait()
}

func changedMany(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm")
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if i%3 == 0 { // one that leaves early must not take the others along
				wake, stop := s.Changed(t.Context(), d.ID)
				wait(t, wake, "the subscription stands")
				stop()
				return
			}
			awaitEnd(t, s, d.ID)
		})
	}
	step(t, s, ref(d, "crm"), succeeded())
	all.Wait()
}

func changedStop(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm")
	_, stop := s.Changed(t.Context(), d.ID)
	stop()
	wake, stopOther := s.Changed(t.Context(), d.ID)
	defer stopOther()
	stop() // the second time it is nobody's business any more
	wait(t, wake, "the subscription stands")
	step(t, s, ref(d, "crm"), succeeded())
	wait(t, wake, "the end")
}
