package flow

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"headgate/config/unit"
	"headgate/dispatch/target"
)

// Reason says why a target is held back.
type Reason string

// The reasons.
const (
	Breaker    Reason = "breaker"     // it failed too often; all workers leave it alone
	Recovery   Reason = "recovery"    // it is well again; the number of runs still rises
	Rate       Reason = "rate"        // the fleet has used up its rate
	RetryAfter Reason = "retry_after" // the backend asked for time; new deliveries wait
	Paused     Reason = "paused"      // an operator paused it
	Starting   Reason = "starting"    // what holds it back is not known yet

	// These two are found out by a run, which then waits as a delivery.
	NoRoom      Reason = "no_room"       // the backend has no room for a call
	MaxInFlight Reason = "max_in_flight" // as many batches are under way as may be
)

// Valve holds one target back in this process. All servers of the target share it.
type Valve struct {
	target string
	flow   *Flow

	mu      sync.Mutex
	changed chan struct{} // closed, and replaced, when waiting runs should look again
	breaker circuitbreaker.CircuitBreaker[any]
	limits  target.Limits
	spec    target.Breaker
	batched bool
	fleet   Fleet     // as last seen
	seen    bool      // whether it ever was
	held    time.Time // new deliveries wait until then
	holding bool      // somebody has waited for held
	news    news

	since     time.Time // of the breaker's state
	openUntil time.Time
	ramp      ramp
	tokens    tokens

	taken   []time.Time // when tasks were taken out whose runs have not begun yet
	running int
	waits   map[Reason]uint64
}

// news is what the other workers have to be told.
type news struct {
	tripped, reset bool
	hold           time.Time
}

// unconfigured holds for targets that Configure was never told of.
var unconfigured = target.Breaker{Failures: 10, OpenFor: unit.Duration(30 * time.Second)}

func newValve(f *Flow, name string) *Valve {
	v := &Valve{target: name, flow: f, changed: make(chan struct{}), waits: map[Reason]uint64{}}
	v.configure(&target.Plan{Breaker: unconfigured})
	return v
}

// notify is called with mu held.
func (v *Valve) notify() {
	close(v.changed)
	v.changed = make(chan struct{})
}

// Enter waits until something may be taken out of the target's queues. It returns false
// when the queue is to be passed over for now: it holds new deliveries (begun is false)
// and only those are held back; it holds batches, for which there is no token until again;
// or ctx has ended.
func (v *Valve) Enter(ctx context.Context, begun bool) (ok bool, again time.Time) {
	var counted Reason
	for {
		v.mu.Lock()
		now := time.Now()
		reason, until := v.shut(now)
		want := 0
		if reason == "" && !begun && v.hold(now) {
			held := v.held
			v.mu.Unlock()
			return false, held
		}
		if reason == "" && v.calls(begun) {
			want, until = v.tokens.missing(now, v.room(now))
			if want == 0 && !until.IsZero() {
				reason = Rate
			}
		}
		if reason != "" && reason != counted {
			v.waits[reason]++
			counted = reason
		}
		passedOver := reason == Rate && v.batched // batches wait; others may join them meanwhile
		changed := v.changed
		v.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return false, time.Time{}
		case want > 0:
			v.lease(ctx, want)
		case reason == "":
			return true, time.Time{}
		case passedOver:
			return false, until
		default:
			wait(ctx, changed, until)
		}
	}
}

// calls tells whether runs of a lane call the backend. New deliveries of a target with
// batches only join one; what is sent has begun. It is called with mu held.
func (v *Valve) calls(begun bool) bool { return begun || !v.batched }

// wait ends with ctx, with a change, and at the given time; the zero time is never.
func wait(ctx context.Context, changed <-chan struct{}, until time.Time) {
	var late <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-ctx.Done():
	case <-changed:
	case <-late:
	}
}

// shut tells why nothing may be taken out and when that may have changed by itself. It is
// called with mu held.
func (v *Valve) shut(now time.Time) (Reason, time.Time) {
	inflight := v.inflight(now)
	switch {
	case !v.seen:
		return Starting, time.Time{}
	case v.fleet.Order.Mode == Halted:
		return Paused, time.Time{}
	case v.breaker.IsOpen():
		return Breaker, time.Time{}
	case v.breaker.IsHalfOpen():
		if inflight > 0 {
			return Breaker, now.Add(takenFor)
		}
	default:
		if limit, next := v.ramp.limit(now, v.limits.Concurrency); limit > 0 && inflight >= limit {
			return Recovery, next
		}
	}
	return "", time.Time{}
}

// hold tells whether new deliveries wait. It is called with mu held.
func (v *Valve) hold(now time.Time) bool {
	waiting := now.Before(v.held)
	if waiting && !v.holding {
		v.waits[RetryAfter]++
	}
	v.holding = waiting
	return waiting
}

// room is how many runs may begin at once. It is called with mu held.
func (v *Valve) room(now time.Time) int {
	limit, _ := v.ramp.limit(now, v.limits.Concurrency)
	switch {
	case v.breaker.IsHalfOpen():
		limit = 1
	case limit == 0:
		limit = v.limits.Concurrency
	}
	return max(limit-v.inflight(now), 1)
}

// Room tells how many of the wanted tasks may be taken out at once, given that Enter has
// just let one through: what is more needs room among the runs under way, and tokens.
func (v *Valve) Room(begun bool, want int) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	if limit, _ := v.ramp.limit(now, v.limits.Concurrency); limit > 0 || !v.breaker.IsClosed() {
		want = min(want, v.room(now))
	}
	if v.calls(begun) {
		want = v.tokens.most(now, want)
	}
	return max(want, 1)
}

// takenFor is how long a task that was taken out counts without its run having begun:
// asynq drops one that it cannot read.
const takenFor = 5 * time.Second

func (v *Valve) inflight(now time.Time) int {
	for len(v.taken) > 0 && now.Sub(v.taken[0]) > takenFor {
		v.taken = v.taken[1:]
	}
	return len(v.taken) + v.running
}

// Took says that a task was taken out of a lane.
func (v *Valve) Took(begun bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.taken = append(v.taken, time.Now())
	if v.calls(begun) {
		v.tokens.use()
	}
}

// Begin says that a run of a task of a lane has begun. The run has the returned context; end
// says that it is over, and tells whether a token came back: see Calls.
func (v *Valve) Begin(ctx context.Context, begun bool) (_ context.Context, end func() (back bool)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.taken) > 0 {
		v.taken = v.taken[1:]
	}
	v.running++
	var r *run // nil: it took no token
	if v.calls(begun) && v.tokens.rate.Events > 0 {
		r = &run{rate: v.tokens.rate}
		ctx = context.WithValue(ctx, runKey{}, r)
	}
	return ctx, func() (back bool) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.running--
		if back = r != nil && !r.called.Load() && r.rate == v.tokens.rate; back {
			v.tokens.spare(time.Now())
		}
		v.notify()
		return back
	}
}

// run is one run, with the rate that its token was taken of.
type run struct {
	rate   unit.Rate
	called atomic.Bool
}

type runKey struct{}

// Calls says that the run of this context calls its backend. One that does not gives its token
// back: tasks that others were quicker than, records whose turn has not come.
func Calls(ctx context.Context) {
	if r, ok := ctx.Value(runKey{}).(*run); ok {
		r.called.Store(true)
	}
}
