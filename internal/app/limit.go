package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/ulule/limiter/v3"
	limitredis "github.com/ulule/limiter/v3/drivers/store/redis"

	"headgate/policies"
	"headgate/policies/ratelimit"
)

// lazyLimiter makes the rate limiter's store on first use: making it needs Redis, and
// Redis may come later than Headgate.
type lazyLimiter struct {
	rdb redis.UniversalClient

	mu      sync.Mutex
	limit   limitFunc
	attempt *attempt // under way; nil: none
}

// attempt is one try to make the store, which all who need it meanwhile wait for: with
// a Redis that does not answer they would otherwise time out one after the other.
type attempt struct {
	done chan struct{}
	err  error // to be read once done is closed
}

type limitFunc = func(ctx context.Context, key string, limit int64, per time.Duration) (policies.LimitState, error)

func (l *lazyLimiter) Limit(ctx context.Context, key string, limit int64, per time.Duration) (policies.LimitState, error) {
	count, err := l.get(ctx)
	if err != nil {
		return policies.LimitState{}, err
	}
	return count(ctx, key, limit, per)
}

func (l *lazyLimiter) get(ctx context.Context) (limitFunc, error) {
	l.mu.Lock()
	if l.limit != nil {
		defer l.mu.Unlock()
		return l.limit, nil
	}
	if l.attempt == nil {
		l.attempt = &attempt{done: make(chan struct{})}
		go l.try(l.attempt)
	}
	a := l.attempt
	l.mu.Unlock()
	select {
	case <-a.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("prepare rate limiter: %w", ctx.Err())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limit, a.err
}

// try makes the store; the client's own time-outs bound it.
func (l *lazyLimiter) try(a *attempt) {
	store, err := limitredis.NewStoreWithOptions(l.rdb, limiter.StoreOptions{Prefix: "hg:limit"})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attempt = nil
	if err != nil {
		a.err = fmt.Errorf("prepare rate limiter: %w", err)
	} else {
		l.limit = ratelimit.NewLimiter(store)
	}
	close(a.done)
}
