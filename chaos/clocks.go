package main

import (
	"context"
	"fmt"
	"time"

	"headgate/chaos/world"
)

// clockVariable shifts the clock of a whole process; see build.go.
const clockVariable = "HEADGATE_CLOCK_OFFSET"

func clockScenarios() []*scenario {
	off := func(name, offset, shows string) *scenario {
		return &scenario{
			name: name, shows: shows, spec: world.Spec{Gateways: 2, Workers: 2, Clocks: true}, rate: 15,
			fault: func(ctx context.Context, r *run) error { return shiftClock(ctx, r, offset) },
		}
	}
	return []*scenario{
		off("clock-ahead", "5m", "the clock of one of two hosts is five minutes ahead, and is then put right: times of deliveries are those of Redis"),
		off("clock-behind", "-5m", "the clock of one of two hosts is five minutes behind, and is then put right"),
	}
}

// shiftClock restarts the gateway and the worker of one host with another clock, and
// then with the right one.
func shiftClock(ctx context.Context, r *run, offset string) error {
	host := []*world.Host{r.world.Gateways[0], r.world.Workers[0]}
	restart := func() error {
		for _, h := range host {
			if err := h.Stop(); err != nil {
				return err
			}
		}
		return startAll(ctx, host)
	}
	r.world.Backends.AskForPatience(6)
	r.check = func() {
		if n := r.world.Backends.TooEarly(); n > 0 {
			r.wrong(fmt.Sprintf("%d tries came before the time that the backend had asked for", n))
		}
	}
	for _, h := range host {
		h.Env[clockVariable] = offset
	}
	if err := restart(); err != nil {
		return err
	}
	if err := r.sleep(ctx, r.length(12*time.Second, 150*time.Second)); err != nil {
		return err
	}
	for _, h := range host {
		delete(h.Env, clockVariable)
	}
	return restart()
}
