package memory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"headgate/dispatch/tracking"
)

// Overdue implements tracking.Store.
func (s *Store) Overdue(_ context.Context, grace time.Duration, limit int) ([]tracking.Row, error) {
	return s.list(grace, limit, func(_ string, w *row) bool {
		return w.phase == tracking.Running || w.phase == tracking.Scheduled || w.phase == tracking.Gathered || w.leaving
	})
}

// QueuedSince implements tracking.Store.
func (s *Store) QueuedSince(_ context.Context, target string, age time.Duration, limit int) ([]tracking.Row, error) {
	return s.list(age, limit, func(name string, w *row) bool {
		return w.phase == tracking.Queued && name == target
	})
}

// Abandoned implements tracking.Store.
func (s *Store) Abandoned(_ context.Context, owner string, limit int) ([]tracking.Row, error) {
	return s.list(-forever, limit, func(_ string, w *row) bool {
		return w.phase == tracking.Running && tracking.OwnerOf(w.fence.Token) == owner
	})
}

// forever is longer than any claim.
const forever = 1000 * time.Hour

// Beat implements tracking.Store.
func (s *Store) Beat(_ context.Context, owner string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owners[owner]++
	return nil
}

// Owners implements tracking.Store.
func (s *Store) Owners(context.Context) (map[string]int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.owners), nil
}

// Forget implements tracking.Store.
func (s *Store) Forget(_ context.Context, owner string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.owners, owner)
	return nil
}

func (s *Store) list(age time.Duration, limit int, wanted func(target string, w *row) bool) ([]tracking.Row, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	var out []tracking.Row
	for id, r := range s.records {
		for target, w := range r.rows {
			if !wanted(target, w) || w.at.After(now.Add(-age)) {
				continue
			}
			d, err := w.delivery()
			if err != nil {
				return out, err
			}
			ref := tracking.Ref{Tracking: id, Target: target}
			out = append(out, tracking.Row{Ref: ref, Delivery: d, Now: now, Since: now.Sub(w.at)})
		}
	}
	slices.SortFunc(out, func(a, b tracking.Row) int { return cmp.Compare(b.Since, a.Since) })
	return out[:min(len(out), limit)], nil
}

// Touch implements tracking.Store.
func (s *Store) Touch(_ context.Context, touched tracking.Row) error {
	if _, ok := tracking.Shard(touched.Tracking); !ok {
		return tracking.ErrNotFound
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.find(touched.Tracking)
	if !ok {
		return nil
	}
	// The two kinds of rows are apart: one that changed its kind is not the one that was read.
	w, until := r.rows[touched.Target], touched.Now
	if tracking.IsBatch(touched.Delivery.Token) {
		until = until.Add(tracking.BatchLook)
	}
	if w != nil && w.phase != tracking.Ended && until.After(w.at) &&
		(w.phase == tracking.Queued) == (touched.Delivery.Phase == tracking.Queued) {
		w.at = until
	}
	return nil
}

// SavePlan implements tracking.Store.
func (s *Store) SavePlan(_ context.Context, hash string, source []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plans[hash] = slices.Clone(source)
	return nil
}

// PlanSource implements tracking.Store.
func (s *Store) PlanSource(_ context.Context, hash string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	source, ok := s.plans[hash]
	if !ok {
		return nil, fmt.Errorf("plan %s: %w", hash, tracking.ErrNotFound)
	}
	return slices.Clone(source), nil
}

// OpenPlans implements tracking.Store.
func (s *Store) OpenPlans(context.Context) (map[tracking.PlanRef]int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[tracking.PlanRef]int{}
	for _, r := range s.records {
		for target, w := range r.rows {
			if w.phase == tracking.Ended {
				continue
			}
			d, err := w.delivery()
			if err != nil {
				return nil, err
			}
			out[tracking.PlanRef{Target: target, Hash: d.Plan}]++
		}
	}
	return out, nil
}
