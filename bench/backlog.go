package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"headgate/chaos/world"
)

// backlogSize is how many deliveries are queued before a target that is down.
const backlogSize = 200_000

// backlog measures what a target that is down does to the others, with a long queue
// before it.
func backlog(ctx context.Context, o options, binaries world.Binaries) ([]Figure, error) {
	r, err := newIsolation(ctx, o, binaries)
	if r != nil {
		defer r.close()
	}
	if err != nil {
		return nil, err
	}
	say("backlog: %d deliveries are queued for a target that is down", backlogSize)
	down, up := r.ill.client.prefix, ""
	r.back.fail.Store(&down)
	if err := r.fill(r.ill.contender, flooding{Path: "/ill/", Prefix: down, Count: backlogSize}); err != nil {
		return nil, err
	}
	_, before := r.back.count(down)
	lazy, err := r.lazy(10 * time.Second)
	if err != nil {
		return nil, err
	}
	say("backlog: %d rounds", o.rounds())
	nothing := func() error { return nil }
	f, err := r.compare(fmt.Sprintf("healthy targets' p99 with %d queued before one that is down ÷ quiet", backlogSize), o.rounds(), 2*time.Second, nothing, nothing)
	if err != nil {
		return nil, err
	}
	_, after := r.back.count(down)
	say("backlog: the target is back")
	r.back.fail.Store(&up)
	perSecond, drained, err := r.recovery(o.long)
	if err != nil {
		return nil, err
	}
	figures := []Figure{
		f,
		figureOf("worker's processor with that backlog, more than idle", "cores", lazy[1].worker-lazy[0].worker).atMost(0.05),
		figureOf("Redis' processor with that backlog, more than idle", "cores", lazy[1].redis-lazy[0].redis).atMost(0.05),
		figureOf("Redis' commands with that backlog", "1/s", lazy[1].commands),
		figureOf("calls to the target that is down, in all that time", "", float64(after-before)),
		figureOf("records a second in the first seconds after it is back", "1/s", perSecond...),
	}
	if o.long {
		figures = append(figures, figureOf("until that backlog is delivered", "s", drained.Seconds()))
	}
	return figures, nil
}

// lazy measures what the processes of both sides use when no requests come, at the same
// time.
func (r *isolation) lazy(span time.Duration) (out [2]load, err error) {
	if err := sleep(r.ctx, 2*time.Second); err != nil {
		return out, err
	}
	var wave sync.WaitGroup
	errs := make([]error, len(out))
	for i, s := range []*side{r.calm, r.ill} {
		wave.Go(func() {
			w := s.world
			out[i], errs[i] = loadOver(r.ctx, w.Workers[0].PID(), w.Redis.PID(), w.Redis.Client, span)
		})
	}
	wave.Wait()
	return out, errors.Join(errs...)
}

// recovery watches how the rate rises in the first seconds after the target is back, and
// when it is to, how long the backlog takes.
func (r *isolation) recovery(toTheEnd bool) (perSecond []float64, drained time.Duration, err error) {
	const seconds = 12
	began, ill := time.Now(), r.ill.client.prefix
	last, _ := r.back.count(ill)
	for time.Since(began) < 15*time.Minute {
		if err := sleep(r.ctx, time.Second); err != nil {
			return nil, 0, err
		}
		now, _ := r.back.count(ill)
		if len(perSecond) < seconds && (now > last || len(perSecond) > 0) {
			perSecond = append(perSecond, float64(now-last))
		}
		last = now
		left, err := r.pending()
		if err != nil || left == 0 || !toTheEnd && len(perSecond) == seconds {
			return perSecond, time.Since(began), err
		}
	}
	return nil, 0, errors.New("the backlog is not delivered in time")
}
