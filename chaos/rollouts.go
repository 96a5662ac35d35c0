package main

import (
	"context"
	"fmt"
	"time"

	"headgate/chaos/world"
)

func rolloutScenarios() []*scenario {
	return []*scenario{
		{
			name: "rolling-restart", shows: "gateways, workers and Redis are restarted in good order, one after the other, under load",
			why:  "a call outlasted limits.shutdown of its worker, or its answer came while Redis was being restarted",
			spec: world.Spec{Gateways: 2, Workers: 2}, fault: rollEverything,
		},
		{
			name: "config-reload", shows: "routes and targets change again and again under load, also to a file that is wrong: every delivery goes on under the plan that it was accepted under",
			spec: world.Spec{Gateways: 2, Workers: 2}, fault: reload,
		},
	}
}

func rollEverything(ctx context.Context, r *run) error {
	for range int(r.length(1, 4)) {
		for _, h := range r.world.Hosts() {
			if err := h.Stop(); err != nil {
				return err
			}
			if err := h.Start(ctx); err != nil {
				return err
			}
			if err := r.sleep(ctx, r.between(0, time.Second)); err != nil {
				return err
			}
		}
		if err := r.world.Redis.Stop(30 * time.Second); err != nil {
			return err
		}
		if err := r.world.Redis.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

func reload(ctx context.Context, r *run) error {
	for i := range int(r.length(20, 100)) {
		routes := world.Routes{
			Note: fmt.Sprint("version ", i), Timeout: fmt.Sprint(3+r.rand.IntN(5), "s"),
			Extra: r.rand.IntN(2) == 0, Broken: r.rand.IntN(4) == 0,
		}
		if err := r.world.WriteRoutes(routes); err != nil {
			return err
		}
		// Not all at the same time: hosts run different versions for a moment.
		for _, h := range r.world.Hosts() {
			if err := h.Reload(); err != nil {
				return err
			}
			if err := r.sleep(ctx, r.between(0, 200*time.Millisecond)); err != nil {
				return err
			}
		}
	}
	r.check = func() {
		if r.world.Logged("reload refused") == 0 || r.world.Logged(`"msg":"reloaded"`) == 0 {
			r.wrong("nothing was reloaded, or no wrong file was refused")
		}
	}
	return nil
}
