package main

import (
	"context"
	"time"

	"headgate/chaos/world"
)

func gatewayScenarios() []*scenario {
	return []*scenario{
		{
			name:  "gateway-killed",
			shows: "kill -9 of the only gateway, several times under load: what was acknowledged is delivered, and a request that was cut off can be repeated with its key",
			spec:  world.Spec{Workers: 1},
			fault: func(ctx context.Context, r *run) error {
				for range int(r.length(3, 10)) {
					r.world.Gateways[0].Kill()
					if err := r.sleep(ctx, r.between(0, time.Second)); err != nil {
						return err
					}
					if err := r.world.Gateways[0].Start(ctx); err != nil {
						return err
					}
					if err := r.sleep(ctx, r.between(500*time.Millisecond, 3*time.Second)); err != nil {
						return err
					}
				}
				return nil
			},
		},
	}
}
