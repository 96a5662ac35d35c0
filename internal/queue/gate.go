package queue

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// gate holds an asynq server's look at its queues. asynq polls: with a short interval an
// empty queue costs hundreds of commands a second, with a long one a task waits half a
// second. The gate sits in the Redis client given to the server (gated.go) and, once every
// lane was found empty, holds the next look until a task was queued or idleLook has passed.
// It also holds every look for as long as the target's valve is shut.
//
// It sits before the dequeue, so that nothing is taken out and no slot is held.
type gate struct {
	lanes  int
	slots  int
	valve  Valve
	stock  stock
	signal chan struct{}      // capacity 1: a signal that comes during a look is kept
	over   context.Context    // ends for good when the server is to stop
	end    context.CancelFunc // ends over

	staleAfter time.Duration // staleLook; tests wait for less

	forwards forwards // looks for tasks whose time has come

	holds   atomic.Int64 // empty looks held so far
	signals atomic.Int64 // holds ended by a signal

	// asynq looks from one goroutine, but nothing says that it always will.
	mu    sync.Mutex
	round int                  // lanes that asynq has been through in this round
	empty int                  // lanes found empty in a row
	stale int                  // lanes of this round that are passed over
	rests map[string]time.Time // lanes found empty, and when they are looked at again
	again time.Time            // when a lane that is passed over may be let in; zero: that is not known
	out   int                  // tasks that asynq was given and that have not ended
}

// idleLook is how long an empty queue is left alone without a signal. Whatever is queued
// comes with one; this bounds the delay of a task whose signal was lost, or that somebody
// has put there by hand.
const idleLook = 5 * time.Second

// errorPause keeps asynq from spinning while Redis is away.
const errorPause = 200 * time.Millisecond

// staleLook is how long a look may be held and still be made. asynq fixes the lease of
// what it will find before it looks (30 s), so that a task found by a look that was held
// for longer would be taken for one of a dead worker (leaseLeft).
const staleLook = 10 * time.Second

func newGate(lanes, slots int, valve Valve) *gate {
	g := &gate{
		lanes: lanes, slots: slots, valve: valve, signal: make(chan struct{}, 1),
		staleAfter: staleLook, rests: map[string]time.Time{},
		forwards: forwards{next: map[string]time.Time{}},
	}
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

// pass gives a task of a lane: one that was taken out before, or the first of a new lot,
// which take has taken out and put into stock. redis.Nil is an empty lane; asynq goes on to
// the next one.
func (g *gate) pass(lane string, take func(n int) ([]taken, error)) (string, error) {
	if message, ok, some := g.stock.give(lane); ok {
		g.given()
		return message, nil
	} else if some {
		return "", redis.Nil
	}
	begun := holdsBegun(lane)
	if v := g.enter(lane, begun); v != look {
		g.passedOver(v)
		return "", redis.Nil
	}
	lot, err := take(g.valve.Room(begun, g.free()))
	if errors.Is(err, redis.Nil) { // stopping
		return "", redis.Nil
	}
	g.looked(lane, len(lot), err)
	if err != nil {
		g.pause(errorPause)
		return "", err
	}
	for range lot {
		g.valve.Took(begun)
	}
	message, ok, _ := g.stock.give(lane)
	if !ok {
		return "", redis.Nil
	}
	g.given()
	return message, nil
}

// given counts a task that was given to asynq and has not ended.
func (g *gate) given() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.out++
}

// ended says that a run is over.
func (g *gate) ended() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.out--
}

// free is how many tasks may be taken out at once. One slot always is: asynq has kept it
// for what it asks for.
func (g *gate) free() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return max(min(g.slots-g.out, maxLot), 1)
}

// verdict is what the gate makes of a look.
type verdict int

const (
	look   verdict = iota
	barred         // there is nothing for us in this lane now
	stale          // the look was held for too long; the next will be a fresh one
)

// enter waits until a lane may be looked at.
func (g *gate) enter(lane string, begun bool) verdict {
	since := time.Now()
	g.mu.Lock()
	idle, passOver, opens := g.empty >= g.lanes, g.stale > 0, g.again
	g.mu.Unlock()
	if passOver {
		return stale
	}
	if idle {
		g.valve.Empty(g.over)
		g.holds.Add(1)
		hold := idleLook
		if !opens.IsZero() { // a lane is not empty, perhaps, but passed over until then
			hold = min(hold, time.Until(opens))
		}
		g.pause(hold)
		g.mu.Lock()
		g.empty, g.again = 0, time.Time{}
		clear(g.rests)
		g.mu.Unlock()
	}
	if g.resting(lane, time.Now()) {
		return barred
	}
	ok, again := g.valve.Enter(g.over, begun)
	switch {
	case !ok || g.over.Err() != nil:
		g.await(again)
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

// await notes when a lane may be let in that is passed over now.
func (g *gate) await(again time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !again.IsZero() && (g.again.IsZero() || again.Before(g.again)) {
		g.again = again
	}
}

// emptyRest is how long a lane that was found empty is passed over. Most tasks of a target
// are in one lane, and without this each of them would cost looks at the others, too. It
// counts as empty meanwhile: a signal that came since then is still there, and ends the
// hold at once as well as all rests.
const emptyRest = 5 * time.Millisecond

func (g *gate) resting(lane string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return now.Before(g.rests[lane])
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

// looked counts a look and what it came to.
func (g *gate) looked(lane string, found int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err == nil && found == 0 {
		g.rests[lane] = time.Now().Add(emptyRest)
		g.empty++
		g.next()
		return
	}
	g.round, g.empty = 0, 0 // asynq begins anew with the lane it likes best
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
