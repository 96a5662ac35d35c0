package main

import (
	"context"
	"time"

	"headgate/chaos/world"
)

const mayForgetReplica = "replication is asynchronous: what the old master acknowledged in its last moments may not have reached the replica"

func failoverScenarios() []*scenario {
	return []*scenario{
		{
			name:      "sentinel-failover",
			shows:     "the master dies under load and three Sentinels promote its replica; the old master comes back as a replica",
			why:       "that it was done had been written to the old master only: the new one had it done again under the same Idempotency-Key",
			mayForget: mayForgetReplica,
			spec:      world.Spec{Gateways: 2, Workers: 2, Redis: world.Sentinel},
			fault: func(ctx context.Context, r *run) error {
				if err := r.sleep(ctx, r.between(0, 2*time.Second)); err != nil {
					return err
				}
				r.world.Redis.Kill()
				if err := r.world.Promoted(ctx); err != nil {
					return err
				}
				r.lifted = time.Now()
				if err := r.sleep(ctx, r.length(2*time.Second, 10*time.Second)); err != nil {
					return err
				}
				return r.world.Replica.Start(ctx)
			},
		},
	}
}
