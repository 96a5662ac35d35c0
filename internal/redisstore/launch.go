package redisstore

import (
	"context"
	_ "embed" // the scripts
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
)

var (
	//go:embed launch.lua
	launchSource string
	//go:embed land.lua
	landSource string

	launchScript = redis.NewScript(launchSource)
	landScript   = redis.NewScript(landSource)
)

// flightRetention is how long a list of batches under way is kept when nothing changes it: when
// the target's bound is taken away, nobody looks at it any more.
const flightRetention = 30 * 24 * time.Hour

// Launch implements tracking.Store.
func (s *Store) Launch(ctx context.Context, batch tracking.Ref, most int) (bool, error) {
	shard, err := keysOf(batch.Tracking)
	if err != nil {
		return false, err
	}
	keys := []string{flightKey(shard, batch.Target), standbyKey(shard, batch.Target), recordKey(shard, batch.Tracking)}
	room, err := s.run(ctx, launchScript, keys, batch.Tracking, batch.Target, most, flightRetention.Milliseconds()).Int()
	return room == 1, unavailable("have a batch begin", err)
}

// Land implements tracking.Store.
func (s *Store) Land(ctx context.Context, batch tracking.Ref) (string, error) {
	shard, err := keysOf(batch.Tracking)
	if err != nil {
		return "", err
	}
	keys := []string{flightKey(shard, batch.Target), standbyKey(shard, batch.Target)}
	next, err := s.run(ctx, landScript, keys, batch.Tracking).Text()
	return next, unavailable("tell the end of a batch", err)
}
