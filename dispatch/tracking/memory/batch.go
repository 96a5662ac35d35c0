package memory

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"headgate/dispatch/tracking"
)

// listed is a member on the list of its batch.
type listed struct {
	id    string
	place int // the how manieth it was to join, from 1
}

// Join implements tracking.Store.
func (s *Store) Join(_ context.Context, ref tracking.Ref, g tracking.Gathering) (joined tracking.Joined, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	key := tracking.PlanRef{Target: ref.Target, Hash: g.Plan}
	id := s.gathering[key]
	if _, ok := s.find(id); !ok {
		r := &record{
			acceptedAt: now, retention: g.Retention, open: 1,
			rows: map[string]*row{}, payloads: map[string]json.RawMessage{}, dead: map[string]time.Time{},
		}
		if r.meta, err = json.Marshal(&tracking.Dispatch{
			ID: g.Candidate, Rule: tracking.DoneAll, TraceParent: g.TraceParent, Targets: []tracking.TargetRef{{Name: ref.Target}},
		}); err != nil {
			return joined, err
		}
		if r.rows[ref.Target], err = newRow(g.Batch(), g.Until); err != nil {
			return joined, err
		}
		id, joined.Began = g.Candidate, true
		s.records[id], s.gathering[key] = r, id
	}
	w := s.records[id].rows[ref.Target]
	joined.Batch, joined.Seq = tracking.Ref{Tracking: id, Target: ref.Target}, w.fence.Seq
	list := s.members[id]
	if i := slices.IndexFunc(list, func(l listed) bool { return l.id == ref.Tracking }); i >= 0 {
		joined.Began, joined.Place = false, list[i].place
		return joined, nil
	}
	joined.Place = len(list) + 1
	s.members[id] = append(list, listed{ref.Tracking, joined.Place})
	s.records[id].bytes += g.Size
	if len(s.members[id]) < g.MaxRecords && (g.MaxBytes == 0 || s.records[id].bytes < g.MaxBytes) {
		return joined, nil
	}
	delete(s.gathering, key)
	joined.Full = true
	return joined, nil
}

// Seal implements tracking.Store.
func (s *Store) Seal(_ context.Context, batch tracking.Ref, last int) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, id := range s.gathering {
		if id == batch.Tracking {
			delete(s.gathering, key)
		}
	}
	var ids []string
	for _, l := range s.members[batch.Tracking] {
		if last == 0 || l.place <= last {
			ids = append(ids, l.id)
		}
	}
	return ids, nil
}

// Board implements tracking.Store.
func (s *Store) Board(_ context.Context, batch tracking.Ref, ids []string, send bool) ([]tracking.Member, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]tracking.Member, len(ids))
	for i, id := range ids {
		m := &out[i]
		m.Ref = tracking.Ref{Tracking: id, Target: batch.Target}
		r, ok := s.find(id)
		if !ok || r.rows[batch.Target] == nil {
			continue
		}
		w := r.rows[batch.Target]
		switch {
		case w.fence.Token == batch.Tracking:
			m.Stands = tracking.Aboard
			if send {
				w.phase = tracking.Running
				m.Payload = slices.Clone(r.payloads[batch.Target])
			}
		case w.phase == tracking.Running && !tracking.IsBatch(w.fence.Token):
			m.Stands = tracking.Joining
		}
		var err error
		if m.Delivery, err = w.delivery(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ApplyAll implements tracking.Store.
func (s *Store) ApplyAll(ctx context.Context, target string, changes []tracking.Change) error {
	for _, c := range changes {
		err := s.Apply(ctx, tracking.Ref{Tracking: c.Tracking, Target: target}, c.Expect, c.Next)
		if err != nil && !errors.Is(err, tracking.ErrFenced) && !errors.Is(err, tracking.ErrNotFound) {
			return err
		}
	}
	return nil
}

// Judge implements tracking.Store.
func (s *Store) Judge(_ context.Context, batch tracking.Ref, ends map[string]tracking.End, _ time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends[batch.Tracking] = maps.Clone(ends)
	return nil
}

// Ends implements tracking.Store.
func (s *Store) Ends(_ context.Context, batch tracking.Ref, ids []string) (map[string]tracking.End, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]tracking.End{}
	for _, id := range ids {
		if end, ok := s.ends[batch.Tracking][id]; ok {
			out[id] = end
		}
	}
	return out, nil
}

// TraceParents implements tracking.Store.
func (s *Store) TraceParents(_ context.Context, ids []string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]string, len(ids))
	for i, id := range ids {
		r, ok := s.find(id)
		if !ok {
			continue
		}
		d, err := r.dispatch()
		if err != nil {
			return nil, err
		}
		out[i] = d.TraceParent
	}
	return out, nil
}

// Settled implements tracking.Store.
func (s *Store) Settled(_ context.Context, batch tracking.Ref, ids []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := slices.DeleteFunc(s.members[batch.Tracking], func(l listed) bool { return slices.Contains(ids, l.id) })
	if s.members[batch.Tracking] = left; len(left) == 0 {
		delete(s.members, batch.Tracking)
	}
	return nil
}
