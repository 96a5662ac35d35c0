package memory

import (
	"context"
	"crypto/rand"
	"slices"
	"time"

	"headgate/dispatch/tracking"
)

// CallbackKey implements tracking.Store.
func (s *Store) CallbackKey(context.Context) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.callbackKey == nil {
		s.callbackKey = make([]byte, tracking.CallbackKeySize)
		_, _ = rand.Read(s.callbackKey) // it never fails
	}
	return slices.Clone(s.callbackKey), nil
}

// NoteCallback implements tracking.Store.
func (s *Store) NoteCallback(_ context.Context, ref tracking.Ref) (d tracking.Delivery, now time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.find(ref.Tracking)
	if !ok || r.rows[ref.Target] == nil {
		return d, now, tracking.ErrNotFound
	}
	w := r.rows[ref.Target]
	if w.phase != tracking.Ended {
		s.called[ref] = true
	}
	d, err = w.delivery()
	return d, s.clock(), err
}

// ApplyWait implements tracking.Store.
func (s *Store) ApplyWait(_ context.Context, ref tracking.Ref, expect tracking.Fence, next, sooner tracking.Delivery) (called bool, err error) {
	for _, d := range []tracking.Delivery{next, sooner} {
		if err := tracking.CheckNext(expect, d); err != nil {
			return false, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	called = s.called[ref] || s.holds(ref, sooner) // repeated
	if called {
		next = sooner
	}
	if err := s.apply(ref, expect, next); err != nil {
		return false, err
	}
	delete(s.called, ref)
	return called, nil
}

// holds reports whether the delivery is as d; mu is held.
func (s *Store) holds(ref tracking.Ref, d tracking.Delivery) bool {
	r, ok := s.find(ref.Tracking)
	if !ok || r.rows[ref.Target] == nil {
		return false
	}
	row, err := newRow(d, time.Time{})
	return err == nil && r.rows[ref.Target].same(row)
}
