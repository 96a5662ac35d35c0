package flow

import (
	"context"
	"log/slog"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"headgate/dispatch"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
)

// configure is also the last step of making a valve.
func (v *Valve) configure(p *target.Plan) {
	v.mu.Lock()
	defer v.mu.Unlock()
	b, l := p.Breaker, p.Limits
	if v.breaker == nil || v.spec.Failures != b.Failures {
		old := v.breaker
		// The library counts failures in a row and decides. Its own delay is not used: when
		// to probe, and who, is decided for all workers.
		v.breaker = circuitbreaker.NewBuilder[any]().WithFailureThreshold(uint(b.Failures)).WithSuccessThreshold(1).Build()
		switch {
		case old != nil && old.IsOpen():
			v.breaker.Open()
		case old != nil && old.IsHalfOpen():
			v.breaker.HalfOpen()
		}
	}
	v.spec, v.limits, v.batched = b, l, p.Batch != nil
	if v.tokens.rate != l.Rate {
		v.tokens = tokens{rate: l.Rate}
	}
	v.notify()
}

// record takes in what a run came to. A run that began before the breaker came into its
// state says nothing on that state: a call that hung since before a probe must not decide
// for the probe.
func (v *Valve) record(a dispatch.Attempt) {
	verdict, hold := judge(a.Event)
	v.mu.Lock()
	defer v.mu.Unlock()
	if d, ok := a.Event.(tracking.Deferred); ok {
		reason := NoRoom
		if d.HTTPStatus == 0 { // nobody was called
			reason = MaxInFlight
		}
		v.waits[reason]++
	}
	now := time.Now()
	if hold > 0 && now.Add(hold).After(v.held) {
		v.held, v.news.hold = now.Add(hold), now.Add(hold)
		v.flow.announce()
	}
	if now.Add(-a.Duration).Before(v.since) {
		return
	}
	before := v.breaker.State()
	switch verdict {
	case well:
		v.breaker.RecordSuccess()
	case ill:
		v.breaker.RecordFailure()
		v.ramp.stumbled = true
	case silent:
	}
	after := v.breaker.State()
	switch {
	case before == after:
		return
	case after == circuitbreaker.OpenState:
		v.news = news{tripped: true, hold: v.news.hold}
		// How long is the store's to say; until it does, this process goes by itself.
		v.openUntil = now.Add(v.spec.OpenFor.D())
	case after == circuitbreaker.ClosedState:
		v.news = news{reset: true, hold: v.news.hold}
	}
	v.entered(now)
	v.flow.announce()
}

// entered is called with mu held, after the breaker came into another state.
func (v *Valve) entered(now time.Time) {
	state := v.breaker.State()
	v.since = now
	v.ramp = ramp{}
	if state == circuitbreaker.ClosedState {
		v.ramp = ramp{runs: 1, next: now.Add(v.flow.o.Timing.Ramp), step: v.flow.o.Timing.Ramp}
	}
	v.notify()
	level := slog.LevelInfo
	if state == circuitbreaker.OpenState {
		level = slog.LevelWarn
	}
	v.flow.o.Log.Log(context.Background(), level, "breaker changed", "target", v.target, "state", state.String())
}

// tell announces what is new here. What could not be told stays to be told.
func (v *Valve) tell(ctx context.Context) error {
	v.mu.Lock()
	told, openFor := v.news, v.spec.OpenFor.D()
	v.mu.Unlock()
	store, now := v.flow.o.Store, time.Now()
	var err error
	switch {
	case told.tripped:
		err = store.Trip(ctx, v.target, v.flow.o.Worker, openFor, openFor*time.Duration(v.flow.o.Timing.Longest))
	case told.reset:
		err = store.Reset(ctx, v.target)
	}
	if err == nil && told.hold.After(now) {
		err = store.Hold(ctx, v.target, told.hold.Sub(now))
	}
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.news == told { // nothing newer has come up meanwhile
		v.news = news{}
	}
	return nil
}

// see takes in what all workers know. A state of the breaker that the others have not
// been told of yet is newer than theirs.
func (v *Valve) see(f Fleet) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	if f.Order.Mode != v.fleet.Order.Mode || !v.seen {
		v.notify()
	}
	v.fleet, v.seen = f, true
	if v.news.hold.IsZero() {
		v.held = now.Add(f.Held)
	}
	if v.news.tripped || v.news.reset {
		return
	}
	if v.openUntil = (time.Time{}); f.Open {
		v.openUntil = now.Add(f.OpenFor)
	}
	before := v.breaker.State()
	switch {
	case f.Open && f.OpenFor == 0 && f.Mine:
		v.breaker.HalfOpen()
	case f.Open:
		v.breaker.Open()
	default:
		v.breaker.Close()
	}
	if v.breaker.State() != before {
		v.entered(now)
	}
}

// wantsProbe tells whether this process could probe now, or is doing so.
func (v *Valve) wantsProbe(now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.fleet.Order.Mode == Halted, v.news.tripped, v.news.reset:
		return false
	case v.breaker.IsHalfOpen():
		return true
	}
	return v.breaker.IsOpen() && !now.Before(v.openUntil) && v.inflight(now) == 0
}

// untilProbe is the time until the breaker may be probed; zero when it is not open, or
// may be already.
func (v *Valve) untilProbe(now time.Time) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.breaker.IsOpen() {
		return 0
	}
	return max(v.openUntil.Sub(now), 0)
}

// ramp lets a target that was left alone come back slowly.
type ramp struct {
	runs     int // at most at a time; zero: no limit
	next     time.Time
	step     time.Duration
	stumbled bool // a run failed since the last step: the number does not rise
}

// limit gives how many runs may be under way, zero for any number, and when that changes.
func (r *ramp) limit(now time.Time, full int) (int, time.Time) {
	for r.runs > 0 && !now.Before(r.next) {
		if !r.stumbled {
			r.runs *= 2
		}
		r.stumbled = false
		r.next = r.next.Add(r.step)
		if r.runs >= full {
			*r = ramp{}
		}
	}
	return r.runs, r.next
}
