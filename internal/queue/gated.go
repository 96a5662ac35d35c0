package queue

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

// gated is the client of an asynq server. Its looks at queues go through the gate, and by
// the plain client: a look is waited for by all slots, and must not stand behind others'
// commands. Its looks for tasks whose time has come are thinned out (forward.go). Its other scripts share pipelines with those of concurrent runs.
type gated struct {
	redis.UniversalClient
	scripts redis.UniversalClient
	gate    *gate
	done    *dones
}

// EvalSha runs a script that the server has.
func (c gated) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	switch {
	case isDequeue(keys):
		return c.dequeue(ctx, keys, args)
	case isForward(keys):
		return c.forward(ctx, keys, func() *redis.Cmd { return c.scripts.EvalSha(ctx, sha, keys, args...) })
	case isDone(keys):
		return c.done.take(ctx, c.scripts, keys, args)
	}
	return c.scripts.EvalSha(ctx, sha, keys, args...)
}

// Eval runs a script that the server has lost.
func (c gated) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	switch {
	case isDequeue(keys):
		return c.dequeue(ctx, keys, args)
	case isForward(keys):
		return c.forward(ctx, keys, func() *redis.Cmd { return c.scripts.Eval(ctx, script, keys, args...) })
	case isDone(keys):
		return c.done.take(ctx, c.scripts, keys, args)
	}
	return c.scripts.Eval(ctx, script, keys, args...)
}

// dequeue answers asynq's look at a lane.
func (c gated) dequeue(ctx context.Context, keys []string, args []any) *redis.Cmd {
	cmd := redis.NewCmd(ctx)
	message, err := c.gate.pass(laneOf(keys), func(n int) ([]taken, error) {
		lot, err := take(ctx, c.UniversalClient, keys, args, n)
		if err == nil && !c.gate.stock.keep(lot) {
			err = errors.Join(redis.Nil, putBack(ctx, c.UniversalClient, lot))
		}
		return lot, err
	})
	if err != nil {
		cmd.SetErr(err)
	} else {
		cmd.SetVal(message)
	}
	return cmd
}

// isDequeue recognises asynq's dequeue script by its keys: pending, paused, ….
func isDequeue(keys []string) bool {
	return len(keys) >= 2 && strings.HasSuffix(keys[0], pendingSuffix) && strings.HasSuffix(keys[1], ":paused")
}

const pendingSuffix = "}:pending"

// laneOf gives the queue whose pending list is the first key.
func laneOf(keys []string) string {
	return strings.TrimSuffix(strings.TrimPrefix(keys[0], "asynq:{"), pendingSuffix)
}

// holdsBegun tells whether a lane is that of deliveries that have begun.
func holdsBegun(lane string) bool { return strings.HasSuffix(lane, resumeSuffix) }
