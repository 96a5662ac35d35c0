package main

import (
	"context"
	"fmt"
	"time"

	"headgate/chaos/world"
)

// million compares accepting behind a million pending deliveries with accepting behind
// none. Nothing is delivered.
func million(ctx context.Context, o options, binaries world.Binaries) ([]Figure, error) {
	s, err := newStage(ctx, o, binaries)
	if err != nil {
		return nil, err
	}
	defer s.close()
	full, err := s.headgate("full", false)
	if err != nil {
		return nil, err
	}
	empty, err := s.headgate("empty", false)
	if err != nil {
		return nil, err
	}
	pending := scaled(o, int64(1_000_000))
	say("million: %d deliveries are accepted", pending)
	if err := s.fill(full, flooding{Count: pending/3 + 1}); err != nil {
		return nil, err
	}
	say("million: %d rounds", o.rounds())
	got, err := measure(o.rounds(), []*contender{full, empty}, func(c *contender) (values, error) {
		got, err := s.flood(c, flooding{For: 3 * time.Second})
		if err == nil && c == empty {
			err = s.empty(c)
		}
		return values{"accepted": float64(got.Done) / got.Seconds, "p99": got.P99}, err
	})
	if err != nil {
		return nil, err
	}
	return []Figure{
		got.ratio(fmt.Sprintf("accepted/s with %d deliveries pending ÷ with none", pending), "accepted", "full", "empty").atLeast(0.9),
		got.ratio("p99 of accept at full load, the same", "p99", "full", "empty"),
		got.figure("accepted/s with that many pending", "1/s", "accepted", "full"),
	}, nil
}

// fill sends as many requests as f counts, however long that takes.
func (s *stage) fill(c *contender, f flooding) error {
	f.For = 30 * time.Minute
	got, err := s.flood(c, f)
	if err == nil && got.Done < f.Count {
		err = fmt.Errorf("%s: only %d of %d requests were accepted in time", c.name, got.Done, f.Count)
	}
	return err
}
