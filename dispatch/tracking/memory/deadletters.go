package memory

import (
	"context"
	"slices"

	"headgate/dispatch/tracking"
)

// marked is a letter with its place in the listing.
type marked struct {
	tracking.Letter
	mark tracking.DeadMark
}

// DeadLetters implements tracking.Store.
func (s *Store) DeadLetters(_ context.Context, q tracking.DeadQuery) (page tracking.DeadPage, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	span, err := q.Range(s.clock(), s.deadFor)
	if err != nil {
		return page, err
	}
	found, err := s.deadRows(q, span)
	if err != nil {
		return page, err
	}
	slices.SortFunc(found, func(a, b marked) int {
		if a.mark.Before(b.mark) {
			return -1
		}
		return 1
	})
	for _, m := range found {
		if !span.After.Before(m.mark) {
			continue
		}
		page.Letters = append(page.Letters, m.Letter)
		if len(page.Letters) == q.Size() {
			page.Next = m.Cursor
			break
		}
	}
	return page, nil
}

// deadRows gives what the query selects, in no order; mu is held.
func (s *Store) deadRows(q tracking.DeadQuery, span tracking.DeadRange) (out []marked, err error) {
	now := s.clock()
	for id, r := range s.records {
		if _, ok := s.find(id); !ok || len(r.dead) == 0 {
			continue
		}
		d, err := s.load(r)
		if err != nil {
			return nil, err
		}
		for target, at := range r.dead {
			mark := tracking.DeadMark{At: at.UnixMilli(), Member: id + ":" + target}
			if mark.At < span.From || mark.At >= span.Until || !q.Matches(d, target, d.Deliveries[target]) {
				continue
			}
			out = append(out, marked{mark: mark, Letter: tracking.Letter{
				Ref: tracking.Ref{Tracking: id, Target: target}, Route: d.Route, Tenant: d.Tenant, AcceptedAt: d.AcceptedAt,
				Delivery: d.Deliveries[target], Dead: true, Expires: at.Add(s.deadFor), Now: now, Cursor: span.Cursor(mark),
			}})
		}
	}
	return out, nil
}

// Letter implements tracking.Store.
func (s *Store) Letter(_ context.Context, ref tracking.Ref) (*tracking.Letter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.find(ref.Tracking)
	if !ok || r.rows[ref.Target] == nil {
		return nil, tracking.ErrNotFound
	}
	d, err := s.load(r)
	if err != nil {
		return nil, err
	}
	out := &tracking.Letter{
		Ref: ref, Route: d.Route, Tenant: d.Tenant, AcceptedAt: d.AcceptedAt, Delivery: d.Deliveries[ref.Target],
		Payload: slices.Clone(r.payloads[ref.Target]), Now: s.clock(),
	}
	if at := r.dead[ref.Target]; !at.IsZero() {
		out.Expires = at.Add(s.deadFor)
		out.Dead = out.Expires.After(out.Now)
	}
	return out, nil
}
