package flow

import (
	"maps"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

// BreakerState is how a breaker stands. Its numbers are those of the metric.
type BreakerState int

// The states. A breaker whose time is over stays Open in all workers but the one that
// probes.
const (
	Closed BreakerState = iota
	HalfOpen
	Open
)

// String names the state.
func (s BreakerState) String() string { return [...]string{"closed", "half-open", "open"}[s] }

// State is how a target stands in this process.
type State struct {
	Target  string
	Breaker BreakerState
	OpenFor time.Duration // how long the breaker stays open
	Held    time.Duration // how long new deliveries are held back
	Order   Order
	Limit   int // runs at a time while the target recovers; zero: as configured
	Running int
	Slots   int               // runs at a time as configured
	Waits   map[Reason]uint64 // how often something had to wait so far
}

// State tells how the target stands.
func (v *Valve) State() State {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	out := State{
		Target: v.target, Order: v.fleet.Order, Running: v.running, Slots: v.limits.Concurrency,
		Held: max(v.held.Sub(now), 0), Waits: maps.Clone(v.waits),
	}
	out.Limit, _ = v.ramp.limit(now, v.limits.Concurrency)
	switch v.breaker.State() {
	case circuitbreaker.ClosedState:
	case circuitbreaker.HalfOpenState:
		out.Breaker = HalfOpen
	case circuitbreaker.OpenState:
		out.Breaker, out.OpenFor = Open, max(v.openUntil.Sub(now), 0)
	}
	return out
}
