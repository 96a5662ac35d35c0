package main

import (
	"context"
	"time"

	"headgate/chaos/world"
)

// accept measures how many requests are accepted a second while nothing is delivered,
// and how long one takes at a rate that all can keep up with.
func accept(ctx context.Context, o options, binaries world.Binaries) ([]Figure, error) {
	span, rounds := 4*time.Second, 7
	if o.quick {
		span, rounds = time.Second, 5
	}
	s, err := newStage(ctx, o, binaries)
	if err != nil {
		return nil, err
	}
	defer s.close()
	ours, err := s.headgate("headgate", false)
	if err != nil {
		return nil, err
	}
	all := []*contender{ours}
	for _, kind := range []string{"naive", "one-script", "no-op"} {
		c, err := s.baseline(kind, kind, false)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	say("accept: %d rounds of %v for each of %d", rounds, span, len(all))
	per := map[string][]float64{}
	cost := map[string][]float64{}
	for round := range rounds + 1 {
		for i := range all {
			c := all[(i+round)%len(all)]
			before, err := c.usage()
			if err != nil {
				return nil, err
			}
			got, err := s.flood(c, flooding{For: span})
			if err != nil {
				return nil, err
			}
			after, err := c.usage()
			if err != nil {
				return nil, err
			}
			if err := s.empty(c); err != nil {
				return nil, err
			}
			if round == 0 { // it warms up
				continue
			}
			per[c.name] = append(per[c.name], float64(got.Done)/got.Seconds)
			cost[c.name] = append(cost[c.name], float64((after-before).Microseconds())/float64(got.Done))
		}
	}
	if err := s.profile(ours, "accept", 5*time.Second); err != nil {
		return nil, err
	}
	if err := s.empty(ours); err != nil {
		return nil, err
	}
	figures := []Figure{
		ratioOf("accepted/s ÷ naive, no workers", per["headgate"], per["naive"]).atLeast(1.3),
		ratioOf("accepted/s ÷ one-script", per["headgate"], per["one-script"]).atLeast(0.4),
	}
	for _, c := range all {
		figures = append(figures, figureOf("accepted/s, "+c.name, "1/s", per[c.name]...),
			figureOf("processor per accepted request with Redis, "+c.name, "µs", cost[c.name]...))
	}
	latency, err := acceptLatency(s, ours, all[1], median(per["naive"])/2, span, rounds)
	if err != nil {
		return nil, err
	}
	rss, err := residentMB(ours.pid)
	if err != nil {
		return nil, err
	}
	return append(append(figures, latency...), figureOf("gateway's resident memory, most so far", "MB", rss).atMost(100)), nil
}

// acceptLatency compares the times of answers at half of what naive reaches.
func acceptLatency(s *stage, ours, naive *contender, rate float64, span time.Duration, rounds int) ([]Figure, error) {
	say("accept: %d rounds at %.0f requests/s", rounds, rate)
	p99s, p50s := map[string][]float64{}, map[string][]float64{}
	for round := range rounds {
		pair := []*contender{ours, naive}
		for i := range pair {
			c := pair[(i+round)%2]
			got, err := s.flood(c, flooding{For: span, Rate: rate})
			if err != nil {
				return nil, err
			}
			if err := s.empty(c); err != nil {
				return nil, err
			}
			p99s[c.name] = append(p99s[c.name], got.P99)
			p50s[c.name] = append(p50s[c.name], got.P50)
		}
	}
	return []Figure{
		ratioOf("p99 of accept ÷ naive's at half of naive's maximum", p99s["headgate"], p99s["naive"]).atMost(1),
		figureOf("p99 of accept at that rate", "ms", p99s["headgate"]...),
		figureOf("median of accept at that rate", "ms", p50s["headgate"]...),
		figureOf("p99 of naive at that rate", "ms", p99s["naive"]...),
		figureOf("median of naive at that rate", "ms", p50s["naive"]...),
	}, nil
}
