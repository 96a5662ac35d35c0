package dispatch

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"headgate/config/unit"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
)

// Full says what there is no room in.
type Full string

// What can be full.
const (
	BacklogFull Full = "backlog" // of a target: of all tenants together
	TenantFull  Full = "tenant"  // of a target: the tenant's own
	MemoryFull  Full = "memory"  // the store
	// Draining is not full: an operator lets the target take no more.
	Draining Full = "draining"
)

// FullError refuses a request for want of room. Nothing was written.
type FullError struct {
	What   Full
	Target string // empty for MemoryFull
	Limit  int    // deliveries that have not ended; 0 for MemoryFull and Draining
	After  time.Duration
}

// Error implements error.
func (e *FullError) Error() string {
	switch e.What {
	case MemoryFull:
		return "the store's memory is used up to its limit"
	case TenantFull:
		return fmt.Sprintf("the tenant has %d deliveries for target %s under way, its limit", e.Limit, e.Target)
	case Draining:
		return fmt.Sprintf("target %s is being drained", e.Target)
	case BacklogFull:
	}
	return fmt.Sprintf("the backlog of target %s is at its limit of %d", e.Target, e.Limit)
}

// Admission refuses requests for which there is no room: in a target's backlog, in that
// of a tenant, in the store's memory; and those that feed a target which an operator drains.
// It decides by counts that it reads about once a second, together with what this process
// accepted since, so that asking costs nothing.
// What a request takes up of the memory is estimated until it is read.
//
// With more than one process a limit may so be exceeded by what the others accept
// between two readings. A tenant that this process hears of for the first time is counted
// from the next reading on.
type Admission struct {
	Store  tracking.Backlogs
	Memory unit.Fill // how full the store may be; zero: as full as it gets
	Log    *slog.Logger
	// Drained lists the targets that take no requests; nil: there are none.
	Drained func(ctx context.Context) ([]string, error)
	// Interval between two readings; default 1 s.
	Interval time.Duration
	// Refused is told of every refusal; may be nil.
	Refused func(target string, what Full)

	reading sync.Mutex // one at a time: what began earlier must not replace what is newer

	mu      sync.Mutex
	targets map[string]*gauge
	tenants *tenantGauges
	drained map[string]bool
	used    gauge // bytes of the store's memory
	memory  int64 // how many it has; 0: not known
}

// memoryRetry is Retry-After while the store is full: what frees memory is the end of
// deliveries and of their retention, which nobody can foretell.
const memoryRetry = 15 * time.Second

// drainRetry is Retry-After while a target is drained: how long that takes is up to people.
const drainRetry = 30 * time.Second

// room is what one request takes up until its outcome is known.
type room struct {
	a      *Admission
	gauges []*gauge
	bytes  int
}

// deliveryBytes is about what a delivery takes up in Redis besides its payload, its task
// and its rows included: measured with 100,000 of them on Redis 7.0.
const deliveryBytes = 1500

func bytesOf(m Mapped) int {
	n := 0
	for _, payload := range m.Payloads {
		n += deliveryBytes + len(payload)
	}
	return n
}

// enter takes room for one request, or refuses it with a *FullError. leave must follow.
func (a *Admission) enter(tenant string, f *Fanout, m Mapped) (room, error) {
	if a == nil {
		return room{}, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	full := a.memoryFull()
	var taken []*gauge
	for _, b := range f.Bindings {
		if full != nil {
			break
		}
		if m.Skipped[b.Plan.Name] {
			continue
		}
		var more []*gauge
		more, full = a.ask(tenant, b.Plan)
		taken = append(taken, more...)
	}
	if full != nil {
		if a.Refused != nil {
			a.Refused(full.Target, full.What)
		}
		return room{}, full
	}
	r := room{a, taken, bytesOf(m)}
	for _, g := range taken {
		g.inFlight++
	}
	a.used.inFlight += r.bytes
	return r, nil
}

// ask gives the gauges of a target's limits, or says which of them is reached. mu is held.
func (a *Admission) ask(tenant string, p *target.Plan) (out []*gauge, full *FullError) {
	if a.drained[p.Name] {
		return nil, &FullError{What: Draining, Target: p.Name, After: drainRetry}
	}
	if limit := p.Limits.Backlog; limit > 0 {
		g := a.target(p.Name)
		if g.estimate() >= limit {
			return nil, &FullError{What: BacklogFull, Target: p.Name, Limit: limit, After: g.roomAfter(limit)}
		}
		out = append(out, g)
	}
	if limit := p.Limits.BacklogPerTenant; limit > 0 {
		if a.tenants == nil {
			a.tenants = newTenantGauges()
		}
		g := &a.tenants.get(tracking.TenantRef{Target: p.Name, Tenant: tenant}, time.Now()).gauge
		if g.estimate() >= limit {
			return nil, &FullError{What: TenantFull, Target: p.Name, Limit: limit, After: g.roomAfter(limit)}
		}
		out = append(out, g)
	}
	return out, nil
}

// target gives a target's gauge; mu is held.
func (a *Admission) target(name string) *gauge {
	if a.targets == nil {
		a.targets = map[string]*gauge{}
	}
	g := a.targets[name]
	if g == nil {
		g = &gauge{}
		a.targets[name] = g
	}
	return g
}

func (a *Admission) memoryFull() *FullError {
	if bound := a.Memory.Of(a.memory); bound > 0 && int64(a.used.estimate()) >= bound {
		return &FullError{What: MemoryFull, After: memoryRetry}
	}
	return nil
}

// leave tells what became of the request: whether it was recorded, or may have been.
func (r room) leave(recorded bool) {
	if r.a == nil {
		return
	}
	r.a.mu.Lock()
	defer r.a.mu.Unlock()
	for _, g := range r.gauges {
		g.inFlight--
		if recorded {
			g.since++
		}
	}
	r.a.used.inFlight -= r.bytes
	if recorded {
		r.a.used.since += r.bytes
	}
}

// BacklogState is how a target's backlog stands, as far as this process knows.
type BacklogState struct {
	Target string
	Open   int
}

// State gives the backlogs of all targets that have one, and the store's memory with its
// bound in bytes; 0: there is none.
func (a *Admission) State() (backlogs []BacklogState, memory tracking.Memory, bound int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, g := range a.targets {
		backlogs = append(backlogs, BacklogState{Target: name, Open: g.estimate()})
	}
	memory = tracking.Memory{Used: int64(a.used.known), Max: a.memory}
	return backlogs, memory, a.Memory.Of(a.memory)
}

// Run reads the counts until ctx ends.
func (a *Admission) Run(ctx context.Context) {
	interval := a.Interval
	if interval == 0 {
		interval = time.Second
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := a.Read(ctx); err != nil && ctx.Err() == nil {
			a.Log.WarnContext(ctx, "the backlog could not be read; what is known of it holds", "error", err)
		}
	}
}
