package main

import (
	"context"
	"fmt"
	"time"

	"headgate/chaos/world"
)

// whyKilled is the one cause of duplicates where workers are killed.
const whyKilled = "the call was under way when its worker was killed: the backend had done it and nobody was left to write that down, so it was sent again under the same Idempotency-Key (at least once)"

func workerScenarios() []*scenario {
	killed := func(name, shows string, before, after, poll time.Duration, polls bool) *scenario {
		return &scenario{
			name: name, shows: shows, why: whyKilled, rate: 15, spec: world.Spec{Workers: 2},
			fault: func(ctx context.Context, r *run) error {
				r.world.Backends.Answer(before, after, poll)
				return killWorkers(ctx, r, polls)
			},
		}
	}
	failing := func(name, point, shows string) *scenario {
		return &scenario{
			name: name, shows: shows, why: whyKilled, rate: 15, spec: world.Spec{Failpoints: true},
			fault: func(ctx context.Context, r *run) error { return killAt(ctx, r, point) },
		}
	}
	return []*scenario{
		killed("worker-killed-mid-step", "kill -9 of a worker while it has calls open: others go on with its deliveries at the recorded step",
			100*time.Millisecond, 150*time.Millisecond, 0, false),
		killed("worker-killed-mid-poll", "kill -9 of a worker while it asks for the state of jobs: the polls go on, nothing is uploaded again because of them",
			0, 0, 300*time.Millisecond, true),
		failing("worker-killed-after-claim", "worker.claimed", "a worker dies with a claim and nothing sent: the claim is taken over"),
		failing("worker-killed-before-apply", "worker.stepped", "a worker dies with the backend's answer in its hands: the one case where sending again cannot be avoided"),
		failing("worker-killed-before-enqueue", "worker.applied", "a worker dies between writing down an outcome and queueing what comes next: the due index queues it"),
		{
			name: "workers-gone", shows: "all workers are killed and stay away for a minute: requests are accepted meanwhile and delivered afterwards",
			why: whyKilled, spec: world.Spec{Workers: 2}, fault: workersGone,
		},
	}
}

// killWorkers kills one worker after the other while it has work under way.
func killWorkers(ctx context.Context, r *run, polls bool) error {
	for i := range int(r.length(3, 12)) {
		if err := r.sleep(ctx, r.between(time.Second, 3*time.Second)); err != nil {
			return err
		}
		if err := r.eventually(ctx, "no call was under way", func() bool {
			calls, asking := r.world.Backends.Held()
			if polls {
				return asking > 0
			}
			return calls > 2
		}); err != nil {
			return err
		}
		victim := r.world.Workers[i%len(r.world.Workers)]
		victim.Kill()
		if err := r.sleep(ctx, r.between(0, time.Second)); err != nil {
			return err
		}
		if err := victim.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// killAt adds workers that end themselves at a fail-point, one after the other.
func killAt(ctx context.Context, r *run, point string) error {
	for range int(r.length(3, 12)) {
		armed := fmt.Sprintf("%s:%d", point, 1+r.rand.IntN(40))
		w, err := r.world.AddArmed(ctx, map[string]string{failpointVariable: armed})
		if err != nil {
			return err
		}
		if !w.Ended(selfKill) {
			return fmt.Errorf("a worker did not come to %s within %v", armed, selfKill)
		}
		if err := r.sleep(ctx, r.between(0, time.Second)); err != nil {
			return err
		}
	}
	return nil
}

func workersGone(ctx context.Context, r *run) error {
	for _, w := range r.world.Workers {
		w.Kill()
	}
	if err := r.sleep(ctx, r.length(10*time.Second, time.Minute)); err != nil {
		return err
	}
	return startAll(ctx, r.world.Workers)
}

func startAll(ctx context.Context, hosts []*world.Host) error {
	for _, h := range hosts {
		if err := h.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}
