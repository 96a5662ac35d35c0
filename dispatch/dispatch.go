// Package dispatch owns how one request becomes many tracked deliveries: accepting,
// running, repairing. It knows no HTTP server, no Redis and no queue by name; what it
// needs of them are the interfaces tracking.Store and Queue.
package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"headgate/dispatch/trace"
	"headgate/dispatch/tracking"
	"headgate/internal/failpoint"
)

// Dispatcher accepts requests and answers what became of them. It implements Acceptor.
type Dispatcher struct {
	store tracking.Store
	queue Queue
	saved sync.Map // plan hash -> time.Time when it was last saved
	room  *Admission
	trace trace.Tracer
}

// NewDispatcher makes a dispatcher.
func NewDispatcher(store tracking.Store, queue Queue) *Dispatcher {
	return &Dispatcher{store: store, queue: queue}
}

// Admit has a ask for room before anything of a request is written; without it there
// always is. It is to be called before the dispatcher is used.
func (d *Dispatcher) Admit(a *Admission) *Dispatcher {
	d.room = a
	return d
}

// Trace has spans made of what is accepted. It is to be called before the dispatcher is used.
func (d *Dispatcher) Trace(t trace.Tracer) *Dispatcher {
	d.trace = t
	return d
}

var _ Acceptor = (*Dispatcher)(nil)

// Lookup implements Acceptor.
func (d *Dispatcher) Lookup(ctx context.Context, idem Idem) (Receipt, bool, error) {
	row, err := d.store.Idem(ctx, idem.Hash)
	if row == nil {
		return Receipt{}, false, err
	}
	receipt, err := confirmed(replay(row, idem), err)
	return receipt, err == nil, err
}

// confirmed is the answer to a repeated request: while it is not certain that what it is
// about stays, nothing may be promised again either.
func confirmed(r Receipt, err error) (Receipt, error) {
	if errors.Is(err, tracking.ErrOutcomeUnknown) && !r.Conflict {
		return Receipt{}, &OutcomeUnknownError{ID: r.ID, Err: err}
	}
	return r, nil
}

func replay(row *tracking.IdemRow, idem Idem) Receipt {
	if row.Fingerprint != idem.Fingerprint {
		return Receipt{Conflict: true}
	}
	return Receipt{ID: row.ID, Targets: row.First, Replayed: true}
}

// Accept implements Acceptor. The record is written first; only then are tasks queued.
// When queueing fails the dispatch is accepted all the same: its due rows bring it to
// the reconciler.
func (d *Dispatcher) Accept(ctx context.Context, f *Fanout, m Mapped, in Intake) (Receipt, error) {
	ctx, end := d.trace.Start(ctx, trace.Accept, trace.Facts{Route: f.Route, Records: len(f.Bindings)})
	receipt, err := d.accept(ctx, f, m, in)
	end(trace.Facts{Tracking: receipt.ID, Failed: err != nil})
	return receipt, err
}

func (d *Dispatcher) accept(ctx context.Context, f *Fanout, m Mapped, in Intake) (Receipt, error) {
	room, err := d.room.enter(in.Tenant, f, m)
	if err != nil {
		return Receipt{}, err
	}
	recorded := false
	defer func() { room.leave(recorded) }()
	if err := d.savePlans(ctx, f); err != nil {
		return Receipt{}, err
	}
	acceptance, first, tasks, err := record(f, m, in, trace.From(ctx))
	if err != nil {
		return Receipt{}, fmt.Errorf("make a tracking id: %w", err)
	}
	id := acceptance.Dispatch.ID
	taken, err := d.write(ctx, acceptance, len(m.Keys) > 0)
	recorded = err == nil && taken == nil || errors.Is(err, tracking.ErrOutcomeUnknown)
	switch {
	case taken != nil:
		return confirmed(replay(taken, *in.Idem), err)
	case errors.Is(err, tracking.ErrOutcomeUnknown):
		return Receipt{}, &OutcomeUnknownError{ID: id, Err: err}
	case err != nil:
		return Receipt{}, err
	}
	failpoint.Hit("gateway.accepted")
	for i := range tasks {
		tasks[i].Lane = acceptance.Dispatch.Deliveries[tasks[i].Target].Lane
	}
	d.queue.Submit(tasks...)
	return Receipt{ID: id, Targets: first}, nil
}

// write records an acceptance, after the places of its ordered deliveries in their lines.
func (d *Dispatcher) write(ctx context.Context, a *tracking.Acceptance, ordered bool) (taken *tracking.IdemRow, err error) {
	if !ordered {
		return d.store.Accept(ctx, a)
	}
	line := lines{d.store, d.queue}
	if err = line.enter(ctx, a); err == nil {
		failpoint.Hit("gateway.entered")
		taken, err = d.store.Accept(ctx, a)
	}
	if taken != nil || err != nil && !errors.Is(err, tracking.ErrOutcomeUnknown) {
		line.retreat(ctx, a.Dispatch)
	}
	return taken, err
}

