package redisstore

import (
	"context"

	"headgate/dispatch/tracking"
)

// Counts gives the counts of every target that has something to count.
func (s *Store) Counts(ctx context.Context) (map[string]tracking.TargetCounts, error) {
	open, err := s.OpenPlans(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]tracking.TargetCounts{}
	for ref, n := range open {
		t := out[ref.Target]
		t.Open += n
		out[ref.Target] = t
	}
	return out, nil
}
