package main

import (
	"fmt"
	"time"
)

// flight is the way of one record to one target.
type flight struct{ sent, accepted, arrived time.Time }

// sinceSent and sinceAccepted are how long it took.
func (f flight) sinceSent() time.Duration     { return f.arrived.Sub(f.sent) }
func (f flight) sinceAccepted() time.Duration { return max(f.arrived.Sub(f.accepted), 0) }

// flights sends rate records a second for span and waits until all have arrived at the
// targets.
func (s *stage) flights(back *backends, c *client, path string, rate int, span time.Duration, targets ...string) ([]flight, error) {
	records, err := c.steady(s.ctx, path, rate, span)
	if err != nil {
		return nil, err
	}
	out := make([]flight, 0, len(records)*len(targets))
	for _, r := range records {
		for _, target := range targets {
			at, err := s.arrival(back, target, r.record)
			if err != nil {
				return nil, err
			}
			out = append(out, flight{r.begun, r.accepted, at})
		}
	}
	return out, nil
}

// arrival waits for a record to arrive; it may take as long as all others together.
func (s *stage) arrival(back *backends, target, record string) (time.Time, error) {
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		if at, ok := back.at(target, record); ok {
			return at, nil
		}
		if err := sleep(s.ctx, 10*time.Millisecond); err != nil {
			return time.Time{}, err
		}
	}
	return time.Time{}, fmt.Errorf("record %s has not arrived at %s", record, target)
}

// durations gives one duration of each flight.
func durations(flights []flight, of func(flight) time.Duration) []time.Duration {
	out := make([]time.Duration, len(flights))
	for i, f := range flights {
		out[i] = of(f)
	}
	return out
}

// percentile is a percentile of all rounds together, for one round has too few records
// for it; its spread is that of the rounds.
func percentile(name string, percent int, rounds [][]time.Duration) Figure {
	var all []time.Duration
	each := make([]float64, len(rounds))
	for i, list := range rounds {
		all = append(all, list...)
		each[i] = quantile(list, percent)
	}
	f := figureOf(name, "ms", each...)
	f.Value = quantile(all, percent)
	return f
}
