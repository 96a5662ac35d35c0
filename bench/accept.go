package main

import (
	"context"
	"slices"
	"time"

	"headgate/chaos/world"
)

// accept measures how many requests are accepted a second while nothing is delivered,
// and how long one takes at a rate that naive can keep up with.
func accept(ctx context.Context, o options, binaries world.Binaries) ([]Figure, error) {
	span := o.span(700*time.Millisecond, 2*time.Second)
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
	say("accept: %d rounds of %v for each of %d", o.rounds(), span, len(all))
	got, err := measure(o.rounds(), all, func(c *contender) (values, error) { return s.acceptOnce(c, span) })
	if err != nil {
		return nil, err
	}
	if err := s.profile(ours, "accept", flooding{For: 5 * time.Second}); err != nil {
		return nil, err
	}
	if err := s.empty(ours); err != nil {
		return nil, err
	}
	figures := []Figure{
		got.ratio("accepted/s ÷ naive, no workers", "accepted", "headgate", "naive").atLeast(1.3),
		got.ratio("accepted/s ÷ one-script", "accepted", "headgate", "one-script").atLeast(0.4),
	}
	for _, c := range all {
		figures = append(figures, got.figure("accepted/s, "+c.name, "1/s", "accepted", c.name),
			got.figure("processor per accepted request with Redis, "+c.name, "µs", "processor", c.name))
	}
	figures = append(figures, got.figure("gateway's resident memory at full load", "MB", "resident", "headgate").atMost(100))
	latency, err := s.acceptLatency(o, all[:2], median(got.of("naive", "accepted"))/2, span)
	return append(figures, latency...), err
}

// acceptOnce floods a contender whose Redis is empty.
func (s *stage) acceptOnce(c *contender, span time.Duration) (values, error) {
	before, err := c.usage()
	if err != nil {
		return nil, err
	}
	memory := watchMemory(c.pid, 50*time.Millisecond)
	got, err := s.flood(c, flooding{For: span})
	resident := memory.end()
	if err != nil {
		return nil, err
	}
	after, err := c.usage()
	if err != nil {
		return nil, err
	}
	return values{
		"accepted":  float64(got.Done) / got.Seconds,
		"processor": float64((after - before).Microseconds()) / float64(got.Done),
		"resident":  slices.Max(resident),
	}, s.empty(c)
}

// acceptLatency compares the times of answers at half of what naive reaches.
func (s *stage) acceptLatency(o options, pair []*contender, rate float64, span time.Duration) ([]Figure, error) {
	say("accept: %d rounds at %.0f requests/s", o.rounds(), rate)
	got, err := measure(o.rounds(), pair, func(c *contender) (values, error) {
		got, err := s.flood(c, flooding{For: span, Rate: rate})
		if err != nil {
			return nil, err
		}
		return values{"p99": got.P99, "p50": got.P50}, s.empty(c)
	})
	if err != nil {
		return nil, err
	}
	return []Figure{
		got.ratio("p99 of accept ÷ naive's at half of naive's maximum", "p99", "headgate", "naive").atMost(1),
		got.figure("p99 of accept at that rate", "ms", "p99", "headgate"),
		got.figure("median of accept at that rate", "ms", "p50", "headgate"),
		got.figure("p99 of naive at that rate", "ms", "p99", "naive"),
		got.figure("median of naive at that rate", "ms", "p50", "naive"),
	}, nil
}
