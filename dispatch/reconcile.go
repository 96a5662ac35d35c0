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
	Owner *Owner // this process
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

	next   int // the target whose queued deliveries come next
	census census
	late   map[tracking.Ref]lateRun // runs of living processes that are over their time
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

// Look looks once: at what dead processes left behind, at all running and scheduled
// deliveries that are overdue, and at the queued ones of a tenth of the targets.
func (r *Reconciler) Look(ctx context.Context) error {
	targets := r.Targets()
	stalled, dead, err := r.takeOver(ctx)
	if stalled {
		return err // nothing that was seen before counts any longer
	}
	errs := []error{err}
	if dead {
		// What the dead had dequeued but not claimed stands among the queued ones.
		for _, target := range targets {
			errs = append(errs, r.lookAtQueued(ctx, target, ownerTimeout/2))
		}
	} else {
		// A round of all targets takes no longer than ten looks.
		for range min(len(targets), (len(targets)+9)/10) {
			errs = append(errs, r.lookAtQueued(ctx, targets[r.next%len(targets)], r.QueuedAge))
			r.next++
		}
	}
	// One row or shard that cannot be read does not keep the others from being repaired.
	rows, err := r.Store.Overdue(ctx, 0, rowsPerLook)
	errs = append(errs, err)
	before := r.late
	r.late = map[tracking.Ref]lateRun{}
	for _, row := range rows {
		errs = append(errs, r.overdue(ctx, row, before))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	// Much to repair takes long; that is no stall of the store.
	r.census.answered = time.Now()
	return nil
}

func (r *Reconciler) overdue(ctx context.Context, row tracking.Row, before map[tracking.Ref]lateRun) error {
	switch {
	case row.Delivery.State.Final():
		if !row.Delivery.Leaves() {
			return r.Store.HasLeft(ctx, row.Ref) // it has no business here
		}
		return lines{r.Store, r.Queue}.leave(ctx, row.Ref, row.Delivery)
	case row.Delivery.Parked():
		return lines{r.Store, r.Queue}.wake(ctx, row.Ref, row.Delivery)
	case tracking.IsBatch(row.Delivery.Token):
		return r.heldByBatch(ctx, row)
	case row.Delivery.Phase == tracking.Running:
		if r.lingering(row, before, time.Now()) {
			return r.requeue(ctx, row, "run_lost")
		}
		return nil
	case row.Since < r.Grace:
		return nil
	}
	return r.ensure(ctx, row, "timer_lost")
}

// heldByBatch looks whether the batch that holds a delivery still has a record that will
// end. If so it hands its end on; if not, the delivery joins another.
func (r *Reconciler) heldByBatch(ctx context.Context, row tracking.Row) error {
	batch, err := r.Store.Load(ctx, row.Delivery.Token)
	switch {
	case err == nil && batch.Status() == tracking.InProgress:
		return r.Store.Touch(ctx, row)
	case err == nil, errors.Is(err, tracking.ErrNotFound):
		return r.requeue(ctx, row, "batch_lost")
	}
	return err
}

// lateRun is when, by this process's own clock, a run was first seen to be over its time.
type lateRun struct {
	fence tracking.Fence
	since time.Time
}

// lingerTime is how long a run of a living process may be over its time while the store
// answers: writing down an outcome takes a moment after a stall.
const lingerTime = 30 * time.Second

// lingering reports whether a run that is over its time has had its chance. A process
// that lives ends its runs itself and writes down what they came to, also long after a
// stall of the store; so a run of one is given up only when it stays overdue although the
// store answers. What belongs to no process on the list is given up at once, and so is
// what this process would have to know of and does not.
func (r *Reconciler) lingering(row tracking.Row, before map[tracking.Ref]lateRun, now time.Time) bool {
	if !r.census.alive(tracking.OwnerOf(row.Delivery.Token)) || r.Owner.ended(row.Delivery.Token) {
		return true
	}
	run, known := before[row.Ref]
	if !known || run.fence != row.Delivery.Fence {
		run = lateRun{fence: row.Delivery.Fence, since: now}
	}
	r.late[row.Ref] = run
	return now.Sub(run.since) > lingerTime
}

// takeOver takes back what dead processes hold, and reports whether there was one.
// stalled says that the store does not answer.
func (r *Reconciler) takeOver(ctx context.Context) (stalled, dead bool, err error) {
	counts, err := r.Store.Owners(ctx)
	if err != nil {
		r.census.reset()
		r.late = nil
		return true, false, err
	}
	var errs []error
	for _, owner := range r.census.dead(counts, time.Now(), max(3*r.Interval, beatInterval)) {
		dead = true
		rows, err := r.Store.Abandoned(ctx, owner, rowsPerLook)
		errs = append(errs, err)
		for _, row := range rows {
			errs = append(errs, r.requeue(ctx, row, "owner_lost"))
		}
		if err == nil && len(rows) == 0 {
			r.Log.WarnContext(ctx, "a worker process is gone; its deliveries were taken over", "owner", owner)
			errs = append(errs, r.Store.Forget(ctx, owner))
		}
	}
	return false, dead, errors.Join(errs...)
}

// lookAtQueued looks at deliveries of one target that were queued longer than age ago,
// and makes sure only of those that are older than the oldest waiting task: a backlog of
// a million costs one question.
func (r *Reconciler) lookAtQueued(ctx context.Context, target string, age time.Duration) error {
	rows, err := r.Store.QueuedSince(ctx, target, age, rowsPerLook)
	if len(rows) == 0 {
		return err
	}
	errs := []error{err}
	oldest := map[tracking.Lane]time.Duration{}
	for _, row := range rows {
		task := taskOf(row.Ref, row.Delivery, row.Now)
		lane := tracking.LaneNew
		if task.Begun() || task.Lane == tracking.LaneBulk {
			lane = task.Lane
		}
		waits, known := oldest[lane]
		if !known {
			if waits, err = r.Queue.OldestPending(ctx, task); err != nil {
				return err
			}
			oldest[lane] = waits
		}
		// Lanes are first in, first out: where an older task still waits, this one may too.
		if waits+time.Second > row.Since {
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
	case Taken:
		return nil // looked at again at once: whether its worker lives shows within seconds
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
	r.Log.InfoContext(ofTrace(ctx, r.Store, row.Tracking), "delivery repaired", "tracking_id", row.Tracking, "target", row.Target,
		"kind", kind, "overdue_ms", max(row.Since.Milliseconds(), 0)) // below 0: its worker died while its claim still held
	if r.Repaired != nil {
		r.Repaired(row.Target, kind)
	}
}
