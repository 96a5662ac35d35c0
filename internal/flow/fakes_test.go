package flow

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"headgate/config/unit"
	"headgate/dispatch"
	"headgate/dispatch/fault"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Leaks(m) }

// fakeStore answers what it is told to answer.
type fakeStore struct {
	mu      sync.Mutex
	fleet   map[string]Fleet
	away    bool
	trips   int
	resets  int
	holds   int
	probing []string
	leases  []int  // what each lease gives; none after the last
	during  func() // what happens while a lease is under way
	given   int    // tokens given back
	looks   int
}

var errAway = errors.New("away")

func (s *fakeStore) with(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

func (s *fakeStore) call(do func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return errAway
	}
	do()
	return nil
}

func (s *fakeStore) Look(_ context.Context, _ string, probing []string, _ time.Duration) (out map[string]Fleet, err error) {
	err = s.call(func() {
		out, s.probing = map[string]Fleet{}, probing
		s.looks++
		for name, f := range s.fleet {
			out[name] = f
		}
	})
	return out, err
}
func (s *fakeStore) Trip(_ context.Context, target, _ string, openFor, _ time.Duration) error {
	return s.call(func() { s.trips++; s.fleet = map[string]Fleet{target: {Open: true, OpenFor: openFor}} })
}
func (s *fakeStore) Reset(context.Context, string) error {
	return s.call(func() { s.resets++; s.fleet = nil })
}
func (s *fakeStore) Hold(context.Context, string, time.Duration) error {
	return s.call(func() { s.holds++ })
}
func (s *fakeStore) Lease(_ context.Context, _ string, _ time.Duration, _, want int) (got int, wait time.Duration, err error) {
	if s.during != nil {
		s.during()
	}
	err = s.call(func() {
		if wait = time.Hour; len(s.leases) > 0 {
			got, s.leases = min(s.leases[0], want), s.leases[1:]
		}
	})
	return got, wait, err
}
func (s *fakeStore) Return(_ context.Context, _ string, _ time.Duration, n int) error {
	return s.call(func() { s.given += n })
}
func (s *fakeStore) Changes(context.Context) (<-chan struct{}, func()) { return nil, func() {} }

// newFlow makes a Flow for one target, without running it: tests call sync.
func newFlow(t *testing.T, store *fakeStore, limits target.Limits) (*Flow, *Valve) {
	t.Helper()
	timing := Defaults()
	timing.Ramp = 20 * time.Millisecond
	f := New(Options{Store: store, Worker: "w", Log: slog.New(slog.DiscardHandler), Timing: timing})
	f.Configure(&target.Plan{Name: "crm", Limits: limits, Breaker: target.Breaker{Failures: 3, OpenFor: unit.Duration(time.Minute)}})
	agree(t, f)
	return f, f.Valve("crm")
}

func agree(t *testing.T, f *Flow) {
	t.Helper()
	if err := f.sync(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// sixteen are the limits of a target that says nothing.
var sixteen = target.Limits{Concurrency: 16}

// told is a run that ended just now.
func told(e tracking.Event) dispatch.Attempt {
	return dispatch.Attempt{Ref: tracking.Ref{Tracking: "trk_1", Target: "crm"}, Event: e}
}

func failed(reason fault.Reason) tracking.Event {
	return tracking.AttemptFailed{Fault: &fault.Fault{Reason: reason}}
}

// lets reports whether something may be taken out at once.
func lets(t *testing.T, v *Valve, begun bool) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	ok, _ := v.Enter(ctx, begun)
	return ok
}
