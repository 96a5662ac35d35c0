package app

import (
	"context"
	"crypto/sha1" //nolint:gosec // how Redis names scripts
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/ulule/limiter/v3"
	limitredis "github.com/ulule/limiter/v3/drivers/store/redis"

	"headgate/policies"
	"headgate/policies/ratelimit"
)

// lateLimiter is a rate limiter that route files can be compiled with before there is a
// client. It asks nothing of Redis until a request does.
type lateLimiter struct {
	limit func(ctx context.Context, key string, limit int64, per time.Duration) (policies.LimitState, error)
}

// Limit counts a request.
func (l *lateLimiter) Limit(ctx context.Context, key string, limit int64, per time.Duration) (policies.LimitState, error) {
	return l.limit(ctx, key, limit, per)
}

func (l *lateLimiter) use(rdb redis.UniversalClient) error {
	store, err := limitredis.NewStoreWithOptions(&scripts{UniversalClient: rdb}, limiter.StoreOptions{Prefix: "hg:limit"})
	if err != nil {
		return fmt.Errorf("prepare rate limiter: %w", err)
	}
	l.limit = ratelimit.NewLimiter(store)
	return nil
}

// scripts sends a script that a server does not have along with the call. The limiter
// would load it at start, which needs Redis, and again into all nodes of a cluster, or
// into any one, when it misses it in one of them.
type scripts struct {
	redis.UniversalClient
	sources sync.Map // SHA -> source
}

// ScriptLoad keeps the script here.
func (s *scripts) ScriptLoad(ctx context.Context, script string) *redis.StringCmd {
	sum := sha1.Sum([]byte(script)) //nolint:gosec // how Redis names scripts
	sha := hex.EncodeToString(sum[:])
	s.sources.Store(sha, script)
	cmd := redis.NewStringCmd(ctx)
	cmd.SetVal(sha)
	return cmd
}

// EvalSha runs a script that was loaded here.
func (s *scripts) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	cmd := s.UniversalClient.EvalSha(ctx, sha, keys, args...)
	if source, ok := s.sources.Load(sha); ok && redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
		return s.Eval(ctx, source.(string), keys, args...)
	}
	return cmd
}
