package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"headgate/dispatch/tracking"
)

// Reconciler brings back what should have moved and did not: one mechanism for a
// gateway killed between recording and queueing, a worker killed between applying and
// queueing, a worker killed in a step, and a task deleted by hand.
type Reconciler struct {
	Store tracking.Store
	Queue Queue
	Log   *slog.Logger
	// Targets lists the targets whose queued deliveries are looked after.
	Targets func() []string
	// Interval between two looks at running and scheduled deliveries; default 1 s.
	Interval time.Duration
	// Grace is how long after its time a scheduled delivery counts as overdue. It covers
	// the queue's own timer, which is up to a few seconds late; default 5 s.
	Grace time.Duration
	// QueuedAge is how old a queued delivery must be to be looked at; default 10 s.
	QueuedAge time.Duration
	// Repaired is told of every repair, with what kind it was; may be nil.
	Repaired func(target, kind string)

	next int // the target whose queued deliveries come next
}

// rowsPerLook bounds one look, so that a mass of overdue rows is worked off in waves.
const rowsPerLook = 500

// Run looks at regular intervals until ctx ends.
func (r *Reconciler) Run(ctx context.Context) {
	r.defaults()
	ticker := time.NewTicker(r.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := r.Look(ctx); err != nil && ctx.Err() == nil {
			r.Log.WarnContext(ctx, "reconciler could not look; it will again", "error", err)
		}
	}
}

func (r *Reconciler) defaults() {
	if r.Interval == 0 {
		r.Interval = time.Second
	}
	if r.Grace == 0 {
		r.Grace = 5 * time.Second
	}
	if r.QueuedAge == 0 {
		r.QueuedAge = 10 * time.Second
	}
}

// Look looks once: at all running and scheduled deliveries that are overdue, and at the
// queued ones of one target.
func (r *Reconciler) Look(ctx context.Context) error {
	// One row or shard that cannot be read does not keep the others from being repaired.
	rows, err := r.Store.Overdue(ctx, 0, rowsPerLook)
	errs := []error{err}
	for _, row := range rows {
		errs = append(errs, r.overdue(ctx, row))
	}
	return errors.Join(append(errs, r.lookAtQueued(ctx))...)
}

func (r *Reconciler) overdue(ctx context.Context, row tracking.Row) error {
	switch {
	case row.Delivery.Phase == tracking.Running:
		return r.requeue(ctx, row, "run_lost")
	case row.Since < r.Grace:
		return nil
	}
	return r.ensure(ctx, row, "timer_lost")
}

// lookAtQueued goes through the targets one by one, one each time, and asks the store
// only about a target whose oldest waiting task is younger than a queued delivery can
// be: a backlog of a million costs one question.
func (r *Reconciler) lookAtQueued(ctx context.Context) error {
	targets := r.Targets()
	if len(targets) == 0 {
		return nil
	}
	target := targets[r.next%len(targets)]
	r.next++
	rows, err := r.Store.QueuedSince(ctx, target, r.QueuedAge, rowsPerLook)
	if len(rows) == 0 {
		return err
	}
	errs := []error{err}
	oldest := map[bool]time.Duration{}
	for _, begun := range []bool{false, true} {
		probe := Task{Ref: tracking.Ref{Target: target}, Seq: firstSeq}
		if begun {
			probe.Seq++
		}
		if oldest[begun], err = r.Queue.OldestPending(ctx, probe); err != nil {
			return err
		}
	}
	for _, row := range rows {
		task := taskOf(row.Ref, row.Delivery, row.Now)
		// Lanes are first in, first out: where an older task still waits, this one may too.
		if waits := oldest[task.Begun()]; waits+time.Second > row.Since {
			continue
		}
		errs = append(errs, r.ensure(ctx, row, "task_lost"))
	}
	return errors.Join(errs...)
}

// ensure makes sure that the task the record calls for is in the queue.
func (r *Reconciler) ensure(ctx context.Context, row tracking.Row, kind string) error {
	presence, err := r.Queue.Ensure(ctx, taskOf(row.Ref, row.Delivery, row.Now))
	if err != nil {
		return err
	}
	switch presence {
	case Lost:
		return r.requeue(ctx, row, kind)
	case Enqueued:
		r.repaired(ctx, row, kind)
	case Present:
	}
	return r.Store.Touch(ctx, row)
}

// requeue raises the fence, so that nobody who still holds the old one can change the
// delivery, and queues its task under a new ID.
func (r *Reconciler) requeue(ctx context.Context, row tracking.Row, kind string) error {
	next := tracking.TakeOver(row.Delivery)
	err := r.Store.Apply(ctx, row.Ref, row.Delivery.Fence, next)
	if errors.Is(err, tracking.ErrFenced) || errors.Is(err, tracking.ErrNotFound) {
		return nil // it has moved meanwhile: nothing to repair
	}
	if err != nil {
		return err
	}
	r.repaired(ctx, row, kind)
	return r.Queue.Enqueue(ctx, taskOf(row.Ref, next, row.Now))
}

func (r *Reconciler) repaired(ctx context.Context, row tracking.Row, kind string) {
	r.Log.InfoContext(ctx, "delivery repaired", "tracking_id", row.Tracking, "target", row.Target,
		"kind", kind, "overdue_ms", row.Since.Milliseconds())
	if r.Repaired != nil {
		r.Repaired(row.Target, kind)
	}
}
