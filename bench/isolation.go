package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"headgate/chaos/world"
)

const isolationRoutes = `
routes:
  - {name: all, match: "POST /all/:id", auth: none, targets: {one: , two: , ill: }}
  - {name: ill, match: "POST /ill/:id", auth: none, targets: {ill: }}
targets:
  one: {url: "${BACKENDS_URL}", put: "/one/${{ .params.id }}"}
  two: {url: "${BACKENDS_URL}", put: "/two/${{ .params.id }}"}
  ill:
    url: ${BACKENDS_URL}
    put: /ill/${{ .params.id }}
    limits: {timeout: 35s}
    retry: {attempts: 1000, max: 1m}
    breaker: {open_for: 5s}
`

// isolationRate is how many requests a second there are while latencies are measured.
const isolationRate = 20

// isolation measures what one ill backend does to its neighbours: one that hangs, and
// one that is down with a long queue before it. There are two deployments, a calm one and
// one with the ill backend, which take turns.
func isolation(ctx context.Context, o options, binaries world.Binaries) ([]Figure, error) {
	span, rounds, backlog := 10*time.Second, 7, 200_000
	if o.quick {
		span, rounds, backlog = 4*time.Second, 3, 20_000
	}
	back, err := startBackends()
	if err != nil {
		return nil, err
	}
	defer back.close()
	r := &isolationRun{ctx: ctx, back: back, span: span, rounds: rounds}
	for i, name := range []string{"calm", "ill"} {
		dir := filepath.Join(o.dir, name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		w, err := world.New(ctx, dir, world.Spec{Routes: isolationRoutes, BackendsURL: back.url}, binaries)
		if err != nil {
			w.Close()
			return nil, err
		}
		defer w.Close() //nolint:gocritic // there are two
		c := newClient(w.Gateways[0].URL, name)
		defer c.close() //nolint:gocritic // there are two
		r.sides[i] = side{w, c}
	}
	say("isolation: one target hangs, %d rounds", rounds)
	hanging, err := r.hanging()
	if err != nil {
		return nil, fmt.Errorf("hanging: %w", err)
	}
	down, err := r.down(backlog)
	if err != nil {
		return nil, fmt.Errorf("down: %w", err)
	}
	return append(hanging, down...), nil
}

// side is one of the two deployments.
type side struct {
	world   *world.World
	clients *client
}

type isolationRun struct {
	ctx    context.Context //nolint:containedctx // of one benchmark
	sides  [2]side         // the calm one and the ill one
	back   *backends
	span   time.Duration
	rounds int
	quiet  []float64
}

func (r *isolationRun) ill() side { return r.sides[1] }

// latencies gives the times from the 202 to the arrival at the two backends that are well.
func (r *isolationRun) latencies(s side) (list []time.Duration, err error) {
	records, err := s.clients.steady(r.ctx, "/all/", isolationRate, r.span)
	if err != nil {
		return nil, err
	}
	for _, target := range []string{"one", "two"} {
		for _, s := range records {
			at, err := r.await(target, s.record)
			if err != nil {
				return nil, err
			}
			list = append(list, max(at.Sub(s.accepted), 0))
		}
	}
	return list, nil
}

// compare measures both sides in turn, every other time the other one first. The figure
// is the ratio of the 99th percentiles of all rounds together, for one round has too few
// records for it; its spread is that of the rounds.
func (r *isolationRun) compare(name string, begin, end func() error) (Figure, error) {
	var all [2][]time.Duration
	ratios := make([]float64, 0, r.rounds)
	for i := range r.rounds {
		if err := begin(); err != nil {
			return Figure{}, err
		}
		var each [2]float64
		for j := range r.sides {
			which := (i + j) % 2
			list, err := r.latencies(r.sides[which])
			if err != nil {
				return Figure{}, err
			}
			all[which] = append(all[which], list...)
			each[which] = p99(list)
		}
		if err := end(); err != nil {
			return Figure{}, err
		}
		ratios = append(ratios, each[1]/each[0])
	}
	r.quiet = append(r.quiet, p99(all[0]))
	f := figureOf(name, "", ratios...).atMost(1.3)
	f.Value = p99(all[1]) / p99(all[0])
	return f, nil
}

// await waits for a record to arrive; it may take as long as all others together.
func (r *isolationRun) await(target, record string) (time.Time, error) {
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		if at, ok := r.back.at(target, record); ok {
			return at, nil
		}
		if err := sleep(r.ctx, 10*time.Millisecond); err != nil {
			return time.Time{}, err
		}
	}
	return time.Time{}, fmt.Errorf("record %s has not arrived at %s", record, target)
}

