package main

import (
	"context"
	"fmt"
	"time"

	"headgate/chaos/world"
)

func redisScenarios() []*scenario {
	stalled := func(name, shows string, short, long time.Duration, longOnly bool) *scenario {
		return &scenario{
			name: name, shows: shows, longOnly: longOnly, spec: world.Spec{Workers: 2},
			why: "a worker that cannot show life for six seconds ends its own calls before others could take over; what the backend had done by then is sent again under the same Idempotency-Key",
			fault: func(ctx context.Context, r *run) error {
				return stallRedis(ctx, r, r.length(short, long))
			},
		}
	}
	const whyRedis = "the backend had done it, and the answer could be written down neither while Redis was away nor before the claim had ended"
	return []*scenario{
		stalled("redis-stalled", "Redis is frozen (SIGSTOP) for 10 s: requests are refused or wait, no living worker is taken for dead", 10*time.Second, 10*time.Second, false),
		stalled("redis-stalled-40s", "the same for 40 s, longer than any lease", 40*time.Second, 40*time.Second, true),
		{
			name: "redis-restarted", shows: "Redis is restarted in good order with its append-only file", why: whyRedis, spec: world.Spec{Workers: 2},
			fault: func(ctx context.Context, r *run) error {
				if err := r.world.Redis.Stop(30 * time.Second); err != nil {
					return err
				}
				if err := r.sleep(ctx, r.between(time.Second, 4*time.Second)); err != nil {
					return err
				}
				return r.world.Redis.Start(ctx)
			},
		},
		{
			name: "redis-killed", shows: "kill -9 of Redis, several times, with `appendfsync always`: what it acknowledged it still has", why: whyRedis,
			spec: world.Spec{Workers: 2, Fsync: "always"}, fault: killRedis,
		},
		{
			name: "redis-full", shows: "Redis is at `maxmemory` with `noeviction`: requests are refused with 503, and every refused write is made up for when there is room again",
			why: whyRedis, spec: world.Spec{Workers: 2}, fault: fillRedis,
		},
	}
}

// stallRedis freezes Redis. No living owner may be taken over because of it.
func stallRedis(ctx context.Context, r *run, d time.Duration) error {
	r.world.Backends.Answer(50*time.Millisecond, 100*time.Millisecond, 50*time.Millisecond)
	if err := r.world.Redis.Pause(); err != nil {
		return err
	}
	err := r.sleep(ctx, d)
	if resumed := r.world.Redis.Resume(); err == nil {
		err = resumed
	}
	r.check = func() {
		for _, sign := range []string{`"kind":"owner_lost"`, "a worker process is gone"} {
			if n := r.world.Logged(sign); n > 0 {
				r.wrong(fmt.Sprintf("a living worker was taken for dead: the logs say %q %d times", sign, n))
			}
		}
	}
	return err
}

func killRedis(ctx context.Context, r *run) error {
	for range int(r.length(3, 8)) {
		if err := r.sleep(ctx, r.between(500*time.Millisecond, 2*time.Second)); err != nil {
			return err
		}
		r.world.Redis.Kill()
		if err := r.sleep(ctx, r.between(0, 3*time.Second)); err != nil {
			return err
		}
		if err := r.world.Redis.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// fillRedis lowers maxmemory below what is used, and raises it again.
func fillRedis(ctx context.Context, r *run) error {
	set := func(value string) error {
		return r.world.Redis.Client.ConfigSet(ctx, "maxmemory", value).Err()
	}
	if err := set("100kb"); err != nil {
		return err
	}
	if err := r.sleep(ctx, r.length(8*time.Second, 40*time.Second)); err != nil {
		return err
	}
	return set("0")
}
