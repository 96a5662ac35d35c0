package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
)

// planTTL is how long a plan that nobody uses any longer is kept. Running processes
// renew it, also for deliveries whose target has left the files, so it only has to
// outlast a time in which nothing runs at all.
const planTTL = 90 * 24 * time.Hour

// Overdue implements tracking.Store.
func (s *Store) Overdue(ctx context.Context, grace time.Duration, limit int) ([]tracking.Row, error) {
	// Which come first changes, so that a limit that is reached hides none each time.
	runsFirst := rand.IntN(2) == 0 //nolint:gosec // fairness, not secrecy
	keys := func(shard string) []string {
		if runsFirst {
			return []string{runningKey(shard), dueKey(shard)}
		}
		return []string{dueKey(shard), runningKey(shard)}
	}
	return s.rows(ctx, overdueScript, keys, limit, millis(grace), limit)
}

// QueuedSince implements tracking.Store.
func (s *Store) QueuedSince(ctx context.Context, target string, age time.Duration, limit int) ([]tracking.Row, error) {
	// The lanes are looked at apart: a row that ought to have moved long ago must not stand
	// behind a tenant's backlog. Which comes first changes, so that a limit that is
	// reached hides none each time.
	lanes := []tracking.Lane{tracking.LaneNew, tracking.LaneBulk, tracking.LaneResume}
	rand.Shuffle(len(lanes), func(i, j int) { lanes[i], lanes[j] = lanes[j], lanes[i] }) //nolint:gosec // fairness, not secrecy
	var out []tracking.Row
	var errs []error
	for _, lane := range lanes {
		left := limit - len(out)
		if left <= 0 {
			break
		}
		keys := func(shard string) []string { return []string{rowKey(shard, target, lane)} }
		rows, err := s.rows(ctx, waitingScript, keys, left, millis(age), left, target, letter(tracking.Delivery{Phase: tracking.Queued, Lane: lane}))
		out, errs = append(out, rows...), append(errs, err)
	}
	oldestFirst(out)
	return out, errors.Join(errs...)
}

// rowKey is where the queued row of a delivery in this lane stands.
func rowKey(shard, target string, lane tracking.Lane) string {
	switch lane {
	case tracking.LaneBulk:
		return bulkKey(shard, target)
	case tracking.LaneNew:
		return queuedKey(shard, target)
	default:
		return resumeKey(shard, target)
	}
}

func oldestFirst(rows []tracking.Row) {
	slices.SortFunc(rows, func(a, b tracking.Row) int { return cmp.Compare(b.Since, a.Since) })
}

// rows runs a script that lists rows, over keys of each shard.
func (s *Store) rows(ctx context.Context, script *redis.Script, keysOf func(shard string) []string, limit int, args ...any) ([]tracking.Row, error) {
	// Starting at another shard each time, a limit that is reached starves none of them.
	keys := make([][]string, 0, tracking.Shards)
	first := rand.IntN(tracking.Shards) //nolint:gosec // fairness, not secrecy
	for i := range tracking.Shards {
		keys = append(keys, keysOf(shardPrefix[(first+i)%tracking.Shards]))
	}
	var out []tracking.Row
	var errs []error
	for _, cmd := range s.list(ctx, script, keys, args...) {
		// A shard that cannot be read must not keep the others from being looked at.
		rows, err := s.rowsOf(cmd)
		out, errs = append(out, rows...), append(errs, err)
	}
	out = out[:min(limit, len(out))]
	oldestFirst(out)
	return out, errors.Join(errs...)
}

