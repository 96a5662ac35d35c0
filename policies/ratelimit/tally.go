package ratelimit

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/ulule/limiter/v3"
)

// tally counts hits. Those under one key that gather while a round trip is under way
// are counted together in the next, each with its own place among them: a caller with
// many requests at once costs the store no more than one with few.
type tally struct {
	store limiter.Store

	mu  sync.Mutex
	now map[window]*lot // a window stands here while a round trip is under way; its lot, or nil, is for the next
}

// window is what hits are counted in.
type window struct {
	key string
	per time.Duration
}

// lot is hits that are counted in one round trip.
type lot struct {
	hits  int64
	ended chan struct{} // closed when the rest is there
	count int64         // of the window, after all of them
	reset int64         // when the window ends, Unix seconds
	err   error
}

// patience bounds a round trip: nobody's own deadline may end the hits of others.
const patience = 5 * time.Second

// hit counts one and gives the window's count after it, and when the window ends.
func (t *tally) hit(ctx context.Context, w window) (count, reset int64, err error) {
	t.mu.Lock()
	l, running := t.now[w]
	if l == nil {
		l = &lot{ended: make(chan struct{})}
		t.now[w] = l
	}
	l.hits++
	place := l.hits
	t.mu.Unlock()
	if !running {
		go t.run(context.WithoutCancel(ctx), w)
	}
	select {
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	case <-l.ended:
		return l.count - l.hits + place, l.reset, l.err
	}
}

// run counts until nobody waits any longer.
func (t *tally) run(ctx context.Context, w window) {
	for {
		t.mu.Lock()
		l := t.now[w]
		if l == nil {
			delete(t.now, w)
			t.mu.Unlock()
			return
		}
		t.now[w] = nil
		t.mu.Unlock()
		t.count(ctx, w, l)
		close(l.ended)
	}
}

func (t *tally) count(ctx context.Context, w window, l *lot) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// The library tells how many hits are left; with no limit to speak of, that tells how
	// many there were.
	got, err := t.store.Increment(ctx, w.key, l.hits, limiter.Rate{Period: w.per, Limit: math.MaxInt64})
	l.count, l.reset, l.err = math.MaxInt64-got.Remaining, got.Reset, err
}
