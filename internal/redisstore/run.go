package redisstore

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// What a cluster answers while a slot is on its way or a master is being replaced: the
// command was not executed, and soon can be. The last one comes from within a script,
// about a key that has gone ahead of the others; ours may be repeated.
var soon = []string{"TRYAGAIN", "CLUSTERDOWN", "LOADING", "READONLY", "MASTERDOWN", "Script attempted to access a non local key"}

func notNow(err error) bool {
	for _, prefix := range soon {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return false
}

// patient bounds how long a script waits for a cluster to sort itself out; moving a slot
// takes less, unless it is very full. Whoever waits has a deadline besides.
const (
	patient   = 2 * time.Second
	firstWait = 20 * time.Millisecond
)

// run executes a script whose keys lie in one slot. In a cluster what is refused for the
// moment is tried again, away from the shared pipelines, so that nobody else waits.
func (s *Store) run(ctx context.Context, script *redis.Script, keys []string, args ...any) *redis.Cmd {
	cmd := script.Run(ctx, s.rdb, keys, args...)
	if !s.cluster {
		return cmd
	}
	waited := time.Duration(0)
	for wait := firstWait; notNow(cmd.Err()) && waited < patient; wait *= 2 {
		if pause(ctx, wait) != nil {
			return cmd
		}
		waited += wait
		cmd = script.Run(ctx, s.base, keys, args...)
	}
	return cmd
}