// list runs the script: once for all keys, in a cluster once for each shard, in one wave.
func (s *Store) list(ctx context.Context, script *redis.Script, keys [][]string, args ...any) []*redis.Cmd {
	if !s.cluster {
		return []*redis.Cmd{script.Run(ctx, s.base, slices.Concat(keys...), args...)}
	}
	pipe := s.base.Pipeline()
	out := make([]*redis.Cmd, len(keys))
	for i, shard := range keys {
		out[i] = script.EvalSha(ctx, pipe, shard, args...)
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for i, shard := range keys {
		if err := out[i].Err(); redis.HasErrorPrefix(err, "NOSCRIPT") || notNow(err) {
			out[i] = script.Run(ctx, s.base, shard, args...)
		}
	}
	return out
}

// rowsOf reads the script's answer. A row that cannot be read is reported and left out:
// it must not hide the others, each time anew.
func (s *Store) rowsOf(cmd *redis.Cmd) ([]tracking.Row, error) {
	answer, err := cmd.StringSlice()
	if err != nil {
		return nil, unavailable("list overdue rows", err)
	}
	now := time.UnixMilli(atoi64(answer[0])).UTC()
	out := make([]tracking.Row, 0, len(answer)/3)
	var errs []error
	for i := 1; i+2 < len(answer); i += 3 {
		ref, ok := splitMember(answer[i])
		score, scoreErr := strconv.ParseFloat(answer[i+1], 64)
		delivery, err := decodeDelivery(answer[i+2])
		if !ok || scoreErr != nil || err != nil {
			errs = append(errs, fmt.Errorf("due row %q: %w", answer[i], errors.Join(scoreErr, err)))
			continue
		}
		out = append(out, tracking.Row{
			Ref: ref, Delivery: delivery, Now: now,
			Since: now.Sub(time.UnixMilli(int64(score))),
		})
	}
	return out, errors.Join(errs...)
}

// Abandoned implements tracking.Store.
func (s *Store) Abandoned(ctx context.Context, owner string, limit int) ([]tracking.Row, error) {
	keys := func(shard string) []string { return []string{runningKey(shard)} }
	return s.rows(ctx, abandonedScript, keys, limit, owner, limit)
}

// Beat implements tracking.Store.
func (s *Store) Beat(ctx context.Context, owner string) error {
	return unavailable("give a sign of life", beatScript.Run(ctx, s.base, []string{ownersKey}, owner).Err())
}

// Owners implements tracking.Store.
func (s *Store) Owners(ctx context.Context) (map[string]int64, error) {
	counts, err := s.base.HGetAll(ctx, ownersKey).Result()
	if err != nil {
		return nil, unavailable("list worker processes", err)
	}
	out := make(map[string]int64, len(counts))
	for owner, n := range counts {
		out[owner] = atoi64(n)
	}
	return out, nil
}

// Forget implements tracking.Store.
func (s *Store) Forget(ctx context.Context, owner string) error {
	return unavailable("forget a worker process", s.base.HDel(ctx, ownersKey, owner).Err())
}

// SavePlan implements tracking.Store.
func (s *Store) SavePlan(ctx context.Context, hash string, source []byte) error {
	return unavailable("save plan", s.rdb.Set(ctx, planKey(hash), source, planTTL).Err())
}

// PlanSource implements tracking.Store.
func (s *Store) PlanSource(ctx context.Context, hash string) ([]byte, error) {
	raw, err := s.rdb.GetEx(ctx, planKey(hash), planTTL).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("plan %s: %w", hash, tracking.ErrNotFound)
	}
	return raw, unavailable("read plan", err)
}

// OpenPlans implements tracking.Store.
func (s *Store) OpenPlans(ctx context.Context) (map[tracking.PlanRef]int, error) {
	shards, err := s.openShards(ctx)
	if err != nil {
		return nil, unavailable("count open deliveries", err)
	}
	pipe := s.base.Pipeline()
	counts := make([]*redis.MapStringStringCmd, len(shards))
	for i, shard := range shards {
		counts[i] = pipe.HGetAll(ctx, openKey(shard))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, unavailable("count open deliveries", err)
	}
	out := map[tracking.PlanRef]int{}
	for _, c := range counts {
		for field, n := range c.Val() {
			if ref, ok := splitOpenField(field); ok {
				out[ref] += int(atoi64(n))
			}
		}
	}
	return out, nil
}
