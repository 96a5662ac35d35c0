package redisstore

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// Running counts the deliveries and batches of each target that a run of some worker holds.
// There are as many as the workers have slots.
func (s *Store) Running(ctx context.Context) (map[string]int, error) {
	shards, err := s.openShards(ctx) // what runs has not ended
	if err != nil {
		return nil, unavailable("count runs", err)
	}
	out := map[string]int{}
	if len(shards) == 0 {
		return out, nil
	}
	pipe := s.base.Pipeline()
	rows := make([]*redis.StringSliceCmd, len(shards))
	for i, shard := range shards {
		rows[i] = pipe.ZRange(ctx, runningKey(shard), 0, -1)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, unavailable("count runs", err)
	}
	for _, c := range rows {
		for _, m := range c.Val() {
			if ref, ok := splitMember(m); ok {
				out[ref.Target]++
			}
		}
	}
	return out, nil
}
