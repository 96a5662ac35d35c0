package redisstore

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
)

// waiters shares one subscription among all requests that wait for a dispatch: each
// record that somebody waits for has a channel, subscribed to by the first who waits
// and left by the last.
type waiters struct {
	rdb redis.UniversalClient

	mu     sync.Mutex
	sub    *redis.PubSub
	byName map[string]map[chan struct{}]struct{}
	done   chan struct{} // closed when the reading goroutine has ended
}

func newWaiters(rdb redis.UniversalClient) *waiters {
	return &waiters{rdb: rdb, byName: map[string]map[chan struct{}]struct{}{}}
}

// Changed implements tracking.Store. The channel also receives once the subscription
// stands, so that a change between the caller's first read and then is not missed.
func (s *Store) Changed(ctx context.Context, id string) (<-chan struct{}, func()) {
	shard, ok := tracking.Shard(id)
	if !ok {
		return nil, func() {}
	}
	return s.waiters.add(ctx, doneChannel(shardPrefix[shard], id))
}

func (w *waiters) add(ctx context.Context, name string) (<-chan struct{}, func()) {
	wake := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sub == nil {
		w.sub = w.rdb.Subscribe(ctx)
		w.done = make(chan struct{})
		go w.read(w.sub.ChannelWithSubscriptions(), w.done)
	}
	if w.byName[name] == nil {
		w.byName[name] = map[chan struct{}]struct{}{}
		// An error here is one of the connection: the client subscribes again to all
		// names when it has reconnected, and each confirmation wakes the waiter.
		_ = w.sub.Subscribe(ctx, name)
	} else {
		wake <- struct{}{}
	}
	w.byName[name][wake] = struct{}{}
	return wake, func() { w.remove(name, wake) }
}

func (w *waiters) remove(name string, wake chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.byName[name], wake)
	if len(w.byName[name]) == 0 {
		delete(w.byName, name)
		if w.sub != nil {
			_ = w.sub.Unsubscribe(context.Background(), name)
		}
	}
}

// read wakes whoever waits for a name when a message or a confirmation of its
// subscription arrives.
func (w *waiters) read(events <-chan any, done chan struct{}) {
	defer close(done)
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

func (w *waiters) close() error {
	w.mu.Lock()
	sub, done := w.sub, w.done
	w.sub = nil
	w.mu.Unlock()
	if sub == nil {
		return nil
	}
	err := sub.Close()
	<-done
	return err
}
