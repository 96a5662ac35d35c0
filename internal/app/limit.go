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

	mu    sync.Mutex
	limit limitFunc
}

type limitFunc = func(ctx context.Context, key string, limit int64, per time.Duration) (policies.LimitState, error)

func (l *lazyLimiter) Limit(ctx context.Context, key string, limit int64, per time.Duration) (policies.LimitState, error) {
	count, err := l.get()
	if err != nil {
		return policies.LimitState{}, err
	}
	return count(ctx, key, limit, per)
}

func (l *lazyLimiter) get() (limitFunc, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limit == nil {
		store, err := limitredis.NewStoreWithOptions(l.rdb, limiter.StoreOptions{Prefix: "hg:limit"})
		if err != nil {
			return nil, fmt.Errorf("prepare rate limiter: %w", err)
		}
		l.limit = ratelimit.NewLimiter(store)
	}
	return l.limit, nil
}
