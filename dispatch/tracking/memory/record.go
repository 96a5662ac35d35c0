package memory

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"headgate/dispatch/tracking"
)

// maxRecord bounds one record with its payloads, as the real store does.
const maxRecord = 32 << 20

// Accept implements tracking.Store.
func (s *Store) Accept(ctx context.Context, a *tracking.Acceptance) (*tracking.IdemRow, error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("accept: %w: %w", tracking.ErrUnavailable, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	r := &record{
		tenant: a.Dispatch.Tenant, acceptedAt: now, retention: a.Retention, rows: map[string]*row{}, payloads: map[string]json.RawMessage{},
		dead: map[string]time.Time{},
	}
	var err error
	if r.meta, err = json.Marshal(a.Dispatch); err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	size := len(r.meta)
	bulk := s.bulk(a)
	for name, d := range a.Dispatch.Deliveries {
		if !d.State.Final() {
			d.Lane = tracking.LaneNew
		}
		if slices.Contains(bulk, name) {
			d.Lane = tracking.LaneBulk
		}
		if r.rows[name], err = newRow(d, now); err != nil {
			return nil, err
		}
		if !d.State.Final() {
			r.open++
		}
		if p := a.Payloads[name]; len(p) > 0 {
			r.payloads[name] = slices.Clone(p)
		}
		size += len(r.rows[name].body) + len(a.Payloads[name])
	}
	if size > maxRecord {
		return nil, tracking.ErrTooLarge
	}
	id := a.Dispatch.ID
	if known, ok := s.find(id); ok {
		a.Dispatch.SetLanes(known.bulk())
		return nil, nil
	}
	if !a.Until.IsZero() && now.After(a.Until) {
		return nil, fmt.Errorf("accept: %w: it comes too late", tracking.ErrUnavailable)
	}
	if a.Idem != nil {
		r.idemHash, r.idemUntil = a.Dispatch.IdemHash, now.Add(a.IdemTTL)
		taken, err := s.findIdem(r.idemHash)
		if err != nil || taken != nil {
			return taken, err
		}
		body, err := json.Marshal(a.Idem)
		if err != nil {
			return nil, fmt.Errorf("encode idempotency row: %w", err)
		}
		s.idem[r.idemHash] = &idemEntry{body: body}
	}
	s.records[id] = r
	a.Dispatch.SetLanes(bulk)
	if r.open == 0 {
		s.end(r, now)
	}
	return nil, nil
}

// end starts the clocks of retention; mu is held.
func (s *Store) end(r *record, now time.Time) {
	r.expires = now.Add(r.retention)
	if last := s.deadUntil(r); last.After(r.expires) {
		r.expires = last // the record outlives its dead letters
	}
	if e := s.idem[r.idemHash]; e != nil {
		e.expires = r.idemUntil
		if e.expires.Before(now) {
			e.expires = now // it has outlived its time with its record
		}
	}
}

// Idem implements tracking.Store.
func (s *Store) Idem(_ context.Context, idemHash string) (*tracking.IdemRow, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.findIdem(idemHash)
}

// Claim implements tracking.Store.
func (s *Store) Claim(_ context.Context, ref tracking.Ref, seq int, token string, hold time.Duration) (*tracking.Claimed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.find(ref.Tracking)
	if !ok || r.rows[ref.Target] == nil {
		return nil, tracking.ErrNotFound
	}
	if err := tracking.CheckToken(token); err != nil {
		return nil, err
	}
	w, now := r.rows[ref.Target], s.clock()
	if w.phase == tracking.Ended || w.fence.Seq != seq {
		d, err := w.delivery()
		if err != nil {
			return nil, err
		}
		return &tracking.Claimed{Delivery: d}, tracking.ErrStale
	}
	if w.phase == tracking.Gathered || (w.phase == tracking.Running && w.fence.Token != token) {
		return nil, tracking.ErrHeld
	}
	w.phase, w.lane, w.fence.Token, w.at = tracking.Running, tracking.LaneResume, token, now.Add(hold)
	out := &tracking.Claimed{Payload: slices.Clone(r.payloads[ref.Target]), Now: now}
	var err error
	if out.Delivery, err = w.delivery(); err != nil {
		return nil, err
	}
	out.Dispatch, err = r.dispatch()
	return out, err
}

// Apply implements tracking.Store.
func (s *Store) Apply(_ context.Context, ref tracking.Ref, expect tracking.Fence, next tracking.Delivery) error {
	if err := tracking.CheckNext(expect, next); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.apply(ref, expect, next)
}

// apply is Apply of what has been checked; mu is held.
func (s *Store) apply(ref tracking.Ref, expect tracking.Fence, next tracking.Delivery) error {
	r, ok := s.find(ref.Tracking)
	if !ok || r.rows[ref.Target] == nil {
		return tracking.ErrNotFound
	}
	now := s.clock()
	old := r.rows[ref.Target]
	replacement, err := newRow(next, now)
	if err != nil {
		return err
	}
	switch {
	case old.same(replacement):
		return nil // repeated
	case old.fence != expect || old.phase == tracking.Ended:
		return tracking.ErrFenced
	}
	switch next.Phase {
	case tracking.Scheduled:
		replacement.at = next.NextAt.Truncate(time.Millisecond)
	case tracking.Gathered:
		replacement.at = now.Add(tracking.BatchLook)
	default:
	}
	r.rows[ref.Target] = replacement
	if next.Phase != tracking.Ended {
		return nil
	}
	switch next.State {
	case tracking.Succeeded, tracking.Warned, tracking.Superseded:
		if !next.KeepPayload {
			delete(r.payloads, ref.Target)
		}
	case tracking.Failed:
		if !tracking.IsBatch(ref.Tracking) { // its members are the dead letters
			r.dead[ref.Target] = now
		}
	default:
	}
	if r.open--; r.open == 0 {
		s.end(r, now)
	}
	s.wakeUp(ref.Tracking)
	return nil
}

// Load implements tracking.Store.
func (s *Store) Load(_ context.Context, id string) (*tracking.Dispatch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.find(id)
	if !ok {
		return nil, tracking.ErrNotFound
	}
	return s.load(r)
}

// load reads a record whole; mu is held.
func (s *Store) load(r *record) (*tracking.Dispatch, error) {
	d, err := r.dispatch()
	if err != nil {
		return nil, err
	}
	d.Deliveries = make(map[string]tracking.Delivery, len(r.rows))
	for name, w := range r.rows {
		if d.Deliveries[name], err = w.delivery(); err != nil {
			return nil, err
		}
	}
	return d, nil
}
