package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"headgate/chaos/world"
)

const fairRoutes = benchAuth + `
targets:
  one: {url: "${BACKENDS_URL}", post: "/one/${{ .params.id }}", json: "${{ .payload }}"}
routes:
- name: one
  match: POST /one/:id
  auth: {any: [bench]}
  targets: {one: {transform: {id: "${{ .params.id }}", email: "${{ .body.email | ascii_downcase }}"}}}
`

// fair measures how long a fresh delivery of one tenant waits behind very many of
// another, to the same target.
func fair(ctx context.Context, o options, binaries world.Binaries) ([]Figure, error) {
	s, err := newStage(ctx, o, binaries)
	if err != nil {
		return nil, err
	}
	defer s.close()
	back, err := s.backends()
	if err != nil {
		return nil, err
	}
	back.wait.Store(int64(10 * time.Millisecond))
	c, err := s.deploy("headgate", world.Spec{NoWorker: true, Routes: fairRoutes, BackendsURL: back.url})
	if err != nil {
		return nil, err
	}
	queued := scaled(o, int64(500_000))
	say("fairness: %d deliveries of one tenant are accepted", queued)
	if err := s.fill(c, flooding{Path: "/one/", Count: queued, Prefix: "many"}); err != nil {
		return nil, err
	}
	if _, err := c.world.AddArmed(ctx, nil); err != nil {
		return nil, err
	}
	if _, err := s.arrival(back, "one", fmt.Sprintf("many%d", firstNumber+1)); err != nil {
		return nil, err
	}
	waits, err := s.probes(back, c)
	if err != nil {
		return nil, err
	}
	left, err := c.world.Redis.Client.LLen(ctx, "asynq:{one.bulk}:pending").Result()
	if err != nil {
		return nil, err
	}
	return []Figure{
		figureOf(fmt.Sprintf("from sending to arrival behind %d of another tenant, the worst", queued), "s", slices.Max(waits)).atMost(2),
		figureOf("the same, all probes", "s", waits...),
		figureOf("deliveries of the other tenant that still waited after the last probe", "", float64(left)),
	}, nil
}

// probes sends a delivery of another tenant again and again, and gives how many seconds
// each took.
func (s *stage) probes(back *backends, c *contender) (waits []float64, err error) {
	client := s.client(c, "fresh")
	if client.token, err = s.tokenOf("globex"); err != nil {
		return nil, err
	}
	say("fairness: probes")
	for range 20 {
		one, _, err := client.post(s.ctx, "/one/", client.record())
		if err != nil {
			return nil, err
		}
		at, err := s.arrival(back, "one", one.record)
		if err != nil {
			return nil, err
		}
		waits = append(waits, at.Sub(one.begun).Seconds())
		if err := sleep(s.ctx, 500*time.Millisecond); err != nil {
			return nil, err
		}
	}
	return waits, nil
}
