package redisstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
)

// CountFault is a count that disagrees with the records.
type CountFault struct {
	Key, Field string
	Counted    int // what the count says
	Found      int // what the records say
}

// String names the count and both numbers.
func (f CountFault) String() string {
	return fmt.Sprintf("%s %s counts %d, there are %d", f.Key, f.Field, f.Counted, f.Found)
}

// auditBatch is how many records are read in one pipeline.
const auditBatch = 500

// counts are numbers by key and field.
type counts map[string]map[string]int

// Audit compares all counts that scripts keep with a full count of the records. It reads
// every record, and not in one step: what moves meanwhile looks like a fault, so it is for
// a store at rest, or to be asked twice; of a cluster it sees one server. None is the answer of a store in order.
func (s *Store) Audit(ctx context.Context) ([]CountFault, error) {
	found := counts{}
	for _, shard := range shardPrefix {
		found[openKey(shard)], found[tenantsKey(shard)], found[figuresKey(shard)] = map[string]int{}, map[string]int{}, map[string]int{}
	}
	seen := map[string]bool{} // SCAN may name a key twice
	for cursor, begun := uint64(0), false; !begun || cursor != 0; begun = true {
		keys, next, err := s.base.Scan(ctx, cursor, recordGlob, auditBatch).Result()
		if err != nil {
			return nil, unavailable("list records", err)
		}
		keys = slices.DeleteFunc(keys, func(key string) bool { known := seen[key]; seen[key] = true; return known })
		if err := s.countRecords(ctx, keys, found); err != nil {
			return nil, err
		}
		cursor = next
	}
	if err := s.countLists(ctx, found); err != nil {
		return nil, err
	}
	var faults []CountFault
	for key, want := range found {
		counted, err := s.base.HGetAll(ctx, key).Result()
		if err != nil {
			return nil, unavailable("read counts", err)
		}
		for field := range counted {
			want[field] += 0 // also one that no record calls for
		}
		for field, n := range want {
			if got := int(atoi64(counted[field])); got != n || n == 0 {
				faults = append(faults, CountFault{key, field, got, n})
			}
		}
	}
	slices.SortFunc(faults, func(a, b CountFault) int {
		return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.Field, b.Field))
	})
	return faults, nil
}

// countRecords adds what some records call for.
func (s *Store) countRecords(ctx context.Context, keys []string, found counts) error {
	pipe := s.base.Pipeline()
	records := make(map[string]*redis.MapStringStringCmd, len(keys))
	for _, key := range keys {
		records[key] = pipe.HGetAll(ctx, key)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return unavailable("read records", err)
	}
	for key, fields := range records {
		shard := key[:len(shardPrefix[0])] // all are of one length
		// The record of a batch names none.
		tenant, counted := fields.Val()["n"]
		for field, value := range fields.Val() {
			target, ok := strings.CutPrefix(field, "t:")
			if !ok {
				continue
			}
			d, err := decodeDelivery(value)
			if err != nil {
				return fmt.Errorf("record %s: %w", key, err)
			}
			if d.Phase == tracking.Ended {
				continue
			}
			found[openKey(shard)][openField(target, d.Plan)]++
			if d.State == tracking.Waiting {
				found[figuresKey(shard)][waitingField+target]++
			}
			who := tracking.TenantRef{Target: target, Tenant: tenant}
			if counted {
				found[tenantsKey(shard)][openTenantField(who)]++
			}
			if counted && d.Lane != tracking.LaneResume {
				found[tenantsKey(shard)][newTenantField(who)]++
			}
		}
	}
	return nil
}

// countLists adds what the lists of dead letters call for.
func (s *Store) countLists(ctx context.Context, found counts) error {
	for _, shard := range shardPrefix {
		dead, err := s.base.ZRange(ctx, deadKey(shard), 0, -1).Result()
		if err != nil {
			return unavailable("list dead letters", err)
		}
		for _, row := range dead {
			if ref, ok := splitMember(row); ok {
				found[figuresKey(shard)][deadField+ref.Target]++
			}
		}
	}
	return nil
}
