package main

import (
	"context"
	"fmt"
	"time"

	"headgate/chaos/world"
)

func gatewayScenarios() []*scenario {
	return []*scenario{
		{
			name:  "gateway-killed",
			shows: "kill -9 of the only gateway, again and again under load: what was acknowledged is delivered, and a request that was cut off is one dispatch however often it is repeated",
			fault: killGateway,
		},
		{
			name:  "gateway-killed-before-enqueue",
			shows: "the gateway dies between recording a request and queueing its tasks: the due index brings the deliveries to the workers, and the client's repeat finds what was recorded",
			spec:  world.Spec{Failpoints: true},
			fault: killGatewayBeforeEnqueue,
		},
	}
}

func killGateway(ctx context.Context, r *run) error {
	g := r.world.Gateways[0]
	for range int(r.length(3, 12)) {
		if err := r.sleep(ctx, r.between(500*time.Millisecond, 3*time.Second)); err != nil {
			return err
		}
		g.Kill()
		if err := r.sleep(ctx, r.between(0, time.Second)); err != nil {
			return err
		}
		if err := g.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// failpointVariable arms a fail-point; see internal/failpoint.
const failpointVariable = "HEADGATE_FAILPOINT"

// selfKill bounds how long an armed process may take to come to its end.
const selfKill = 60 * time.Second

func killGatewayBeforeEnqueue(ctx context.Context, r *run) error {
	g := r.world.Gateways[0]
	for range int(r.length(3, 12)) {
		if err := g.Stop(); err != nil {
			return err
		}
		g.Env[failpointVariable] = fmt.Sprintf("gateway.accepted:%d", 1+r.rand.IntN(40))
		if err := g.StartArmed(ctx); err != nil {
			return err
		}
		if !g.Ended(selfKill) {
			return fmt.Errorf("the gateway did not come to its fail-point within %v", selfKill)
		}
		delete(g.Env, failpointVariable)
		if err := g.Start(ctx); err != nil {
			return err
		}
		if err := r.sleep(ctx, r.between(0, 500*time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}
