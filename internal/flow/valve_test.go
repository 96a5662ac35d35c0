package flow

import (
	"testing"
	"time"

	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
)

// What is taken out in one lot keeps to the same bounds as what is taken out one by one.
func TestRoom(t *testing.T) {
	const want = 12
	for name, c := range map[string]struct {
		limits target.Limits
		fleet  Fleet
		rooms  []int // each with one more taken out than the one before
	}{
		"well":                 {sixteen, Fleet{}, []int{12, 12, 12}},
		"with tokens":          {limited(100, 16), Fleet{}, []int{3, 2, 1}},
		"with a probe to make": {sixteen, Fleet{Open: true, Mine: true}, []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			store := &fakeStore{leases: []int{3}, fleet: map[string]Fleet{"crm": c.fleet}}
			_, v := newFlow(t, store, c.limits)
			for i, room := range c.rooms {
				if !lets(t, v, false) {
					t.Fatalf("not let through with %d taken out", i)
				}
				if got := v.Room(false, want); got != room {
					t.Errorf("with %d taken out there is room for %d, want %d", i, got, room)
				}
				v.Took(false)
			}
		})
	}
}

// After a breaker closed, a lot is no larger than the number of runs has risen to.
func TestRoomWhileRecovering(t *testing.T) {
	store := &fakeStore{fleet: map[string]Fleet{"crm": {Open: true, OpenFor: time.Minute}}}
	f, v := newFlow(t, store, sixteen)
	f.o.Timing.Ramp = time.Minute
	store.with(func() { store.fleet = nil })
	agree(t, f)
	if !lets(t, v, false) || v.Room(false, 12) != 1 {
		t.Error("more than one at a time just after the breaker closed")
	}
}

// What a run had to wait for is counted as well as what no run was begun for.
func TestRunsThatFindNoRoomCount(t *testing.T) {
	f, v := newFlow(t, &fakeStore{}, sixteen)
	f.Observe(told(tracking.Deferred{}))
	f.Observe(told(tracking.Deferred{Answer: tracking.Answer{HTTPStatus: 429}}))
	f.Observe(told(tracking.Deferred{Answer: tracking.Answer{HTTPStatus: 429}}))
	if waits := v.State().Waits; waits[MaxInFlight] != 1 || waits[NoRoom] != 2 {
		t.Errorf("waits %v", waits)
	}
}
