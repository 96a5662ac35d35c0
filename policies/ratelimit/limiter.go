package ratelimit

import (
	"context"
	"fmt"
	"time"

	"github.com/ulule/limiter/v3"

	"headgate/policies"
)

// NewLimiter makes a Deps.Limit that counts in store, in windows that begin with the
// first hit. The store is used as it is: connecting it lazily is its maker's affair.
func NewLimiter(store limiter.Store) func(ctx context.Context, key string, limit int64, per time.Duration) (policies.LimitState, error) {
	return newLimiter(store, time.Now)
}

func newLimiter(store limiter.Store, now func() time.Time) func(context.Context, string, int64, time.Duration) (policies.LimitState, error) {
	counts := &tally{store: store, now: map[window]*lot{}}
	return func(ctx context.Context, key string, limit int64, per time.Duration) (policies.LimitState, error) {
		if err := ctx.Err(); err != nil {
			return policies.LimitState{}, fmt.Errorf("count a hit: %w", err)
		}
		count, ends, err := counts.hit(ctx, window{key, per})
		if err != nil {
			return policies.LimitState{}, fmt.Errorf("count a hit: %w", err)
		}
		// The window's end comes in whole seconds, rounded down: without the second
		// that is added here a caller would be told to come back too early.
		reset := time.Unix(ends+1, 0).Sub(now())
		return policies.LimitState{
			Remaining: max(limit-count, 0),
			Reset:     min(max(reset, 0), per),
			Exceeded:  count > limit,
		}, nil
	}
}
