package ratelimit

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ulule/limiter/v3"
	"github.com/ulule/limiter/v3/drivers/store/memory"
)

// slowStore answers when it is let.
type slowStore struct {
	limiter.Store
	let   chan struct{}
	calls int
	first atomic.Int64 // hits of the first call
}

func (s *slowStore) Increment(ctx context.Context, key string, count int64, rate limiter.Rate) (limiter.Context, error) {
	if s.calls++; s.calls == 1 { // one at a time: a window has one round trip under way
		s.first.Store(count)
	}
	select {
	case <-s.let:
	case <-ctx.Done():
		return limiter.Context{}, ctx.Err()
	}
	return s.Store.Increment(ctx, key, count, rate)
}

// Each of many hits at once has its own place, as if they had come one after the other,
// and they take two round trips: the first, and one for those that came meanwhile.
func TestHitsAreCountedTogether(t *testing.T) {
	store := &slowStore{Store: memory.NewStore(), let: make(chan struct{})}
	counts, w := &tally{store: store, now: map[window]*lot{}}, window{"key", time.Hour}
	const callers = 100
	places := make([]int64, callers)
	var wave sync.WaitGroup
	for i := range callers {
		wave.Go(func() {
			var err error
			if places[i], _, err = counts.hit(t.Context(), w); err != nil {
				t.Error(err)
			}
		})
	}
	// Some are on their way, mostly one, and all the others wait for the next round trip.
	for gathered := int64(0); gathered < callers; runtime.Gosched() {
		counts.mu.Lock()
		gathered = 0
		if l := counts.now[w]; l != nil {
			gathered = l.hits
		}
		counts.mu.Unlock()
		if first := store.first.Load(); first > 0 && first+gathered == callers {
			break
		}
	}
	close(store.let)
	wave.Wait()
	slices.Sort(places)
	for i, n := range places {
		if n != int64(i+1) {
			t.Fatalf("places are not each taken once: %v", places)
		}
	}
	if store.calls > 2 {
		t.Errorf("%d hits took %d round trips", callers, store.calls)
	}
}

// Who gives up waiting takes nobody along.
func TestHitThatGivesUp(t *testing.T) {
	store := &slowStore{Store: memory.NewStore(), let: make(chan struct{})}
	limit := NewLimiter(store)
	short, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error)
	go func() {
		_, err := limit(short, "key", 10, time.Hour)
		gaveUp <- err
	}()
	cancel()
	if err := <-gaveUp; err == nil {
		t.Error("a hit was counted for who gave up")
	}
	close(store.let)
	if got, err := limit(t.Context(), "key", 10, time.Hour); err != nil || got.Remaining > 9 {
		t.Errorf("%v, %v", got, err)
	}
}
