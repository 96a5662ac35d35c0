package main

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/chaos/world"
)

// farAway is how long a round trip to a Redis takes that is not next door.
const farAway = 2 * time.Millisecond

// far measures how long accepting takes when Redis is not next door.
func far(ctx context.Context, o options, binaries world.Binaries) ([]Figure, error) {
	s, err := newStage(ctx, o, binaries)
	if err != nil {
		return nil, err
	}
	defer s.close()
	all := make([]*contender, 0, 2)
	for _, name := range []string{"far", "near"} {
		c, err := s.deploy(name, world.Spec{NoWorker: true, Links: true})
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	if err := all[0].world.Gateways[0].Redis.Slow(farAway); err != nil {
		return nil, err
	}
	trip, err := s.roundTrips(all[0].world.Gateways[0].Redis.Addr())
	if err != nil {
		return nil, err
	}
	say("far: %d rounds", o.rounds())
	got, err := measure(o.rounds(), all, func(c *contender) (values, error) {
		got, err := s.flood(c, flooding{For: 1500 * time.Millisecond, Rate: 500})
		if err != nil {
			return nil, err
		}
		return values{"p99": got.P99, "p50": got.P50}, s.empty(c)
	})
	if err != nil {
		return nil, err
	}
	return []Figure{
		got.figure("accept at 500/s with Redis 2 ms away, p99", "ms", "p99", "far").atMost(15),
		got.figure("accept at 500/s with Redis 2 ms away, median", "ms", "p50", "far"),
		figureOf("a PING to that Redis", "ms", trip...),
		got.figure("accept at 500/s through the same link with Redis next door, p99", "ms", "p99", "near"),
		got.figure("accept at 500/s through the same link with Redis next door, median", "ms", "p50", "near"),
	}, nil
}

// roundTrips gives how many ms commands take to a Redis.
func (s *stage) roundTrips(addr string) ([]float64, error) {
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer func() { _ = client.Close() }() // nothing was written
	out := make([]float64, 0, 100)
	for range cap(out) {
		began := time.Now()
		if err := client.Ping(s.ctx).Err(); err != nil {
			return nil, err
		}
		out = append(out, float64(time.Since(began).Microseconds())/1000)
	}
	return out[1:], nil // the first makes the connection
}
