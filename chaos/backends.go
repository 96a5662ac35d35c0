package main

import (
	"context"
	"time"

	"headgate/chaos/world"
)

func backendScenarios() []*scenario {
	return []*scenario{
		{
			name: "backend-down", shows: "the backends refuse connections for five minutes: deliveries wait behind the breaker and go out when they are back",
			why:  "the connection was closed after the backend had done it and before its answer had come",
			spec: world.Spec{Workers: 2, Links: true}, rate: 10,
			fault: func(ctx context.Context, r *run) error {
				r.world.BackendLink.Down()
				if err := r.sleep(ctx, r.length(20*time.Second, 5*time.Minute)); err != nil {
					return err
				}
				return r.world.BackendLink.Up()
			},
		},
		{
			name: "backend-slow", shows: "the backends do their work and answer after the time-out: retries are bounded by the breaker and end well when answers come in time again",
			why:  "the backend did it and answered after the target's time-out: nobody here can know, so it was sent again under the same Idempotency-Key",
			spec: world.Spec{Workers: 2, Timeout: "1s"}, rate: 10,
			fault: func(ctx context.Context, r *run) error {
				r.world.Backends.Answer(0, 1500*time.Millisecond, 0)
				err := r.sleep(ctx, r.length(10*time.Second, time.Minute))
				r.world.Backends.Answer(0, 0, 0)
				return err
			},
		},
	}
}
