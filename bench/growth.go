package main

import (
	"context"
	"fmt"
	"time"

	"headgate/chaos/world"
)

// growth measures whether the gateway's memory grows in ten minutes of steady load, half
// of what it can take at most, while a worker delivers.
func growth(ctx context.Context, o options, binaries world.Binaries) ([]Figure, error) {
	s, err := newStage(ctx, o, binaries)
	if err != nil {
		return nil, err
	}
	defer s.close()
	// Ten minutes fill a disk: here the append-only file is rewritten.
	c, err := s.deploy("headgate", world.Spec{RedisArgs: []string{"--auto-aof-rewrite-percentage", "100"}})
	if err != nil {
		return nil, err
	}
	most, err := s.flood(c, flooding{For: 5 * time.Second})
	if err != nil {
		return nil, err
	}
	rate := float64(most.Done) / most.Seconds / 2
	minute := scaled(o, time.Minute)
	say("growth: %v with %.0f requests/s", 10*minute, rate)
	memory := watchMemory(c.pid, minute/60)
	got, err := s.flood(c, flooding{For: 10 * minute, Rate: rate})
	seen := memory.end()
	if err != nil {
		return nil, err
	}
	if got.Seconds > 10.5*minute.Seconds() {
		return nil, fmt.Errorf("%.0f requests/s could not be kept up with", rate)
	}
	// By share of the time: a look may come late.
	part := func(from, to int) []float64 { return seen[len(seen)*from/10 : len(seen)*to/10] }
	early, last := part(1, 4), part(8, 10)
	f := figureOf("gateway's resident memory, minutes 9 and 10 ÷ minutes 2 to 4", "", median(last)/median(early)).atMost(1.1)
	return []Figure{
		f,
		figureOf("gateway's resident memory in minutes 2 to 4", "MB", early...),
		figureOf("gateway's resident memory in minutes 9 and 10", "MB", last...),
		figureOf("requests/s meanwhile", "1/s", float64(got.Done)/got.Seconds),
	}, nil
}
