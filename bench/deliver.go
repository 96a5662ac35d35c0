package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"headgate/chaos/world"
)

// deliveries measures everything at once: requests come as fast as they are taken while
// workers deliver, until the last has arrived.
func deliveries(ctx context.Context, o options, binaries world.Binaries) ([]Figure, error) {
	span, rounds := 4*time.Second, 7
	if o.quick {
		span, rounds = time.Second, 5
	}
	s, err := newStage(ctx, o, binaries)
	if err != nil {
		return nil, err
	}
	defer s.close()
	ours, err := s.headgate("headgate", true)
	if err != nil {
		return nil, err
	}
	naive, err := s.baseline("naive", "naive", true)
	if err != nil {
		return nil, err
	}
	say("deliveries: %d rounds of %v", rounds, span)
	accepted, delivered, cost := map[string][]float64{}, map[string][]float64{}, map[string][]float64{}
	for round := range rounds + 1 {
		pair := []*contender{ours, naive}
		for i := range pair {
			c := pair[(i+round)%2]
			r, err := s.endToEnd(c, span)
			if err != nil {
				return nil, err
			}
			if round == 0 { // it warms up
				continue
			}
			accepted[c.name] = append(accepted[c.name], r.accepted)
			delivered[c.name] = append(delivered[c.name], r.delivered)
			cost[c.name] = append(cost[c.name], r.cost)
		}
	}
	if err := s.profile(ours, "deliveries", 5*time.Second); err != nil {
		return nil, err
	}
	figures := []Figure{
		ratioOf("accepted/s ÷ naive, workers delivering", accepted["headgate"], accepted["naive"]).atLeast(1.3),
		ratioOf("deliveries/s end to end ÷ naive", delivered["headgate"], delivered["naive"]).atLeast(1),
		ratioOf("processor per dispatch with Redis ÷ naive", cost["headgate"], cost["naive"]).atMost(1.3),
	}
	for _, name := range []string{"headgate", "naive"} {
		figures = append(figures,
			figureOf("accepted/s while delivering, "+name, "1/s", accepted[name]...),
			figureOf("deliveries/s, "+name, "1/s", delivered[name]...),
			figureOf("processor per dispatch with Redis, "+name, "µs", cost[name]...))
	}
	return figures, nil
}

// ended is one round from the first request to the last arrival.
type ended struct{ accepted, delivered, cost float64 }

func (s *stage) endToEnd(c *contender, span time.Duration) (out ended, err error) {
	before, err := s.arrived()
	if err != nil {
		return out, err
	}
	used, err := c.usage()
	if err != nil {
		return out, err
	}
	began := time.Now()
	got, err := s.flood(c, flooding{For: span})
	if err != nil {
		return out, err
	}
	for deadline := began.Add(2 * time.Minute); ; {
		now, err := s.arrived()
		if err != nil {
			return out, err
		}
		if now-before >= 3*got.Done {
			break
		}
		if time.Now().After(deadline) {
			return out, fmt.Errorf("%s: %d of %d deliveries have arrived", c.name, now-before, 3*got.Done)
		}
		if err := sleep(s.ctx, 20*time.Millisecond); err != nil {
			return out, err
		}
	}
	took := time.Since(began).Seconds()
	after, err := c.usage()
	if err != nil {
		return out, err
	}
	// What comes after the arrival, the writing down, belongs to the next round as it did to
	// this one from the one before.
	return ended{
		accepted:  float64(got.Done) / got.Seconds,
		delivered: float64(3*got.Done) / took,
		cost:      float64((after - used).Microseconds()) / float64(got.Done),
	}, nil
}

func getNumber(ctx context.Context, url string) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(text), 10, 64)
}
