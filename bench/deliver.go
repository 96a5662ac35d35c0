package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"headgate/chaos/world"
)

// deliveries measures everything at once: requests come as fast as they are taken while
// workers deliver, until the last has arrived.
func deliveries(ctx context.Context, o options, binaries world.Binaries) ([]Figure, error) {
	span := o.span(700*time.Millisecond, 2*time.Second)
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
	say("deliveries: %d rounds of %v", o.rounds(), span)
	got, err := measure(o.rounds(), []*contender{ours, naive}, func(c *contender) (values, error) { return s.endToEnd(c, span) })
	if err != nil {
		return nil, err
	}
	if err := s.profile(ours, "deliveries", flooding{For: 5 * time.Second}); err != nil {
		return nil, err
	}
	figures := []Figure{
		got.ratio("accepted/s ÷ naive, workers delivering", "accepted", "headgate", "naive").atLeast(1.3),
		got.ratio("deliveries/s end to end ÷ naive", "delivered", "headgate", "naive").atLeast(1),
		got.ratio("processor per dispatch with Redis ÷ naive", "processor", "headgate", "naive").atMost(1.3),
	}
	for _, name := range []string{"headgate", "naive"} {
		figures = append(figures,
			got.figure("accepted/s while delivering, "+name, "1/s", "accepted", name),
			got.figure("deliveries/s, "+name, "1/s", "delivered", name),
			got.figure("processor per dispatch with Redis, "+name, "µs", "processor", name))
	}
	return append(figures, got.figure("resident memory at full load, gateway and workers in one process", "MB", "resident", "headgate")), nil
}

// endToEnd is one round from the first request to the last arrival.
func (s *stage) endToEnd(c *contender, span time.Duration) (values, error) {
	before, err := s.told("count")
	if err != nil {
		return nil, err
	}
	used, err := c.usage()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	memory := watchMemory(c.pid, 50*time.Millisecond)
	got, err := s.flood(c, flooding{For: span})
	resident := memory.end()
	if err != nil {
		return nil, err
	}
	if err := s.awaitArrivals(c.name, before+3*got.Done); err != nil {
		return nil, err
	}
	took := time.Since(began).Seconds()
	after, err := c.usage()
	if err != nil {
		return nil, err
	}
	// What comes after the arrival, the writing down, belongs to the next round as it did to
	// this one from the one before.
	return values{
		"accepted":  float64(got.Done) / got.Seconds,
		"delivered": float64(3*got.Done) / took,
		"processor": float64((after - used).Microseconds()) / float64(got.Done),
		"resident":  slices.Max(resident),
	}, nil
}

// awaitArrivals waits until the backends have counted so many.
func (s *stage) awaitArrivals(whose string, want int64) error {
	for deadline := time.Now().Add(3 * time.Minute); ; {
		now, err := s.told("count")
		if err != nil || now >= want {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %d deliveries have not arrived", whose, want-now)
		}
		if err := sleep(s.ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// told asks the backends for one of their numbers.
func (s *stage) told(what string) (int64, error) {
	req, err := http.NewRequestWithContext(s.ctx, http.MethodGet, s.sink+"/"+what, http.NoBody)
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
