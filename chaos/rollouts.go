package main

import (
	"context"
	"errors"
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
			name: "rolling-update", shows: "every gateway and worker is replaced, one after the other, behind a load balancer that hears of it late: no request is refused or cut off, and whoever waits for an end is answered",
			why:  "a call outlasted limits.shutdown of its worker",
			spec: world.Spec{Gateways: 3, Workers: 2, Balanced: true, Drain: "3s"}, rate: 80, refusesNothing: true, fault: replaceEverything,
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

// waiters is how many clients wait for the end of a dispatch at a time.
const waiters = 8

// replaceEverything does what Kubernetes does with each pod of a Deployment. That a pod is to
// end is told at the same time to its process, perhaps after a preStop, and to those who send
// requests, who hear of it world.Lag later.
func replaceEverything(ctx context.Context, r *run) error {
	ctx, cancel := context.WithCancel(ctx)
	answered := r.clients.Wait(ctx, waiters, r.wrong)
	defer func() {
		cancel()
		if n := answered(); n == 0 {
			r.wrong("nobody waited for the end of a dispatch")
		}
	}()
	for i := range int(r.length(2, 6)) {
		for _, h := range r.world.Gateways {
			if err := replaceGateway(ctx, r, h, time.Duration(i%2)*world.Lag/2); err != nil {
				return err
			}
		}
		for _, h := range r.world.Workers {
			if err := h.Stop(); err != nil {
				return err
			}
			if err := h.Start(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func replaceGateway(ctx context.Context, r *run, h *world.Host, preStop time.Duration) error {
	told := make(chan error, 1)
	go func() {
		err := r.sleep(ctx, world.Lag)
		r.world.Balancer.Leave(h)
		told <- err
	}()
	if err := r.sleep(ctx, preStop); err != nil {
		return errors.Join(err, <-told)
	}
	if err := errors.Join(h.Stop(), <-told); err != nil {
		return err
	}
	if err := h.Start(ctx); err != nil {
		return err
	}
	r.world.Balancer.Join(h)
	return r.eventually(ctx, h.Name+" does not become ready again", func() bool { return r.world.Balancer.Ready(h) })
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
