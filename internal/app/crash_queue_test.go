package app_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"headgate/dispatch"
)

// backlog is a queue that outlives the processes that use it, with the promises of the real one:
// a task is handed out when its time has come, its ID exists until it has been run, and what a
// dead process had taken stays taken until its lease is over. It never runs such a task again
// by itself.
type backlog struct {
	mu      sync.Mutex
	tasks   map[string]*waiting
	changed chan struct{} // has an item when a task has come or gone
}

type waiting struct {
	dispatch.Task
	due   time.Time
	taken time.Time     // zero: it waits
	by    chan struct{} // closed when the process that took it is dead
}

func newBacklog() *backlog {
	return &backlog{tasks: map[string]*waiting{}, changed: make(chan struct{}, 1)}
}

// leaseOver is how long after the death of its worker a task counts as taken: the lease that
// a worker renews has 30 s, and counts for as long as it has 18 s left.
const leaseOver = 12 * time.Second

func taskID(t dispatch.Task) string { return fmt.Sprintf("%s:%s:%d", t.Tracking, t.Target, t.Seq) }

func (b *backlog) add(t dispatch.Task) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tasks[taskID(t)] == nil {
		b.tasks[taskID(t)] = &waiting{Task: t, due: time.Now().Add(t.After)}
		b.wake()
	}
}

func (b *backlog) wake() {
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// take waits for the task that has been due for longest; nil when ctx ends.
func (b *backlog) take(ctx context.Context, by chan struct{}) *waiting {
	for {
		w, wait := b.next(by)
		if w != nil || ctx.Err() != nil {
			return w
		}
		select {
		case <-ctx.Done():
			return nil
		case <-b.changed:
		case <-time.After(wait):
		}
	}
}

func (b *backlog) next(by chan struct{}) (first *waiting, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, w := range b.tasks {
		earlier := first == nil || w.due.Before(first.due) || w.due.Equal(first.due) && id < taskID(first.Task)
		if w.taken.IsZero() && earlier {
			first = w
		}
	}
	switch {
	case first == nil:
		return nil, time.Hour
	case first.due.After(time.Now()):
		return nil, time.Until(first.due)
	}
	first.taken, first.by = time.Now(), by
	return first, 0
}

// done takes a task that has been run away, or has it run again when that went wrong.
func (b *backlog) done(w *waiting, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		delete(b.tasks, taskID(w.Task))
		return
	}
	w.taken, w.by, w.due = time.Time{}, nil, time.Now().Add(time.Second)
	b.wake()
}

func (b *backlog) ensure(t dispatch.Task) dispatch.Presence {
	b.mu.Lock()
	w := b.tasks[taskID(t)]
	defer func() {
		b.mu.Unlock()
		if w == nil {
			b.add(t)
		}
	}()
	switch {
	case w == nil:
		return dispatch.Enqueued
	case w.taken.IsZero() && w.due.After(time.Now()) && t.After <= 0:
		w.due = time.Now()
		b.wake()
		return dispatch.Enqueued
	case w.taken.IsZero():
		return dispatch.Present
	}
	select {
	case <-w.by:
		if time.Since(w.taken) > leaseOver {
			delete(b.tasks, taskID(t))
			return dispatch.Lost
		}
	default:
	}
	return dispatch.Taken
}

// oldest is how long the task that has been due for longest has waited, in the lane of t.
func (b *backlog) oldest(t dispatch.Task) (longest time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range b.tasks {
		if w.taken.IsZero() && w.Target == t.Target && w.Begun() == t.Begun() {
			longest = max(longest, time.Since(w.due))
		}
	}
	return longest
}
