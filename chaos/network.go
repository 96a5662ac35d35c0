package main

import (
	"context"
	"fmt"
	"time"

	"headgate/chaos/world"
)

func networkScenarios() []*scenario {
	return []*scenario{
		{
			name:  "worker-partitioned",
			shows: "a worker is cut off from Redis for longer than asynq's lease of 30 s while its calls succeed at the backend: others take over after 9 s, and what the worker brings when it is back changes nothing",
			why:   "the backend had done it when its worker could no longer write that down: another worker took over and sent it again under the same Idempotency-Key",
			spec:  world.Spec{Workers: 2, Links: true}, rate: 10, fault: partition,
		},
		{
			name: "connections-reset", shows: "all connections to Redis and to the backends are reset at random moments",
			why:  "the connection was reset after the backend had done it and before its answer had come",
			spec: world.Spec{Gateways: 2, Workers: 2, Links: true}, fault: resets,
		},
		{
			name: "latency", shows: "each exchange with Redis and the backends takes 200 ms longer",
			spec: world.Spec{Workers: 2, Links: true}, rate: 8,
			fault: func(ctx context.Context, r *run) error {
				links := r.links()
				for _, l := range links {
					if err := l.Slow(200 * time.Millisecond); err != nil {
						return err
					}
				}
				err := r.sleep(ctx, r.length(10*time.Second, time.Minute))
				for _, l := range links {
					l.Heal(ctx)
				}
				return err
			},
		},
	}
}

// links are all stretches of network.
func (r *run) links() []*world.Link {
	out := []*world.Link{r.world.BackendLink}
	for _, h := range r.world.Hosts() {
		out = append(out, h.Redis)
	}
	return out
}

// partition cuts a worker off from Redis while it has calls open that will succeed.
func partition(ctx context.Context, r *run) error {
	r.world.Backends.Answer(300*time.Millisecond, 300*time.Millisecond, 0)
	if err := r.sleep(ctx, 2*time.Second); err != nil {
		return err
	}
	if err := r.eventually(ctx, "no call was under way", func() bool {
		calls, _ := r.world.Backends.Held()
		return calls > 4
	}); err != nil {
		return err
	}
	if err := r.world.Workers[0].Redis.Cut(); err != nil {
		return err
	}
	err := r.sleep(ctx, r.length(34*time.Second, 75*time.Second))
	r.world.Workers[0].Redis.Heal(ctx)
	r.check = func() {
		if r.world.Logged(`"kind":"owner_lost"`) == 0 {
			r.wrong("nothing was taken over from the worker that was cut off: it had no call under way")
		}
	}
	return err
}

// resets resets links one after the other, at random.
func resets(ctx context.Context, r *run) error {
	r.world.Backends.Answer(0, 20*time.Millisecond, 0)
	links, n := r.links(), 0
	for until := time.Now().Add(r.length(8*time.Second, 60*time.Second)); time.Now().Before(until); n++ {
		l := links[r.rand.IntN(len(links))]
		if err := l.Reset(ctx, r.between(20*time.Millisecond, 200*time.Millisecond)); err != nil {
			return fmt.Errorf("reset %d: %w", n, err)
		}
		if err := r.sleep(ctx, r.between(0, 300*time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}