func (r *isolationRun) hanging() ([]Figure, error) {
	var now *hanging
	f, err := r.compare("healthy targets' p99 while one hangs for 30 s ÷ quiet", func() error {
		now = &hanging{target: "ill", of: r.ill().clients.prefix, over: make(chan struct{})}
		r.back.hang.Store(now)
		// Its slots are all taken before anything is measured.
		_, err := r.ill().clients.steady(r.ctx, "/ill/", 50, time.Second)
		return err
	}, func() error {
		r.back.hang.Store(nil)
		close(now.over)
		return r.settled()
	})
	if err != nil {
		return nil, err
	}
	return []Figure{f}, nil
}

// settled waits until the ill target has caught up.
func (r *isolationRun) settled() error {
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); {
		left, err := r.pending()
		if err != nil {
			return err
		}
		if left == 0 {
			return nil
		}
		if err := sleep(r.ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("the ill target does not catch up")
}

// pending counts the tasks before the ill target.
func (r *isolationRun) pending() (n int64, err error) {
	for _, queue := range []string{"ill", "ill.bulk", "ill.resume"} {
		key := "asynq:{" + queue + "}:"
		for _, list := range []string{"pending", "active"} {
			m, err := r.ill().world.Redis.Client.LLen(r.ctx, key+list).Result()
			if err != nil {
				return 0, err
			}
			n += m
		}
		m, err := r.ill().world.Redis.Client.ZCard(r.ctx, key+"scheduled").Result()
		if err != nil {
			return 0, err
		}
		n += m
	}
	return n, nil
}

func (r *isolationRun) down(backlog int) ([]Figure, error) {
	say("isolation: %d deliveries are queued for a target that is down", backlog)
	ill, nobody := r.ill().clients.prefix, ""
	r.back.fail.Store(&ill)
	if err := r.ill().clients.flood(r.ctx, "/ill/", backlog, 32); err != nil {
		return nil, err
	}
	_, callsBefore := r.back.count(ill)
	idle, err := r.idle()
	if err != nil {
		return nil, err
	}
	nothing := func() error { return nil }
	f, err := r.compare(fmt.Sprintf("healthy targets' p99 with %d queued before one that is down ÷ quiet", backlog), nothing, nothing)
	if err != nil {
		return nil, err
	}
	_, callsAfter := r.back.count(ill)
	say("isolation: it is back")
	r.back.fail.Store(&nobody)
	perSecond, drained, err := r.recovery()
	if err != nil {
		return nil, err
	}
	return []Figure{
		f,
		figureOf("quiet p99 from the 202 to the arrival", "ms", r.quiet...),
		figureOf("worker's processor with that backlog, more than idle", "cores", idle[1].worker-idle[0].worker).atMost(0.05),
		figureOf("Redis' processor with that backlog, more than idle", "cores", idle[1].redis-idle[0].redis).atMost(0.05),
		figureOf("Redis' commands with that backlog", "1/s", idle[1].commands),
		figureOf("Redis' commands idle", "1/s", idle[0].commands),
		figureOf("calls to the target that is down, in all that time", "", float64(callsAfter-callsBefore)),
		figureOf("records a second in the first seconds after it is back", "1/s", perSecond...),
		figureOf("seconds until the backlog is delivered", "s", drained.Seconds()),
	}, nil
}

// idle measures what the processes of both sides use when no requests come, at the same
// time.
func (r *isolationRun) idle() (out [2]load, err error) {
	if err := sleep(r.ctx, 2*time.Second); err != nil {
		return out, err
	}
	var wave sync.WaitGroup
	errs := make([]error, len(r.sides))
	for i, s := range r.sides {
		wave.Go(func() {
			w := s.world
			out[i], errs[i] = loadOver(r.ctx, w.Workers[0].PID(), w.Redis.PID(), w.Redis.Client, 2*r.span)
		})
	}
	wave.Wait()
	return out, errors.Join(errs...)
}

// recovery watches how the rate rises once the target is back, and how long the backlog
// takes.
func (r *isolationRun) recovery() (perSecond []float64, drained time.Duration, err error) {
	began, ill := time.Now(), r.ill().clients.prefix
	last, _ := r.back.count(ill)
	for {
		if err := sleep(r.ctx, time.Second); err != nil {
			return nil, 0, err
		}
		now, _ := r.back.count(ill)
		if len(perSecond) < 12 && (now > last || len(perSecond) > 0) {
			perSecond = append(perSecond, float64(now-last))
		}
		last = now
		left, err := r.pending()
		if err != nil || left == 0 {
			return perSecond, time.Since(began), err
		}
		if time.Since(began) > 15*time.Minute {
			return nil, 0, fmt.Errorf("%d tasks are left", left)
		}
	}
}
