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
// own time: they do not queue behind one another. Once it answers, limits count, and also
// after it has lost the scripts.
func TestLimiterWithASilentRedis(t *testing.T) {
	server := testenv.Redis(t)
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true, MaxRetries: -1, ReadTimeout: time.Second})
	t.Cleanup(func() { _ = rdb.Close() })
	server.Pause()
	l := &lateLimiter{}
	if err := l.use(rdb); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var callers sync.WaitGroup
	for range 32 {
		callers.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if _, err := l.Limit(ctx, "k", 10, time.Minute); err == nil || errors.Is(err, redis.Nil) {
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
		state, err := l.Limit(t.Context(), "k", 1000, time.Minute)
		return err == nil && state.Remaining < 1000
	}, "the limiter does not count once redis answers")
	if err := rdb.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Limit(t.Context(), "k", 1000, time.Minute); err != nil {
		t.Errorf("without the script: %v", err)
	}
}

// On a cluster the scripts are wherever a key is, and every key counts by itself.
func TestLimiterOnACluster(t *testing.T) {
	rdb := testenv.Cluster(t, false).Client(t)
	shared, err := rdb.AutoPipeline()
	if err != nil {
		t.Fatal(err)
	}
	l := &lateLimiter{}
	if err := l.use(shared); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		for want := int64(9); want >= 7; want-- {
			if state, err := l.Limit(t.Context(), key, 10, time.Minute); err != nil || state.Remaining != want {
				t.Fatalf("%s: %+v, %v; want %d left", key, state, err, want)
			}
		}
	}
}
