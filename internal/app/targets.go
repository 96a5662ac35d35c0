package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
	"headgate/gateway/admin"
	"headgate/internal/flow"
	"headgate/internal/queue"
	"headgate/internal/redisstore"
)

// targets is what operators see and change of targets: what is in Redis, so that it is the
// same in every process, and what this one's files say.
type targets struct {
	app   *App
	flow  *redisstore.Flow
	queue *queue.Client
}

var _ admin.Targets = (*targets)(nil)

// fleet is what Redis says of all targets.
type fleet struct {
	flow   map[string]flow.Fleet
	counts map[string]tracking.TargetCounts
	runs   map[string]int
	queues map[string][]queue.Length
	// pending are the deliveries that have not begun.
	pending map[string]tracking.Waiters
}

// Targets implements admin.Targets.
func (t *targets) Targets(ctx context.Context) ([]admin.TargetView, error) {
	plans := t.app.table.Load().Plans()
	names, f, err := t.names(ctx)
	if err != nil {
		return nil, err
	}
	if f.runs, err = t.app.store.Running(ctx); err != nil {
		return nil, err
	}
	if f.queues, err = t.queue.Lengths(ctx, names); err != nil {
		return nil, away(err)
	}
	if f.pending, err = dispatch.PendingOf(ctx, t.queue, t.app.store, names); err != nil {
		return nil, away(err)
	}
	out := make([]admin.TargetView, len(names))
	for i, name := range names {
		out[i] = f.view(name)
		if plan := plans[name]; plan != nil {
			out[i].Plan = plan.Hash
		} else {
			out[i].Former = true
		}
	}
	return out, nil
}

// names lists the targets of the files, and those that have something left in Redis.
func (t *targets) names(ctx context.Context) (names []string, f fleet, err error) {
	if f.flow, err = t.flow.Fleet(ctx); err != nil {
		return nil, f, away(err)
	}
	if f.counts, err = t.app.store.Counts(ctx); err != nil {
		return nil, f, err
	}
	known := map[string]bool{}
	for name := range t.app.table.Load().Plans() {
		known[name] = true
	}
	for name := range f.flow {
		known[name] = true
	}
	for name, n := range f.counts {
		if n != (tracking.TargetCounts{}) {
			known[name] = true
		}
	}
	return slices.Sorted(maps.Keys(known)), f, nil
}

// away says of an error that its cause is Redis.
func away(err error) error { return fmt.Errorf("%w: %w", tracking.ErrUnavailable, err) }

// view puts together what is known of one target.
func (f *fleet) view(name string) admin.TargetView {
	held, counts, pending := f.flow[name], f.counts[name], f.pending[name]
	out := admin.TargetView{
		Name: name, State: states[held.Order.Mode], HeldFor: seconds(held.Held), Breaker: admin.BreakerView{State: flow.Closed.String()},
		Open: counts.Open, Pending: pending.Count, OldestPending: seconds(pending.Oldest), Waiting: counts.Jobs.Count, OldestWaiting: seconds(counts.Jobs.Oldest), DeadLetters: counts.DeadLetters,
		InFlight: f.runs[name], Queues: []admin.QueueView{},
	}
	if o := held.Order; o.Mode != flow.Active {
		out.Order = &admin.OrderView{By: o.By, Note: o.Note, Since: o.Since}
	}
	switch {
	case held.Open && held.OpenFor > 0:
		out.Breaker = admin.BreakerView{State: flow.Open.String(), OpenFor: seconds(held.OpenFor)}
	case held.Open:
		out.Breaker.State = flow.HalfOpen.String()
	}
	for _, q := range f.queues[name] {
		out.Queues = append(out.Queues, admin.QueueView{
			Name: q.Queue, Pending: q.Pending, Active: q.Active, Scheduled: q.Scheduled, Retry: q.Retry, Archived: q.Archived,
			Oldest: seconds(q.Oldest), Paused: q.Paused,
		})
	}
	return out
}

// seconds are rounded to the millisecond; less says nothing here.
func seconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }

var states = map[flow.Mode]admin.TargetState{flow.Active: admin.Active, flow.Halted: admin.Paused, flow.Draining: admin.Draining}

var modes = map[admin.TargetState]flow.Mode{admin.Active: flow.Active, admin.Paused: flow.Halted, admin.Draining: flow.Draining}

// Order implements admin.Targets. Workers are told at once; gateways see it within a second,
// this one before the answer.
func (t *targets) Order(ctx context.Context, name string, state admin.TargetState, by admin.OrderView) error {
	known, _, err := t.names(ctx)
	if err != nil {
		return err
	}
	if _, found := slices.BinarySearch(known, name); !found {
		return &admin.UnknownTargetError{Name: name, Known: known}
	}
	if err := t.flow.Order(ctx, name, flow.Order{Mode: modes[state], By: by.By, Note: by.Note}); err != nil {
		return away(err)
	}
	if t.app.room != nil {
		return t.app.room.Read(ctx)
	}
	return nil
}
