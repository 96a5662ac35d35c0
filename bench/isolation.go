package main

import (
	"context"
	"fmt"
	"os"
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
// one that is down with a long queue before it. Quiet rounds and others take turns.
func isolation(ctx context.Context, o options, binaries world.Binaries) ([]Figure, error) {
	span, rounds, backlog := 8*time.Second, 5, 200_000
	if o.quick {
		span, rounds, backlog = 4*time.Second, 3, 20_000
	}
	back, err := startBackends()
	if err != nil {
		return nil, err
	}
	defer back.close()
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return nil, err
	}
	w, err := world.New(ctx, o.dir, world.Spec{Routes: isolationRoutes, BackendsURL: back.url}, binaries)
	if err != nil {
		w.Close()
		return nil, err
	}
	defer w.Close()
	c := newClient(w.Gateways[0].URL)
	defer c.close()
	r := &isolationRun{ctx: ctx, world: w, back: back, clients: c, span: span}
	say("isolation: one target hangs, %d rounds", rounds)
	hanging, err := r.hanging(rounds)
	if err != nil {
		return nil, fmt.Errorf("hanging: %w", err)
	}
	down, err := r.down(rounds, backlog)
	if err != nil {
		return nil, fmt.Errorf("down: %w", err)
	}
	return append(hanging, down...), nil
}

type isolationRun struct {
	ctx     context.Context //nolint:containedctx // of one benchmark
	world   *world.World
	back    *backends
	clients *client
	span    time.Duration
	quiet   []float64
}

// latency gives the 99th percentile of the time from the 202 to the arrival at the two
// backends that are well.
func (r *isolationRun) latency() (float64, error) {
	records, err := r.clients.steady(r.ctx, "/all/", isolationRate, r.span)
	if err != nil {
		return 0, err
	}
	var list []time.Duration
	for _, target := range []string{"one", "two"} {
		for _, s := range records {
			at, err := r.await(target, s.record)
			if err != nil {
				return 0, err
			}
			list = append(list, max(at.Sub(s.accepted), 0))
		}
	}
	return percentile(list, 0.99), nil
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

// compare measures with and without trouble in turn and gives the ratio of each pair.
func (r *isolationRun) compare(rounds int, begin, end func() error) (ratios, troubled []float64, err error) {
	for range rounds {
		quiet, err := r.latency()
		if err != nil {
			return nil, nil, err
		}
		if err := begin(); err != nil {
			return nil, nil, err
		}
		other, err := r.latency()
		if err != nil {
			return nil, nil, err
		}
		if err := end(); err != nil {
			return nil, nil, err
		}
		r.quiet = append(r.quiet, quiet)
		ratios, troubled = append(ratios, other/quiet), append(troubled, other)
	}
	return ratios, troubled, nil
}

func (r *isolationRun) hanging(rounds int) ([]Figure, error) {
	var now *hanging
	ratios, _, err := r.compare(rounds, func() error {
		now = &hanging{target: "ill", over: make(chan struct{})}
		r.back.hang.Store(now)
		// Its slots are all taken before anything is measured.
		_, err := r.clients.steady(r.ctx, "/ill/", 50, time.Second)
		return err
	}, func() error {
		r.back.hang.Store(nil)
		close(now.over)
		return r.settled()
	})
	if err != nil {
		return nil, err
	}
	return []Figure{figureOf("healthy targets' p99 while one hangs for 30 s ÷ quiet", "", ratios...).atMost(1.3)}, nil
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
			m, err := r.world.Redis.Client.LLen(r.ctx, key+list).Result()
			if err != nil {
				return 0, err
			}
			n += m
		}
		m, err := r.world.Redis.Client.ZCard(r.ctx, key+"scheduled").Result()
		if err != nil {
			return 0, err
		}
		n += m
	}
	return n, nil
}

func (r *isolationRun) down(rounds, backlog int) ([]Figure, error) {
	say("isolation: quiet")
	before, err := r.idle()
	if err != nil {
		return nil, err
	}
	ill, nobody := "ill", ""
	quiet := make([]float64, 0, rounds)
	for range rounds {
		p99, err := r.latency()
		if err != nil {
			return nil, err
		}
		quiet = append(quiet, p99)
	}
	say("isolation: %d deliveries are queued for a target that is down", backlog)
	r.back.fail.Store(&ill)
	if err := r.clients.flood(r.ctx, "/ill/", backlog, 32); err != nil {
		return nil, err
	}
	_, callsBefore := r.back.count()
	after, err := r.idle()
	if err != nil {
		return nil, err
	}
	ratios := make([]float64, 0, rounds)
	for i := range rounds {
		p99, err := r.latency()
		if err != nil {
			return nil, err
		}
		ratios = append(ratios, p99/quiet[i])
	}
	_, callsAfter := r.back.count()
	say("isolation: it is back")
	r.back.fail.Store(&nobody)
	perSecond, drained, err := r.recovery(backlog)
	if err != nil {
		return nil, err
	}
	return []Figure{
		figureOf(fmt.Sprintf("healthy targets' p99 with %d queued before one that is down ÷ quiet", backlog), "", ratios...).atMost(1.3),
		figureOf("quiet p99 from the 202 to the arrival", "ms", append(quiet, r.quiet...)...),
		figureOf("worker's processor with that backlog, more than idle", "cores", after.worker-before.worker).atMost(0.1),
		figureOf("Redis' processor with that backlog, more than idle", "cores", after.redis-before.redis).atMost(0.1),
		figureOf("Redis' commands with that backlog", "1/s", after.commands),
		figureOf("Redis' commands idle", "1/s", before.commands),
		figureOf("calls to the target that is down, in all that time", "", float64(callsAfter-callsBefore)),
		figureOf("records a second in the first seconds after it is back", "1/s", perSecond...),
		figureOf("seconds until the backlog is delivered", "s", drained.Seconds()),
	}, nil
}

// idle measures what the processes use when no requests come.
func (r *isolationRun) idle() (load, error) {
	if err := sleep(r.ctx, 2*time.Second); err != nil {
		return load{}, err
	}
	return loadOver(r.ctx, r.world.Workers[0].PID(), r.world.Redis.PID(), r.world.Redis.Client, 2*r.span)
}

// recovery watches how the rate rises once the target is back, and how long the backlog
// takes.
func (r *isolationRun) recovery(backlog int) (perSecond []float64, drained time.Duration, err error) {
	began := time.Now()
	first, _ := r.back.count()
	for last := first; ; {
		if err := sleep(r.ctx, time.Second); err != nil {
			return nil, 0, err
		}
		now, _ := r.back.count()
		if len(perSecond) < 12 && (now > last || len(perSecond) > 0) {
			perSecond = append(perSecond, float64(now-last))
		}
		last = now
		if left, err := r.pending(); err != nil || left == 0 {
			return perSecond, time.Since(began), err
		}
		if time.Since(began) > 15*time.Minute {
			return nil, 0, fmt.Errorf("%d of %d records have not arrived", backlog-(now-first), backlog)
		}
	}
}
