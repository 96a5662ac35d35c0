package flow

import (
	"context"
	"time"
)

// Store is what all workers know together. Spans of time are given instead of times,
// so that the clocks of the workers need not agree; the store's own clock counts.
type Store interface {
	// Look gives what holds targets back, in one round trip. A target that nothing holds
	// back is not in it. For each target of probing the worker asks for the right to probe
	// in the same breath, or to keep it; the right ends by itself when it is not renewed.
	Look(ctx context.Context, worker string, probing []string, right time.Duration) (map[string]Fleet, error)
	// Trip opens a target's breaker for all workers: for openFor, twice as long each time
	// that a probe has failed, at most longest. One that is open already stays as it is.
	Trip(ctx context.Context, target, worker string, openFor, longest time.Duration) error
	// Reset closes a target's breaker for all workers: a probe was successful.
	Reset(ctx context.Context, target string) error
	// Hold keeps new deliveries of a target back for at least the given time.
	Hold(ctx context.Context, target string, d time.Duration) error
	// Lease takes up to want of the target's tokens, which come evenly; as many as burst
	// are kept when nobody takes them. When there is none, the next is due after wait.
	Lease(ctx context.Context, target string, every time.Duration, burst, want int) (got int, wait time.Duration, err error)
	// Return gives back tokens that were not used.
	Return(ctx context.Context, target string, every time.Duration, tokens int) error
	// Changes gives a channel that receives when something that Look shows has changed, and
	// a function that ends it. A change may be missed, while the store is away for example.
	Changes(ctx context.Context) (changes <-chan struct{}, end func())
}

// Fleet is what all workers know of a target.
type Fleet struct {
	// Open tells that the breaker is not closed: open for OpenFor; when that is over, it is
	// half-open, and whoever has the right may probe.
	Open    bool
	OpenFor time.Duration
	// Mine tells that the right to probe was given to the worker that looks.
	Mine bool
	// Held is for how long new deliveries are held back.
	Held time.Duration
	// Order is what an operator has said of the target; zero: nothing.
	Order Order
}
