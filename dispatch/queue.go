package dispatch

import (
	"context"
	"time"

	"headgate/dispatch/tracking"
)

// Task asks for one run of one delivery. It names the delivery and nothing else: what
// the run needs is in the record, which is the truth.
type Task struct {
	tracking.Ref
	Seq   int
	Lane  tracking.Lane // of the record; only queued tasks have one besides LaneResume
	After time.Duration // not before this has passed; zero: at once
}

// Begun reports whether the delivery has been run before: its tasks then go before
// those of new deliveries. A record from before there were lanes names none; of those
// the first task is new.
func (t Task) Begun() bool { return t.Lane == tracking.LaneResume && t.Seq > firstSeq }

// firstSeq is the sequence number a delivery starts with.
const firstSeq = 1

// taskOf is the task that the record of a delivery calls for.
func taskOf(ref tracking.Ref, d tracking.Delivery, now time.Time) Task {
	t := Task{Ref: ref, Seq: d.Seq, Lane: d.Lane}
	if d.Phase == tracking.Scheduled {
		t.After = max(d.NextAt.Sub(now), 0)
	}
	return t
}

// Presence is what became of making sure of a task.
type Presence int

// The answers of Queue.Ensure.
const (
	Enqueued Presence = iota // it was missing, or waited for too late a time, and may run now
	Present                  // it is waiting
	Taken                    // a worker has taken it out and is about to claim, or has died with it
	Lost                     // its ID is taken by a task that will never run
)

// Queue is an at-least-once executor and timer of tasks.
type Queue interface {
	// Submit takes tasks of what is recorded and queues them within moments, without making
	// the caller wait for it. Those that it could not queue are left to the due rows.
	Submit(tasks ...Task)
	// Enqueue queues the tasks and returns when they are. A task whose ID exists counts as queued.
	Enqueue(ctx context.Context, tasks ...Task) error
	// Ensure queues a task unless it is there. That its ID exists proves nothing by
	// itself; the answer says in which state it was found. A Lost one is removed.
	Ensure(ctx context.Context, t Task) (Presence, error)
	// OldestPending tells how long the oldest task that could be run now has waited, in
	// the lane that t would wait in; zero when the lane is empty.
	OldestPending(ctx context.Context, t Task) (time.Duration, error)
}