// record builds everything that accepting writes. first is in what state each target is
// then, for the answer and for the row of the idempotency key.
func record(f *Fanout, m Mapped, in Intake, from trace.Context) (_ *tracking.Acceptance, first map[string]tracking.State, tasks []Task, err error) {
	idemHash := ""
	if in.Idem != nil {
		idemHash = in.Idem.Hash
	}
	id, err := tracking.NewID(idemHash)
	if err != nil {
		return nil, nil, nil, err
	}
	dispatch := &tracking.Dispatch{
		ID: id, Route: f.Route, Tenant: in.Tenant, Rule: f.Rule, Params: in.Params,
		TraceParent: string(from), IdemHash: idemHash,
		Targets:    make([]tracking.TargetRef, 0, len(f.Bindings)),
		Deliveries: make(map[string]tracking.Delivery, len(f.Bindings)),
	}
	tasks = make([]Task, 0, len(f.Bindings))
	shares := make(map[string]int, len(f.Bindings))
	first = make(map[string]tracking.State, len(f.Bindings))
	for i := range f.Bindings {
		b := &f.Bindings[i]
		name := b.Plan.Name
		dispatch.Targets = append(dispatch.Targets, tracking.TargetRef{Name: name, Optional: b.Optional})
		delivery := tracking.Delivery{
			Fence: tracking.Fence{Seq: firstSeq}, Phase: tracking.Queued, State: tracking.Pending, Plan: b.Plan.Hash, KeepPayload: b.KeepPayload,
		}
		if m.Skipped[name] {
			delivery.State, delivery.Phase, delivery.Plan = tracking.Skipped, tracking.Ended, ""
		} else {
			if key, ok := m.Keys[name]; ok {
				delivery.Line, delivery.Blocks = tracking.LineOf(name, in.Tenant, key), b.Plan.Order.Blocks
			}
			shares[name] = b.Plan.Limits.FairShare
			tasks = append(tasks, Task{Ref: tracking.Ref{Tracking: id, Target: name}, Seq: firstSeq})
		}
		dispatch.Deliveries[name], first[name] = delivery, delivery.State
	}
	out := &tracking.Acceptance{Dispatch: dispatch, Payloads: m.Payloads, Retention: in.Retention, FairShare: shares}
	if in.Idem != nil {
		out.Idem = &tracking.IdemRow{Fingerprint: in.Idem.Fingerprint, ID: id, First: first}
		out.IdemTTL = in.Idem.TTL
	}
	return out, first, tasks, nil
}

// planRenewal is how often a plan in use is saved again; the store keeps it far longer.
const planRenewal = 24 * time.Hour

// savePlans makes sure that the plans of a fan-out outlive this process and its files
// before anything is accepted under them.
func (d *Dispatcher) savePlans(ctx context.Context, f *Fanout) error {
	for _, b := range f.Bindings {
		if at, ok := d.saved.Load(b.Plan.Hash); ok && time.Since(at.(time.Time)) < planRenewal {
			continue
		}
		if err := d.store.SavePlan(ctx, b.Plan.Hash, b.Plan.Source); err != nil {
			return fmt.Errorf("save plan of %s: %w", b.Plan.Name, err)
		}
		d.saved.Store(b.Plan.Hash, time.Now())
	}
	return nil
}

// recheck is how often a waiting request looks at the record although nothing woke it:
// a message may be lost while the connection to the store is.
const recheck = 5 * time.Second

// Track implements Acceptor.
func (d *Dispatcher) Track(ctx context.Context, id, tenant string, wait time.Duration) (*tracking.Dispatch, error) {
	found, err := d.load(ctx, id, tenant)
	if err != nil || wait <= 0 || found.Status() != tracking.InProgress {
		return found, err
	}
	timeout, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	wake, stop := d.store.Changed(timeout, id)
	defer stop()
	ticker := time.NewTicker(recheck)
	defer ticker.Stop()
	for {
		select {
		case <-timeout.Done():
			return d.load(ctx, id, tenant)
		case <-wake:
		case <-ticker.C:
		}
		if found, err = d.load(ctx, id, tenant); err != nil || found.Status() != tracking.InProgress {
			return found, err
		}
	}
}

func (d *Dispatcher) load(ctx context.Context, id, tenant string) (*tracking.Dispatch, error) {
	found, err := d.store.Load(ctx, id)
	if err != nil {
		return nil, err
	}
	if found.Tenant != tenant || tracking.IsBatch(id) {
		return nil, tracking.ErrNotFound
	}
	if err := (lines{d.store, d.queue}).follow(ctx, found); err != nil {
		return nil, err
	}
	return found, followBatches(ctx, d.store, found)
}

// followBatches shows in deliveries that are being sent with a batch how that stands: the
// record of the delivery says only with which.
func followBatches(ctx context.Context, store tracking.Store, found *tracking.Dispatch) error {
	for name, delivery := range found.Deliveries {
		if !tracking.IsBatch(delivery.Token) {
			continue
		}
		batch, err := store.Load(ctx, delivery.Token)
		if errors.Is(err, tracking.ErrNotFound) {
			continue // it ended a moment ago, or the reconciler will find out
		}
		if err != nil {
			return err
		}
		delivery.Follow(batch.Deliveries[name])
		found.Deliveries[name] = delivery
	}
	return nil
}
