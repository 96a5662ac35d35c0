package memory

import (
	"fmt"
	"slices"
	"strings"
)

// Leftovers tells what is still to be done for somebody: rows, and places in lines and on the
// lists of batches. Of what has ended nothing is to be left.
func (s *Store) Leftovers() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, r := range s.records {
		for target, w := range r.rows {
			if w.phase != 'f' || w.leaving {
				out = append(out, fmt.Sprintf("row %c of %s:%s", w.phase, id, target))
			}
		}
	}
	for line, standing := range s.lines {
		out = append(out, fmt.Sprintf("line %s: %d", line, len(standing)))
	}
	for batch, list := range s.members {
		out = append(out, fmt.Sprintf("members of %s: %d", batch, len(list)))
	}
	for plan, batch := range s.gathering {
		out = append(out, fmt.Sprintf("%s gathers for %s", batch, plan.Target))
	}
	for target, f := range s.flights {
		if len(f.underWay)+len(f.waiting) > 0 {
			out = append(out, fmt.Sprintf("flight of %s: %s; %s", target, strings.Join(f.underWay, " "), strings.Join(f.waiting, " ")))
		}
	}
	slices.Sort(out)
	return out
}
