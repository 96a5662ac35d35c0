package queue

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// gate holds an asynq server's look at its queues. asynq polls: with a short interval an
// empty queue costs hundreds of commands a second, with a long one a task waits half a
// second. The gate is a hook on the Redis client given to the server; it recognises the
// dequeue script by its first two keys and, once every lane was found empty, holds the
// next look until a task was queued or idleLook has passed.
//
// It sits before the dequeue, so that nothing is taken out and no slot is held.
type gate struct {
	lanes  int64
	signal chan struct{} // capacity 1: a signal that comes during a look is kept
	open   chan struct{} // closed for good when the server is to stop

	holds   atomic.Int64 // empty looks held so far
	signals atomic.Int64 // holds ended by a signal

	// looks left before the next hold. asynq looks from one goroutine, but nothing says
	// that it always will.
	looks atomic.Int64
	once  sync.Once
}

// idleLook is how long an empty queue is left alone without a signal: what bounds the
// delay of scheduled tasks that became due, and of a signal that was lost.
const idleLook = time.Second

// errorPause keeps asynq from spinning while Redis is away.
const errorPause = 200 * time.Millisecond

func newGate(lanes int) *gate {
	g := &gate{lanes: int64(lanes), signal: make(chan struct{}, 1), open: make(chan struct{})}
	g.looks.Store(g.lanes)
	return g
}

// wake lets the server look now.
func (g *gate) wake() {
	select {
	case g.signal <- struct{}{}:
	default:
	}
}

// release opens the gate for good, so that stopping does not wait for it.
func (g *gate) release() { g.once.Do(func() { close(g.open) }) }

// isDequeue recognises asynq's dequeue script: EVALSHA sha numkeys pending paused ….
func isDequeue(cmd redis.Cmder) bool {
	args := cmd.Args()
	if len(args) < 5 || (cmd.Name() != "evalsha" && cmd.Name() != "eval") {
		return false
	}
	first, _ := args[3].(string)
	second, _ := args[4].(string)
	return strings.HasSuffix(first, ":pending") && strings.HasSuffix(second, ":paused")
}

// ProcessHook implements redis.Hook.
func (g *gate) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if !isDequeue(cmd) {
			return next(ctx, cmd)
		}
		g.hold()
		err := next(ctx, cmd)
		switch {
		case err == nil:
			g.looks.Store(g.lanes) // there was work: look on
		case !errors.Is(err, redis.Nil) && !isNoScript(err):
			g.pause(errorPause)
		}
		return err
	}
}

func isNoScript(err error) bool { return redis.HasErrorPrefix(err, "NOSCRIPT") }

func (g *gate) hold() {
	if g.looks.Add(-1) >= 0 {
		return
	}
	g.holds.Add(1)
	g.pause(idleLook)
	g.looks.Store(g.lanes - 1)
}

func (g *gate) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-g.signal:
		g.signals.Add(1)
	case <-g.open:
	case <-timer.C:
	}
}

// DialHook implements redis.Hook.
func (g *gate) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessPipelineHook implements redis.Hook.
func (g *gate) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
