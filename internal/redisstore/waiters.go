package redisstore

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
)

// waiters shares one subscription among all requests that wait for a dispatch: each
// record that somebody waits for has a channel, subscribed to for the first who waits
// and left after the last.
type waiters struct {
	rdb redis.UniversalClient

	mu     sync.Mutex
	byName map[string]map[chan struct{}]struct{}
	// dirty names got their first or lost their last waiter since they were last settled.
	dirty  map[string]struct{}
	sub    *redis.PubSub // nil until somebody waits
	closed bool

	kick    chan struct{} // settle has something to do
	stop    context.CancelFunc
	running sync.WaitGroup
}

func newWaiters(rdb redis.UniversalClient) *waiters {
	return &waiters{
		rdb: rdb, kick: make(chan struct{}, 1),
		byName: map[string]map[chan struct{}]struct{}{}, dirty: map[string]struct{}{},
	}
}

// Changed implements tracking.Store. It never waits for Redis.
func (s *Store) Changed(_ context.Context, id string) (<-chan struct{}, func()) {
	shard, ok := tracking.Shard(id)
	if !ok {
		return nil, func() {}
	}
	return s.waiters.add(doneChannel(shardPrefix[shard], id))
}

func (w *waiters) add(name string) (<-chan struct{}, func()) {
	wake := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sub == nil && !w.closed {
		w.start()
	}
	if w.byName[name] == nil {
		w.byName[name] = map[chan struct{}]struct{}{}
		w.touch(name)
	} else {
		// The subscription may stand already, and then no confirmation follows.
		wake <- struct{}{}
	}
	w.byName[name][wake] = struct{}{}
	return wake, func() { w.remove(name, wake) }
}

func (w *waiters) remove(name string, wake chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.byName[name], wake)
	if _, known := w.byName[name]; known && len(w.byName[name]) == 0 {
		delete(w.byName, name)
		w.touch(name)
	}
}

// start is called with mu held.
func (w *waiters) start() {
	ctx, stop := context.WithCancel(context.Background()) // it serves all callers and outlives each
	w.stop = stop
	w.sub = w.rdb.Subscribe(ctx)
	events := w.sub.ChannelWithSubscriptions()
	w.running.Go(func() { w.read(events) })
	w.running.Go(func() { w.settle(ctx) })
}

// touch is called with mu held.
func (w *waiters) touch(name string) {
	w.dirty[name] = struct{}{}
	select {
	case w.kick <- struct{}{}:
	default: // settle will see it
	}
}

// settle brings the subscription in line with who waits, for many names at a time and
// away from the callers: with Redis gone each command may take as long as a dial.
func (w *waiters) settle(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.kick:
		}
		var join, leave []string
		w.mu.Lock()
		for name := range w.dirty {
			if len(w.byName[name]) > 0 {
				join = append(join, name)
			} else {
				leave = append(leave, name)
			}
		}
		clear(w.dirty)
		w.mu.Unlock()
		// An error is one of the connection. The client remembers the names even so,
		// subscribes to them when it has reconnected, and each confirmation wakes.
		if len(join) > 0 {
			_ = w.sub.Subscribe(ctx, join...)
		}
		if len(leave) > 0 {
			_ = w.sub.Unsubscribe(ctx, leave...)
		}
	}
}

// read wakes whoever waits for a name when a message or a confirmation of its
// subscription arrives.
func (w *waiters) read(events <-chan any) {
	for event := range events {
		name := ""
		switch e := event.(type) {
		case *redis.Message:
			name = e.Channel
		case *redis.Subscription:
			name = e.Channel
		}
		w.mu.Lock()
		for wake := range w.byName[name] {
			select {
			case wake <- struct{}{}:
			default: // it has been woken already
			}
		}
		w.mu.Unlock()
	}
}

// close ends the subscription; nobody is woken any more.
func (w *waiters) close() error {
	w.mu.Lock()
	sub := w.sub
	if w.closed {
		sub = nil
	}
	w.closed = true
	w.mu.Unlock()
	if sub == nil {
		return nil
	}
	w.stop()
	err := sub.Close()
	w.running.Wait()
	return err
}
