package main

import (
	"context"
	"time"

	"headgate/chaos/world"
)

const mayForgetReplica = "replication is asynchronous: what the old master acknowledged in its last moments may not have reached a replica; `redis.ack` closes that"

func failoverScenarios() []*scenario {
	const why = "that it was done had been written to the old master only: the new one had it done again under the same Idempotency-Key"
	return []*scenario{
		{
			name:  "sentinel-failover",
			shows: "the master dies under load and three Sentinels promote one of its two replicas; the old master comes back as a replica",
			why:   why, mayForget: mayForgetReplica,
			spec:  world.Spec{Gateways: 2, Workers: 2, Redis: world.Sentinel},
			fault: failOver,
		},
		{
			name:  "sentinel-failover-acked",
			shows: "the same with `redis: {ack: {replicas: 1}}`: what was acknowledged is known to the replica that is promoted",
			why:   why,
			spec:  world.Spec{Gateways: 2, Workers: 2, Redis: world.Sentinel, Ack: true},
			fault: failOver,
		},
	}
}

func failOver(ctx context.Context, r *run) error {
	if err := r.sleep(ctx, r.between(0, 2*time.Second)); err != nil {
		return err
	}
	old := r.world.Redis
	old.Kill()
	if err := r.world.Promoted(ctx); err != nil {
		return err
	}
	r.lifted = time.Now()
	if err := r.sleep(ctx, r.length(2*time.Second, 10*time.Second)); err != nil {
		return err
	}
	return old.Start(ctx)
}
