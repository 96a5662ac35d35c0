package dispatch

import (
	"context"
	"sync"
)

// seats bound the calls of targets whose runs mostly make none: those that gather records.
type seats struct {
	mu sync.Mutex
	of map[string]chan struct{} // by target; as many as it has room for
}

// take waits for one of n seats. It comes before the claim, which lasts only as long as a
// call. When n has changed, who sits keeps the old seat besides.
func (s *seats) take(ctx context.Context, target string, n int) (leave func(), err error) {
	s.mu.Lock()
	all := s.of[target]
	if cap(all) != n {
		if s.of == nil {
			s.of = map[string]chan struct{}{}
		}
		all = make(chan struct{}, n)
		s.of[target] = all
	}
	s.mu.Unlock()
	select {
	case all <- struct{}{}:
		return func() { <-all }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
