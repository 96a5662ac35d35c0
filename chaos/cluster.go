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
				if err := victim.Start(ctx); err != nil {
					return err
				}
				return r.world.AwaitMasters(ctx, 3) // it takes itself for one until it hears otherwise
			},
		},
		{
			name:  "cluster-slots-migrate",
			shows: "slots that are written to move from master to master, a few keys at a time: redirections are followed, and scripts of which some keys have moved and others not are tried again",
			why:   "a call's outcome could not be written down while its slot was between two masters and its claim lasted",
			spec:  spec, rate: 20,
			fault: migrate,
		},
	}
}

// migrate moves slots that are in use, one after the other.
func migrate(ctx context.Context, r *run) error {
	r.world.Backends.Answer(100*time.Millisecond, 100*time.Millisecond, 0)
	moved := 0
	for until := time.Now().Add(r.length(8*time.Second, 60*time.Second)); time.Now().Before(until); moved++ {
		masters := r.world.Masters(ctx)
		if len(masters) != 3 {
			return fmt.Errorf("%d masters, want 3", len(masters))
		}
		from := r.rand.IntN(3)
		to := (from + 1 + r.rand.IntN(2)) % 3
		slots, err := masters[from].BusySlots(ctx)
		if err != nil {
			return err
		}
		if len(slots) == 0 {
			continue
		}
		slot := slots[r.rand.IntN(len(slots))]
		if err := r.world.MoveSlot(ctx, masters[from], masters[to], slot, r.between(5*time.Millisecond, 60*time.Millisecond)); err != nil {
			return err
		}
	}
	if moved == 0 {
		r.wrong("no slot was moved")
	}
	return nil
}
