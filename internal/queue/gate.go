package queue

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// gate holds an asynq server's look at its queues. asynq polls: with a short interval an
// empty queue costs hundreds of commands a second, with a long one a task waits half a
// second. The gate sits in the Redis client given to the server; it recognises the
// dequeue script by its first two keys and, once every lane was found empty, holds the
// next look until a task was queued or idleLook has passed. It also holds every look for
// as long as the target's valve is shut.
//
// It sits before the dequeue, so that nothing is taken out and no slot is held.
type gate struct {
	lanes  int
	valve  Valve
	signal chan struct{}      // capacity 1: a signal that comes during a look is kept
	over   context.Context    // ends for good when the server is to stop
	end    context.CancelFunc // ends over

	staleAfter time.Duration // staleLook; tests wait for less

	holds   atomic.Int64 // empty looks held so far
	signals atomic.Int64 // holds ended by a signal

	// asynq looks from one goroutine, but nothing says that it always will.
	mu    sync.Mutex
	round int // lanes that asynq has been through in this round
	empty int // lanes found empty in a row
	stale int // lanes of this round that are passed over
}

// idleLook is how long an empty queue is left alone without a signal: what bounds the
// delay of scheduled tasks that became due, and of a signal that was lost.
const idleLook = time.Second

// errorPause keeps asynq from spinning while Redis is away.
const errorPause = 200 * time.Millisecond

// staleLook is how long a look may be held and still be made. asynq fixes the lease of
// what it will find before it looks (30 s), so that a task found by a look that was held
// for longer would be taken for one of a dead worker.
const staleLook = 10 * time.Second

func newGate(lanes int, valve Valve) *gate {
	g := &gate{lanes: lanes, valve: valve, signal: make(chan struct{}, 1), staleAfter: staleLook}
	g.over, g.end = context.WithCancel(context.Background())
	return g
}

// wake lets the server look now.
func (g *gate) wake() {
	select {
	case g.signal <- struct{}{}:
	default:
	}
}

// release ends all holding, so that stopping does not wait for it. From then on the
// queues look empty: what is shut stays shut.
func (g *gate) release() { g.end() }

// gated is a client whose looks at queues go through a gate; everything else passes. It
// is the same for every kind of client: asynq asks for no more than the interface.
type gated struct {
	redis.UniversalClient
	gate *gate
}

// EvalSha runs a script that the server has.
func (c gated) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	return c.gate.pass(ctx, keys, func() *redis.Cmd { return c.UniversalClient.EvalSha(ctx, sha, keys, args...) })
}

// Eval runs a script that the server has lost.
func (c gated) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return c.gate.pass(ctx, keys, func() *redis.Cmd { return c.UniversalClient.Eval(ctx, script, keys, args...) })
}

// isDequeue recognises asynq's dequeue script by its keys: pending, paused, ….
func isDequeue(keys []string) bool {
	return len(keys) >= 2 && strings.HasSuffix(keys[0], ":pending") && strings.HasSuffix(keys[1], ":paused")
}

// holdsBegun tells whether a dequeue is for the lane of deliveries that have begun.
func holdsBegun(keys []string) bool { return strings.HasSuffix(keys[0], resumeSuffix+"}:pending") }

// pass runs a script, and a look only when the gate lets it.
func (g *gate) pass(ctx context.Context, keys []string, run func() *redis.Cmd) *redis.Cmd {
	if !isDequeue(keys) {
		return run()
	}
	if v := g.enter(holdsBegun(keys)); v != look {
		g.passedOver(v)
		cmd := redis.NewCmd(ctx)
		cmd.SetErr(redis.Nil) // asynq goes on to the next lane
		return cmd
	}
	cmd := run()
	err := cmd.Err()
	g.looked(err)
	switch {
	case err == nil:
		g.valve.Took(holdsBegun(keys))
	case !errors.Is(err, redis.Nil) && !isNoScript(err):
		g.pause(errorPause)
	}
	return cmd
}

func isNoScript(err error) bool { return redis.HasErrorPrefix(err, "NOSCRIPT") }

// verdict is what the gate makes of a look.
type verdict int

const (
	look   verdict = iota
	barred         // there is nothing for us in this lane now
	stale          // the look was held for too long; the next will be a fresh one
)

// enter waits until a lane may be looked at.
func (g *gate) enter(begun bool) verdict {
	g.mu.Lock()
	idle, passOver := g.empty >= g.lanes, g.stale > 0
	g.mu.Unlock()
	if passOver {
		return stale
	}
	if idle {
		g.valve.Empty(g.over)
		g.holds.Add(1)
		g.pause(idleLook)
		g.mu.Lock()
		g.empty = 0
		g.mu.Unlock()
	}
	since := time.Now()
	switch {
	case !g.valve.Enter(g.over, begun) || g.over.Err() != nil:
		return barred
	case time.Since(since) < g.staleAfter:
		return look
	}
	// The rest of the round goes with it: otherwise the lane that asynq wanted first,
	// mostly that of what has begun, would be the one that always loses.
	g.mu.Lock()
	g.stale = g.lanes - g.round
	g.mu.Unlock()
	return stale
}

func (g *gate) passedOver(v verdict) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if v == barred {
		g.empty++
	} else {
		g.empty = 0
		g.stale--
	}
	g.next()
}

// looked counts a look and what it came to: redis.Nil is an empty lane.
func (g *gate) looked(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case isNoScript(err): // asynq sends the same look again, with the script
	case errors.Is(err, redis.Nil):
		g.empty++
		g.next()
	default: // a task, or an error: asynq begins anew with the lane it likes best
		g.round, g.empty = 0, 0
	}
}

// next is called with mu held.
func (g *gate) next() {
	if g.round++; g.round >= g.lanes {
		g.round, g.stale = 0, 0
	}
}

func (g *gate) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-g.signal:
		g.signals.Add(1)
	case <-g.over.Done():
	case <-timer.C:
	}
}
