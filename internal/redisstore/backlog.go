package redisstore

import (
	"context"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
)

// Backlog implements tracking.Store: one pipeline with one or two commands for each shard
// that has something to count.
func (s *Store) Backlog(ctx context.Context, tenants []tracking.TenantRef) (tracking.Backlog, error) {
	out := tracking.Backlog{Targets: map[string]int{}, Tenants: make(map[tracking.TenantRef]int, len(tenants))}
	fields := make([]string, len(tenants))
	for i, who := range tenants {
		fields[i] = openTenantField(who)
	}
	shards, err := s.openShards(ctx)
	if err != nil {
		return out, unavailable("count the backlog", err)
	}
	pipe := s.base.Pipeline()
	var memory *redis.StringCmd
	if !s.cluster {
		memory = pipe.Info(ctx, "memory")
	}
	targets := make([]*redis.MapStringStringCmd, len(shards))
	counts := make([]*redis.SliceCmd, len(shards))
	for i, shard := range shards {
		targets[i] = pipe.HGetAll(ctx, openKey(shard))
		if len(fields) > 0 {
			counts[i] = pipe.HMGet(ctx, tenantsKey(shard), fields...)
		}
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for i := range shards {
		if err := targets[i].Err(); err != nil {
			return out, unavailable("count the backlog", err)
		}
		for field, n := range targets[i].Val() {
			if ref, ok := splitOpenField(field); ok {
				out.Targets[ref.Target] += int(atoi64(n))
			}
		}
		if counts[i] == nil {
			continue
		}
		if err := counts[i].Err(); err != nil {
			return out, unavailable("count the backlog of tenants", err)
		}
		found := counts[i].Val() // in the order of tenants
		for j, who := range tenants {
			if text, ok := found[j].(string); ok {
				out.Tenants[who] += int(atoi64(text))
			}
		}
	}
	// An emulation, or a proxy in between, may not know INFO: then there is no such bound.
	if memory != nil {
		out.Memory = memoryOf(memory)
	} else {
		out.Memory = s.fullest(ctx)
	}
	return out, nil
}

// openShards gives the shards that have deliveries which are not final.
func (s *Store) openShards(ctx context.Context) ([]string, error) {
	open, err := s.presentOf(ctx, openKey)
	for i, key := range open {
		open[i] = strings.TrimSuffix(key, openKey(""))
	}
	return open, err
}

// presentOf gives those keys of a kind, one for each shard, that exist: on a system with little
// to do hardly any does, and one command tells. In a cluster, where it would take one for each
// shard, it gives all.
func (s *Store) presentOf(ctx context.Context, kind func(shard string) string) ([]string, error) {
	keys := make([]string, len(shardPrefix))
	for i, shard := range shardPrefix {
		keys[i] = kind(shard)
	}
	if s.cluster {
		return keys, nil
	}
	return presentScript.Run(ctx, s.base, keys).StringSlice()
}

func memoryOf(info *redis.StringCmd) tracking.Memory {
	fields := parseInfo(info.Val()) // empty after an error
	return tracking.Memory{Used: atoi64(fields["used_memory"]), Max: atoi64(fields["maxmemory"])}
}

// fullest gives the memory of the master of a cluster that has least of its own left: a
// request may hit any.
func (s *Store) fullest(ctx context.Context) (out tracking.Memory) {
	var mu sync.Mutex
	_ = eachMaster(ctx, s.base, func(ctx context.Context, _ string, rdb redis.UniversalClient) error {
		m := memoryOf(rdb.Info(ctx, "memory"))
		mu.Lock()
		defer mu.Unlock()
		if fill(m) >= fill(out) {
			out = m
		}
		return nil
	}) // one that is away has no say
	return out
}

// fill is how full memory is; without a bound it counts by what is used alone, which is
// less than any part of a bound.
func fill(m tracking.Memory) float64 {
	if m.Max == 0 {
		return -1 / (1 + float64(m.Used))
	}
	return float64(m.Used) / float64(m.Max)
}
