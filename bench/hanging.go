package main

import (
	"context"
	"errors"
	"time"

	"headgate/chaos/world"
)

// hangingNeighbour measures what a target that hangs for 30 s does to the others.
func hangingNeighbour(ctx context.Context, o options, binaries world.Binaries) ([]Figure, error) {
	r, err := newIsolation(ctx, o, binaries)
	if r != nil {
		defer r.close()
	}
	if err != nil {
		return nil, err
	}
	say("hanging: one target hangs, %d rounds", o.rounds())
	f, err := r.compare("healthy targets' p99 while one hangs for 30 s ÷ quiet", o.rounds(), o.span(1500*time.Millisecond, 3*time.Second), r.hang, r.letGo)
	return []Figure{f, r.quiet}, err
}

// hang lets the ill target hang, and sends it more than it has slots: they are all taken
// before anything is measured.
func (r *isolation) hang() error {
	r.back.hang.Store(&hanging{target: "ill", of: r.ill.client.prefix, over: make(chan struct{})})
	if _, err := r.ill.client.steady(r.ctx, "/ill/", 200, 200*time.Millisecond); err != nil {
		return err
	}
	return sleep(r.ctx, 100*time.Millisecond)
}

// letGo ends it and waits until the target has caught up.
func (r *isolation) letGo() error {
	close(r.back.hang.Swap(nil).over)
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); {
		left, err := r.pending()
		if err != nil || left == 0 {
			return err
		}
		if err := sleep(r.ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return errors.New("the target that hung does not catch up")
}
