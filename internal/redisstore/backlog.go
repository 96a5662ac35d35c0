package redisstore

import (
	"context"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
)

// Backlog implements tracking.Store: one pipeline with one or two commands for each shard.
func (s *Store) Backlog(ctx context.Context, tenants []tracking.TenantRef) (tracking.Backlog, error) {
	out := tracking.Backlog{Targets: map[string]int{}, Tenants: make(map[tracking.TenantRef]int, len(tenants))}
	fields := make([]string, len(tenants))
	for i, who := range tenants {
		fields[i] = openTenantField(who)
	}
	pipe := s.base.Pipeline()
	memory := pipe.Info(ctx, "memory")
	var targets [tracking.Shards]*redis.MapStringStringCmd
	var counts [tracking.Shards]*redis.SliceCmd
	for i, shard := range shardPrefix {
		targets[i] = pipe.HGetAll(ctx, openKey(shard))
		if len(fields) > 0 {
			counts[i] = pipe.HMGet(ctx, tenantsKey(shard), fields...)
		}
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for i := range shardPrefix {
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
	if info := parseInfo(memory.Val()); memory.Err() == nil {
		out.Memory = tracking.Memory{Used: atoi64(info["used_memory"]), Max: atoi64(info["maxmemory"])}
	}
	return out, nil
}
