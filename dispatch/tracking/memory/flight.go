package memory

import (
	"context"
	"slices"
	"time"

	"headgate/dispatch/tracking"
)

// flight is which batches of a target are under way, and which wait for room: their IDs in
// the order in which they came.
type flight struct{ underWay, waiting []string }

// Launch implements tracking.Store.
func (s *Store) Launch(_ context.Context, batch tracking.Ref, most int) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.flightOf(batch.Target)
	f.waiting = without(f.waiting, batch.Tracking)
	if slices.Contains(f.underWay, batch.Tracking) {
		return true, nil
	}
	f.underWay = slices.DeleteFunc(f.underWay, func(id string) bool {
		r, ok := s.find(id)
		return !ok || r.rows[batch.Target].phase == tracking.Ended
	})
	if len(f.underWay) < most {
		f.underWay = append(f.underWay, batch.Tracking)
		return true, nil
	}
	f.waiting = append(f.waiting, batch.Tracking)
	slices.SortStableFunc(f.waiting, func(a, b string) int {
		return s.acceptedAt(a).Compare(s.acceptedAt(b))
	})
	return false, nil
}

// Land implements tracking.Store.
func (s *Store) Land(_ context.Context, batch tracking.Ref) (next string, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.flightOf(batch.Target)
	f.underWay, f.waiting = without(f.underWay, batch.Tracking), without(f.waiting, batch.Tracking)
	if len(f.waiting) > 0 {
		next, f.waiting = f.waiting[0], f.waiting[1:]
	}
	return next, nil
}

func (s *Store) flightOf(target string) *flight {
	if s.flights[target] == nil {
		s.flights[target] = new(flight)
	}
	return s.flights[target]
}

// acceptedAt is when a batch began; of one that has gone, long ago.
func (s *Store) acceptedAt(id string) time.Time {
	if r, ok := s.find(id); ok {
		return r.acceptedAt
	}
	return time.Time{}
}

func without(ids []string, id string) []string {
	return slices.DeleteFunc(ids, func(other string) bool { return other == id })
}
