package main

import (
	"context"
	"fmt"
	"time"

	"headgate/chaos/world"
)

func clusterScenarios() []*scenario {
	spec := world.Spec{Gateways: 2, Workers: 2, Redis: world.Cluster}
	return []*scenario{
		{
			name:      "cluster-master-dies",
			shows:     "a master of a cluster of three dies under load and its replica takes its slots; the old master comes back as a replica",
			why:       "that it was done had been written to the old master only: the new one had it done again under the same Idempotency-Key; or the claim ended before the new one was there",
			mayForget: mayForgetReplica, spec: spec, rate: 20,
			fault: func(ctx context.Context, r *run) error {
				victim := r.world.Nodes[r.rand.IntN(3)]
				if err := r.sleep(ctx, r.between(0, 2*time.Second)); err != nil {
					return err
				}
				victim.Kill()
				if err := r.sleep(ctx, time.Second); err != nil {
					return err
				}
				if err := r.world.AwaitMasters(ctx, 3); err != nil {
					return err
				}
				r.lifted = time.Now()
				if err := r.sleep(ctx, r.length(2*time.Second, 10*time.Second)); err != nil {
					return err
				}
				return victim.Start(ctx)
			},
		},
		{
			name:  "cluster-slots-migrate",
			shows: "slots move from master to master with all their keys while they are written to: redirections are followed, scripts whose keys are half-moved are tried again",
			why:   "a call's outcome could not be written down while its slot was between two masters and its claim lasted",
			spec:  spec, rate: 20,
			fault: func(ctx context.Context, r *run) error {
				for i := range int(r.length(2, 6)) {
					masters := r.world.Masters(ctx)
					if len(masters) != 3 {
						return fmt.Errorf("%d masters, want 3", len(masters))
					}
					if err := r.world.MoveSlots(ctx, masters[i%3], masters[(i+1)%3], 300+r.rand.IntN(700)); err != nil {
						return err
					}
				}
				return nil
			},
		},
	}
}
