package queue

import (
	"context"
	"time"
)

// Valve holds a target back: an open breaker, a rate that is used up, a pause. The gate
// asks it before each look into a queue of the target, so that nothing is taken out and
// no slot is held meanwhile. It is shared by all servers of a target in this process.
type Valve interface {
	// Enter waits until something may be taken out, however long that is. It returns
	// false when this queue is to be passed over for now: deliveries that have begun may go
	// on while new ones wait (begun tells which the queue holds), or the other way round; or
	// ctx has ended. again is when that may have changed by itself; zero: that is not known.
	Enter(ctx context.Context, begun bool) (ok bool, again time.Time)
	// Room tells how many of the wanted tasks may be taken out at once, at least one. It is
	// asked right after Enter has let somebody in.
	Room(begun bool, want int) int
	// Took says that a task was taken out; its run begins soon.
	Took(begun bool)
	// Begin says that a run has begun, and gives the context that it is to have. end says that
	// it is over; back tells that it needed nothing of what it had been let in for, so that
	// another may be let in.
	Begin(ctx context.Context, begun bool) (_ context.Context, end func() (back bool))
	// Empty says that all queues of the target were found empty.
	Empty(ctx context.Context)
}

// open is the valve of a target that nothing holds back.
type open struct{}

func (open) Enter(context.Context, bool) (bool, time.Time) { return true, time.Time{} }
func (open) Room(_ bool, want int) int                     { return want }
func (open) Took(bool)                                     {}
func (open) Empty(context.Context)                         {}
func (open) Begin(ctx context.Context, _ bool) (context.Context, func() bool) {
	return ctx, func() bool { return false }
}
