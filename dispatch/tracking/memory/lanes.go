package memory

import (
	"context"
	"slices"

	"headgate/dispatch/tracking"
)

// bulk lists the targets of a request whose tasks belong into LaneBulk. Like the real
// store it counts within the record's shard. mu is held.
func (s *Store) bulk(a *tracking.Acceptance) (out []string) {
	home, _ := tracking.Shard(a.Dispatch.ID)
	for target, share := range a.FairShare {
		if share == 0 || a.Dispatch.Deliveries[target].State.Final() {
			continue
		}
		begunNot := 0
		for id, r := range s.records {
			if shard, _ := tracking.Shard(id); shard != home || r.tenant != a.Dispatch.Tenant {
				continue
			}
			if w := r.rows[target]; w != nil && w.lane != tracking.LaneResume {
				begunNot++
			}
		}
		if begunNot >= (share+tracking.Shards-1)/tracking.Shards {
			out = append(out, target)
		}
	}
	return out
}

// bulk lists the targets whose deliveries stand in LaneBulk.
func (r *record) bulk() (out []string) {
	for target, w := range r.rows {
		if w.lane == tracking.LaneBulk {
			out = append(out, target)
		}
	}
	return out
}

// Backlog implements tracking.Store. This store knows nothing of its memory.
func (s *Store) Backlog(_ context.Context, tenants []tracking.TenantRef) (tracking.Backlog, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := tracking.Backlog{Targets: map[string]int{}, Tenants: map[tracking.TenantRef]int{}}
	for _, r := range s.records {
		for target, w := range r.rows {
			if w.phase == tracking.Ended {
				continue
			}
			out.Targets[target]++
			if who := (tracking.TenantRef{Target: target, Tenant: r.tenant}); slices.Contains(tenants, who) {
				out.Tenants[who]++
			}
		}
	}
	return out, nil
}
