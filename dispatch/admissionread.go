package dispatch

import (
	"context"
	"errors"
	"time"

	"headgate/dispatch/tracking"
)

// readWithin bounds one reading of the counts. idleTenant is how long a tenant that
// sends nothing is read on.
const (
	readWithin = 3 * time.Second
	idleTenant = time.Minute
)

// Read reads the counts once, and what is drained. Where there is an error, what is known
// stays.
func (a *Admission) Read(ctx context.Context) error {
	a.reading.Lock()
	defer a.reading.Unlock()
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	return errors.Join(a.readDrained(ctx), a.readCounts(ctx))
}

func (a *Admission) readDrained(ctx context.Context) error {
	if a.Drained == nil {
		return nil
	}
	names, err := a.Drained(ctx)
	if err != nil {
		return err
	}
	drained := make(map[string]bool, len(names))
	for _, name := range names {
		drained[name] = true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drained = drained
	return nil
}

func (a *Admission) readCounts(ctx context.Context) error {
	now, tenants := time.Now(), a.begin()
	names := make([]tracking.TenantRef, len(tenants))
	for i, g := range tenants {
		names[i] = g.who
	}
	found, err := a.Store.Backlog(ctx, names)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for name := range found.Targets {
		a.target(name)
	}
	for name, g := range a.targets {
		g.settle(found.Targets[name], now) // one that has come to nothing stays, and says so
	}
	for _, g := range tenants {
		g.settle(found.Tenants[g.who], now)
	}
	wasFull := a.memoryFull() != nil
	a.memory = found.Memory.Max
	a.used.settle(int(found.Memory.Used), now)
	if isFull := a.memoryFull() != nil; isFull != wasFull {
		if isFull {
			a.Log.WarnContext(ctx, "the store is nearly full; no requests are taken until deliveries have ended",
				"used", a.used.known, "limit", a.Memory.Of(a.memory))
		} else {
			a.Log.InfoContext(ctx, "the store has room again; requests are taken", "used", a.used.known)
		}
	}
	return nil
}

// begin marks what the reading that begins now will count, and gives the tenants to read.
// What was accepted before has ended before; what is in flight may be counted twice for
// one interval.
func (a *Admission) begin() []*tenantGauge {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, g := range a.targets {
		g.marked = g.since
	}
	a.used.marked = a.used.since
	if a.tenants == nil {
		return nil
	}
	a.tenants.forget(time.Now().Add(-idleTenant))
	tenants := a.tenants.all()
	for _, g := range tenants {
		g.marked = g.since
	}
	return tenants
}
