package app

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/internal/testenv"
)

// With a Redis that takes connections and says nothing, every request gives up in its
// own time: they do not queue behind one another. Once it answers, limits count.
func TestLimiterWithASilentRedis(t *testing.T) {
	server := testenv.Redis(t)
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true, MaxRetries: -1, ReadTimeout: time.Second})
	t.Cleanup(func() { _ = rdb.Close() })
	server.Pause()
	l := &lazyLimiter{rdb: rdb}
	began := time.Now()
	var callers sync.WaitGroup
	for range 32 {
		callers.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if _, err := l.Limit(ctx, "k", 10, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a silent redis: %v", err)
			}
		})
	}
	callers.Wait()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("32 requests took %v, one after the other", took)
	}
	server.Resume()
	testenv.Eventually(t, 20*time.Second, func() bool {
		state, err := l.Limit(t.Context(), "k", 10, time.Minute)
		return err == nil && state.Remaining < 10
	}, "the limiter does not count once redis answers")
}
