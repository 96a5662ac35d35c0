package main

import (
	"context"
	"time"

	"headgate/chaos/world"
)

// idleRate is how many requests a second there are on an idle system.
const idleRate = 20

// idle measures how long a request takes to its three backends on a system that has
// nothing else to do.
func idle(ctx context.Context, o options, binaries world.Binaries) ([]Figure, error) {
	s, err := newStage(ctx, o, binaries)
	if err != nil {
		return nil, err
	}
	defer s.close()
	back, err := s.backends()
	if err != nil {
		return nil, err
	}
	c, err := s.deploy("headgate", world.Spec{BackendsURL: back.url})
	if err != nil {
		return nil, err
	}
	say("idle: %d rounds with %d requests/s", o.rounds(), idleRate)
	return s.idleLatency(o, back, c, "")
}

// idleLatency measures it in rounds, after one that warms up.
func (s *stage) idleLatency(o options, back *backends, c *contender, where string) ([]Figure, error) {
	var sent, accepted [][]time.Duration
	client := s.client(c, c.name)
	for round := range o.rounds() + 1 {
		got, err := s.flights(back, client, "/profiles/", idleRate, o.span(1500*time.Millisecond, 3*time.Second), threeTargets[:]...)
		if err != nil {
			return nil, err
		}
		if round > 0 {
			sent = append(sent, durations(got, flight.sinceSent))
			accepted = append(accepted, durations(got, flight.sinceAccepted))
		}
	}
	return []Figure{
		percentile("idle"+where+", from sending a request to its arrival, median", 50, sent).atMost(15),
		percentile("idle"+where+", from sending a request to its arrival, p99", 99, sent).atMost(50),
		percentile("idle"+where+", from the 202 to the arrival, p99", 99, accepted),
	}, nil
}
