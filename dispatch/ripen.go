package dispatch

import (
	"context"
	"sync"
	"time"

	"headgate/dispatch/tracking"
)

// Ripening sends batches when their time has come, to the millisecond: the queue's own
// timer counts in seconds. It is a shortcut and nothing more. A batch that was begun by a
// process that has ended is sent by its scheduled task.
type Ripening struct {
	Store tracking.Store
	Queue Queue

	mu      sync.Mutex
	stopped bool
	timers  map[tracking.Ref]*time.Timer
	running sync.WaitGroup
}

// ripenTimeout bounds what is tried for one batch.
const ripenTimeout = 5 * time.Second

// after has the batch sent after d unless it has moved by then.
func (r *Ripening) after(d time.Duration, batch tracking.Ref, seq int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return
	}
	if r.timers == nil {
		r.timers = map[tracking.Ref]*time.Timer{}
	}
	r.timers[batch] = time.AfterFunc(d, func() {
		r.mu.Lock()
		delete(r.timers, batch)
		if r.stopped {
			r.mu.Unlock()
			return
		}
		r.running.Add(1)
		r.mu.Unlock()
		defer r.running.Done()
		ctx, cancel := context.WithTimeout(context.Background(), ripenTimeout)
		defer cancel()
		_ = ripen(ctx, r.Store, r.Queue, batch, seq) // its scheduled task comes soon
	})
}

// anySeq is for who does not know how far the batch is.
const anySeq = 0

// ripen has a batch sent now that is scheduled for later. Whatever goes wrong, it is sent
// at its time.
func ripen(ctx context.Context, store tracking.Store, queue Queue, batch tracking.Ref, seq int) error {
	record, err := store.Load(ctx, batch.Tracking)
	if moved(err) {
		return nil
	}
	if err != nil {
		return err
	}
	d := record.Deliveries[batch.Target]
	if (d.Seq != seq && seq != anySeq) || d.Phase != tracking.Scheduled {
		return nil // it was full before, or its time has come
	}
	return goOn(ctx, store, queue, batch, d)
}

// Stop ends the timers, and waits for those whose time has just come.
func (r *Ripening) Stop() {
	r.mu.Lock()
	r.stopped = true
	for _, t := range r.timers {
		t.Stop()
	}
	clear(r.timers)
	r.mu.Unlock()
	r.running.Wait()
}
