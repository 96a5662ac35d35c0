package queue

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// asynq's forwarder looks each second, in each queue, for tasks whose time has come: two
// scripts for each of a target's three queues, on an idle system a quarter of a thousand
// commands a second with twenty targets. Only what has begun is ever given a time, so
// only there are scheduled tasks looked for each second. Other sets have tasks after an
// error of the infrastructure, or by hand.

// rareForward is how often the other sets are looked at. afterError is how long they are
// looked at each second after an error: asynq runs the task again within maxRetryDelay.
const (
	rareForward = 5 * time.Second
	afterError  = maxRetryDelay + rareForward
)

// forwards paces the looks at sets, by their keys.
type forwards struct {
	mu    sync.Mutex
	next  map[string]time.Time // sets that were looked at and had nothing
	often time.Time            // until then all are looked at each second
}

// failed says that a run ended with an error.
func (f *forwards) failed(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.often = now.Add(afterError)
}

func (f *forwards) due(set string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return now.Before(f.often) || !now.Before(f.next[set])
}

func (f *forwards) foundNothing(set string, now time.Time) {
	if strings.HasSuffix(set, resumeSuffix+scheduledSuffix) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next[set] = now.Add(rareForward)
}

// forward answers asynq's look at one set: by look, or with nothing. Nobody else knows when
// a task's time has come, so it is told to all workers.
func (c gated) forward(ctx context.Context, keys []string, look func() *redis.Cmd) *redis.Cmd {
	now := time.Now()
	if !c.gate.forwards.due(keys[0], now) {
		cmd := redis.NewCmd(ctx)
		cmd.SetVal(int64(0))
		return cmd
	}
	cmd := look()
	moved, err := cmd.Int()
	switch {
	case err != nil:
	case moved == 0:
		c.gate.forwards.foundNothing(keys[0], now)
	default:
		_ = c.scripts.Publish(ctx, wakeChannel, TargetOf(laneOf(keys[1:]))).Err() // what is missed waits for idleLook
	}
	return cmd
}

// isForward recognises asynq's forward script by its keys: scheduled or retry, pending.
func isForward(keys []string) bool {
	return len(keys) == 2 && strings.HasSuffix(keys[1], pendingSuffix) &&
		(strings.HasSuffix(keys[0], scheduledSuffix) || strings.HasSuffix(keys[0], retrySuffix))
}

const (
	scheduledSuffix = "}:scheduled"
	retrySuffix     = "}:retry"
)
