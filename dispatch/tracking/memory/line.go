package memory

import (
	"context"
	"fmt"
	"slices"
	"time"

	"headgate/dispatch/tracking"
)

// ticket is a place in a line.
type ticket struct {
	id string
	at time.Time
}

// seen is how many of each end of a line a place tells of.
const seen = 16

func (s *Store) place(line, id string) tracking.Place {
	standing, now := s.lines[line], s.clock()
	p := tracking.Place{Before: slices.IndexFunc(standing, func(t ticket) bool { return t.id == id })}
	if p.Before >= 0 {
		p.At = standing[p.Before].at
	}
	for _, t := range standing[:min(len(standing), seen)] {
		p.Front = append(p.Front, tracking.Standee{Tracking: t.id, Age: now.Sub(t.at)})
	}
	for i := len(standing) - 1; i >= max(0, len(standing)-seen); i-- {
		p.Last = append(p.Last, standing[i].id)
	}
	return p
}

func (s *Store) line(line string, change func()) error {
	if _, ok := tracking.LineShard(line); !ok {
		return fmt.Errorf("%w: %q is no line", tracking.ErrInvalid, line)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	return nil
}

// Enter implements tracking.Store.
func (s *Store) Enter(_ context.Context, line, id string) (p tracking.Place, err error) {
	err = s.line(line, func() {
		if p = s.place(line, id); p.Before < 0 {
			s.lines[line] = append(s.lines[line], ticket{id, s.clock()})
			p = s.place(line, id)
		}
	})
	return p, err
}

// Place implements tracking.Store.
func (s *Store) Place(_ context.Context, line, id string) (p tracking.Place, err error) {
	err = s.line(line, func() { p = s.place(line, id) })
	return p, err
}

// Leave implements tracking.Store.
func (s *Store) Leave(_ context.Context, line, id string) (p tracking.Place, err error) {
	err = s.line(line, func() {
		left := slices.DeleteFunc(s.lines[line], func(t ticket) bool { return t.id == id })
		if s.lines[line] = left; len(left) == 0 {
			delete(s.lines, line)
		}
		p = s.place(line, id)
	})
	return p, err
}

// HasLeft implements tracking.Store.
func (s *Store) HasLeft(_ context.Context, ref tracking.Ref) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.find(ref.Tracking); ok && r.rows[ref.Target] != nil {
		r.rows[ref.Target].leaving = false
	}
	return nil
}

// Standing counts those who stand in lines.
func (s *Store) Standing() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lines {
		n += len(l)
	}
	return n
}
