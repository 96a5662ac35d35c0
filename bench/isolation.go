package main

import (
	"context"
	"time"

	"headgate/chaos/world"
)

const isolationRoutes = benchAuth + `
routes:
  - {name: all, match: "POST /all/:id", auth: {any: [bench]}, targets: {one: , two: , ill: }}
  - {name: ill, match: "POST /ill/:id", auth: {any: [bench]}, targets: {ill: }}
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

// isolationRate is how many requests a second there are while latencies are compared.
const isolationRate = 50

// isolation is what one ill backend does to its neighbours. There are two deployments, a
// calm one and one with the ill backend, which take turns.
type isolation struct {
	*stage

	back  *backends
	calm  *side
	ill   *side
	quiet Figure // p99 of the calm one
}

// side is one of the two deployments.
type side struct {
	*contender

	client  *client
	flights [][]time.Duration // by round, from the 202 to the arrival at those that are well
}

func newIsolation(ctx context.Context, o options, binaries world.Binaries) (*isolation, error) {
	s, err := newStage(ctx, o, binaries)
	if err != nil {
		return nil, err
	}
	r := &isolation{stage: s}
	if r.back, err = s.backends(); err != nil {
		return r, err
	}
	for name, at := range map[string]**side{"calm": &r.calm, "ill": &r.ill} {
		c, err := s.deploy(name, world.Spec{Routes: isolationRoutes, BackendsURL: r.back.url})
		if err != nil {
			return r, err
		}
		*at = &side{contender: c, client: s.client(c, name)}
	}
	return r, nil
}

// compare measures both sides in turn, after a round that warms up. The figure is the
// ratio of the 99th percentiles of all rounds together, for one round has too few records
// for it; its spread is that of the rounds.
func (r *isolation) compare(name string, rounds int, span time.Duration, begin, end func() error) (Figure, error) {
	err := takeTurns(rounds+1, []*side{r.calm, r.ill}, func(round int, one *side) error {
		if one == r.ill {
			if err := begin(); err != nil {
				return err
			}
		}
		got, err := r.flights(r.back, one.client, "/all/", isolationRate, span, "one", "two")
		if err == nil && round > 0 {
			one.flights = append(one.flights, durations(got, flight.sinceAccepted))
		}
		if err == nil && one == r.ill {
			err = end()
		}
		return err
	})
	if err != nil {
		return Figure{}, err
	}
	ill := percentile("", 99, r.ill.flights)
	r.quiet = percentile("quiet p99 from the 202 to the arrival", 99, r.calm.flights)
	ratios := make([]float64, rounds)
	for i := range ratios {
		ratios[i] = quantile(r.ill.flights[i], 99) / quantile(r.calm.flights[i], 99)
	}
	f := figureOf(name, "", ratios...).atMost(1.3)
	f.Value = ill.Value / r.quiet.Value
	return f, nil
}

// pending counts the tasks before the ill target.
func (r *isolation) pending() (n int64, err error) {
	redis := r.ill.world.Redis.Client
	for _, queue := range []string{"ill", "ill.bulk", "ill.resume"} {
		key := "asynq:{" + queue + "}:"
		for _, list := range []string{"pending", "active"} {
			m, err := redis.LLen(r.ctx, key+list).Result()
			if err != nil {
				return 0, err
			}
			n += m
		}
		m, err := redis.ZCard(r.ctx, key+"scheduled").Result()
		if err != nil {
			return 0, err
		}
		n += m
	}
	return n, nil
}
