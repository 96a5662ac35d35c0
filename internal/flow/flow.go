// Package flow owns what holds a target back: its breaker, its rate, the time that a
// backend asked for, a pause. All of it holds for the whole fleet of workers, through a
// Store that they share. It knows neither queue nor Redis: whoever takes tasks out of a
// queue asks the target's Valve first.
package flow

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/target"
)

// Timing of the fleet. Tests use shorter spans.
type Timing struct {
	// Look is how often the store is asked: what bounds how long a change whose message was
	// lost stays unseen.
	Look time.Duration
	// Right is how long the right to probe lasts without being renewed: what bounds how
	// long nobody probes after the prober was killed.
	Right time.Duration
	// Ramp is the time between two steps after a breaker closed; each doubles how many
	// runs may be under way in this process.
	Ramp time.Duration
	// Longest bounds how long a breaker stays open, in multiples of the target's open_for.
	Longest int
}

// Defaults gives the timing of the product.
func Defaults() Timing {
	return Timing{Look: time.Second, Right: 5 * time.Second, Ramp: time.Second, Longest: 10}
}

// Options of New.
type Options struct {
	Store  Store
	Worker string // names this process among the workers; must be its own
	Log    *slog.Logger
	Timing Timing // zero: Defaults
}

// Flow is what holds the targets of one process back.
type Flow struct {
	o    Options
	kick chan struct{} // something is to be announced

	mu     sync.Mutex
	valves map[string]*Valve
}

// New makes a Flow without targets. Run keeps it in step with the other workers.
func New(o Options) *Flow {
	if o.Timing == (Timing{}) {
		o.Timing = Defaults()
	}
	return &Flow{o: o, kick: make(chan struct{}, 1), valves: map[string]*Valve{}}
}

// Valve gives the valve of a target. One that Configure was not told of has no rate and
// the breaker of a plan that says nothing.
func (f *Flow) Valve(name string) *Valve {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.valves[name]
	if v == nil {
		v = newValve(f, name)
		f.valves[name] = v
		f.announce() // it is shut until the first look
	}
	return v
}

// Configure says how a target may be fed. It can be called again when plans change; what
// holds the target back stays as it is.
func (f *Flow) Configure(p *target.Plan) {
	f.Valve(p.Name).configure(p)
}

// Observe takes in what a run came to. It never waits for the store.
func (f *Flow) Observe(a dispatch.Attempt) { f.Valve(a.Target).record(a) }

// Forget drops a target that nothing is taken out for any longer.
func (f *Flow) Forget(target string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.valves, target)
}

// States tells how all targets stand, sorted by name.
func (f *Flow) States() []State {
	all := f.all()
	out := make([]State, 0, len(all))
	for _, v := range all {
		out = append(out, v.State())
	}
	return out
}

func (f *Flow) all() []*Valve {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]*Valve, 0, len(f.valves))
	for _, name := range slices.Sorted(maps.Keys(f.valves)) {
		out = append(out, f.valves[name])
	}
	return out
}

// announce lets Run tell the others soon.
func (f *Flow) announce() {
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

// Run keeps all targets in step with the other workers until ctx ends: one look for all
// of them when something changes, and after Timing.Look at the latest. While the store is
// away, what was known last holds.
func (f *Flow) Run(ctx context.Context) {
	changes, end := f.o.Store.Changes(ctx)
	defer end()
	timer := time.NewTimer(0)
	defer timer.Stop()
	away := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-changes:
		case <-f.kick:
		case <-timer.C:
		}
		pause := f.o.Timing.Look
		err := f.sync(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			pause = f.untilNext()
		case !away:
			f.o.Log.WarnContext(ctx, "workers cannot agree on what holds targets back; what was known last holds", "error", err)
		}
		away = err != nil
		timer.Reset(pause)
	}
}

// sync tells the others what is new here and sees what is new there.
func (f *Flow) sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	all := f.all()
	if len(all) == 0 {
		return nil
	}
	var probing []string
	for _, v := range all {
		if err := v.tell(ctx); err != nil {
			return err
		}
		if v.wantsProbe(time.Now()) {
			probing = append(probing, v.target)
		}
	}
	fleet, err := f.o.Store.Look(ctx, f.o.Worker, probing, f.o.Timing.Right)
	if err != nil {
		return err
	}
	for _, v := range all {
		v.see(fleet[v.target])
	}
	return nil
}

// storeTimeout bounds one exchange with the store.
const storeTimeout = 2 * time.Second

// untilNext is the time until some breaker may be probed, if that is soon.
func (f *Flow) untilNext() time.Duration {
	next := f.o.Timing.Look
	for _, v := range f.all() {
		if d := v.untilProbe(time.Now()); d > 0 {
			next = min(next, d)
		}
	}
	return next
}
