package memory

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"headgate/dispatch/tracking"
)

// KeepDeadLetters sets how long a dead letter is kept; without it,
// tracking.DeadLetterRetention.
func (s *Store) KeepDeadLetters(d time.Duration) { s.deadFor = d }

// Cancel implements tracking.Store.
func (s *Store) Cancel(_ context.Context, id, tenant string) (*tracking.Dispatch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.find(id)
	if !ok {
		return nil, tracking.ErrNotFound
	}
	d, err := s.load(r)
	if err != nil {
		return nil, err
	}
	if d.Tenant != tenant {
		return nil, tracking.ErrNotFound
	}
	now := s.clock()
	for name, old := range d.Deliveries {
		next, ok := tracking.Cancel(old, now)
		if !ok {
			continue
		}
		if r.rows[name], err = newRow(next, now); err != nil {
			return nil, err
		}
		d.Deliveries[name] = next
		delete(r.payloads, name)
		if r.open--; r.open == 0 {
			s.end(r, now)
		}
		s.wakeUp(id)
	}
	return d, nil
}

// Revive implements tracking.Store.
func (s *Store) Revive(_ context.Context, ref tracking.Ref, expect tracking.Fence, next tracking.Delivery, payload json.RawMessage) error {
	if err := tracking.CheckRevival(expect, next); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.find(ref.Tracking)
	if !ok || r.rows[ref.Target] == nil {
		return tracking.ErrNotFound
	}
	old, now := r.rows[ref.Target], s.clock()
	replacement, err := newRow(next, now)
	if err != nil {
		return err
	}
	switch {
	case old.fence == next.Fence && old.phase == next.Phase && old.lane == next.Lane && string(old.body) == string(replacement.body):
		return nil // repeated
	case old.fence.Seq != expect.Seq || old.phase != tracking.Ended:
		return tracking.ErrFenced
	case payload == nil && r.payloads[ref.Target] == nil:
		return tracking.ErrNoPayload
	case len(payload) > maxRecord:
		return tracking.ErrTooLarge
	}
	r.rows[ref.Target] = replacement
	if payload != nil {
		r.payloads[ref.Target] = slices.Clone(payload)
	}
	delete(r.dead, ref.Target)
	r.open++
	r.expires = time.Time{}
	if r.idemHash == "" {
		return nil
	}
	row, err := s.findIdem(r.idemHash)
	if err != nil {
		return err
	}
	if row != nil && row.ID == ref.Tracking {
		s.idem[r.idemHash].expires = time.Time{}
	} else {
		r.idemHash = "" // it has run out; another request may have it by now
	}
	return nil
}

// DropDeadLetter implements tracking.Store.
func (s *Store) DropDeadLetter(_ context.Context, ref tracking.Ref) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.find(ref.Tracking)
	if !ok || r.dead[ref.Target].IsZero() {
		return tracking.ErrNotFound
	}
	delete(r.dead, ref.Target)
	delete(r.payloads, ref.Target)
	if r.open == 0 {
		now := s.clock()
		until := now.Add(r.retention)
		if last := s.deadUntil(r); last.After(until) {
			until = last
		}
		if until.Before(r.expires) {
			r.expires = until
		}
	}
	return nil
}

// ExpireDeadLetters implements tracking.Store.
func (s *Store) ExpireDeadLetters(_ context.Context, limit int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, now := 0, s.clock()
	for _, r := range s.records {
		for target, at := range r.dead {
			if n < limit && !now.Before(at.Add(s.deadFor)) {
				delete(r.dead, target)
				delete(r.payloads, target)
				n++
			}
		}
	}
	return n, nil
}

// deadUntil gives until when the last dead letter of a record is kept; zero when it has none.
func (s *Store) deadUntil(r *record) (last time.Time) {
	for _, at := range r.dead {
		if until := at.Add(s.deadFor); until.After(last) {
			last = until
		}
	}
	return last
}
