package redisstore

import (
	"cmp"
	"context"
	_ "embed" // the script
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
)

var (
	//go:embed jobs.lua
	jobsSource string
	//go:embed pending.lua
	pendingSource string

	jobsScript    = redis.NewScript(countSource + jobsSource)
	pendingScript = redis.NewScript(pendingSource)
)

// These begin the fields of hg:{NN}:figures; the scripts have them, too.
const (
	deadField    = "d:"
	waitingField = "w:"
)

// OnEnd has f told of the end of every delivery that this store writes down: each once, by the
// process that wrote it. It is to be called before the store is used.
func (s *Store) OnEnd(f func(tracking.DeliveryEnd)) { s.onEnd = f }

// OnSeal has f told of every batch whose collecting this store ends, and how many records had
// joined it. It is to be called before the store is used.
func (s *Store) OnSeal(f func(target string, records int)) { s.onSeal = f }

// ended tells of a delivery, given what the script said of its change.
func (s *Store) ended(target, id string, d tracking.Delivery, answer string) {
	if s.onEnd == nil || d.Phase != tracking.Ended || tracking.IsBatch(id) {
		return
	}
	_, accepted, _ := strings.Cut(answer, " ")
	s.onEnd(tracking.EndOf(target, d, ofMillis(atoi64(accepted))))
}

// skipped tells of the deliveries that had ended when the request was accepted.
func (s *Store) skipped(d *tracking.Dispatch) {
	if s.onEnd == nil {
		return
	}
	for target, delivery := range d.Deliveries {
		if delivery.Phase == tracking.Ended {
			s.onEnd(tracking.DeliveryEnd{Target: target, State: delivery.State, Reason: delivery.Reason})
		}
	}
}

// Counts gives the counts of every target that has something to count: a command or two for
// each shard with any, and one for the ages of jobs (in a cluster one for each shard with jobs).
func (s *Store) Counts(ctx context.Context) (map[string]tracking.TargetCounts, error) {
	out := map[string]tracking.TargetCounts{}
	var keys []string
	for _, kind := range []func(string) string{openKey, figuresKey} {
		some, err := s.presentOf(ctx, kind)
		if err != nil {
			return nil, unavailable("count deliveries", err)
		}
		keys = append(keys, some...)
	}
	pipe := s.base.Pipeline()
	found := make(map[string]*redis.MapStringStringCmd, len(keys))
	for _, key := range keys {
		found[key] = pipe.HGetAll(ctx, key)
	}
	_, _ = pipe.Exec(ctx)            // each command has its own error
	waiting := map[string][]string{} // targets with jobs, by shard
	for key, c := range found {
		if err := c.Err(); err != nil {
			return nil, unavailable("count deliveries", err)
		}
		shard := key[:len(shardPrefix[0])]
		for field, text := range c.Val() {
			n := int(atoi64(text))
			if key == openKey(shard) {
				ref, _ := splitOpenField(field)
				t := out[ref.Target]
				t.Open += n
				out[ref.Target] = t
				continue
			}
			target := field[min(len(deadField), len(field)):]
			t := out[target]
			switch {
			case n <= 0:
			case strings.HasPrefix(field, deadField):
				t.DeadLetters += n
			case strings.HasPrefix(field, waitingField):
				t.Jobs.Count += n
				waiting[shard] = append(waiting[shard], target)
			}
			out[target] = t
		}
	}
	return out, s.agesOfJobs(ctx, waiting, out)
}

// agesOfJobs adds for how long the oldest jobs have been waited for. The records are kept by
// the clocks of their servers, so each tells it by its own.
func (s *Store) agesOfJobs(ctx context.Context, waiting map[string][]string, out map[string]tracking.TargetCounts) error {
	var names [][]string
	var keys [][]string
	for _, shard := range slices.Sorted(maps.Keys(waiting)) {
		var some []string
		for _, target := range waiting[shard] {
			some = append(some, jobsKey(shard, target))
		}
		names, keys = append(names, waiting[shard]), append(keys, some)
	}
	if len(keys) == 0 {
		return nil
	}
	var ages []int64
	for _, cmd := range s.list(ctx, jobsScript, keys) {
		some, err := cmd.Int64Slice()
		if err != nil {
			return unavailable("look at jobs", err)
		}
		ages = append(ages, some...)
	}
	for i, target := range slices.Concat(names...) {
		t := out[target]
		t.Jobs.Oldest = max(t.Jobs.Oldest, time.Duration(ages[i])*time.Millisecond)
		out[target] = t
	}
	return nil
}

// PendingFor tells for how long the deliveries of tasks have waited to be begun: since they
// were accepted or, if that is later, taken up again; negative for one that does not wait any
// more, or whose record calls for another task. One script for each, in one pipeline.
func (s *Store) PendingFor(ctx context.Context, tasks []tracking.Expected) ([]time.Duration, error) {
	keys := make([]string, len(tasks))
	commands := make([]*redis.Cmd, len(tasks))
	pipe := s.base.Pipeline()
	for i, t := range tasks {
		if shard, err := keysOf(t.Tracking); err == nil { // else it is none of ours
			keys[i] = recordKey(shard, t.Tracking)
			commands[i] = pendingScript.EvalSha(ctx, pipe, keys[i:i+1], t.Target)
		}
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	out := make([]time.Duration, len(tasks))
	var errs []error
	for i, c := range commands {
		out[i] = -1
		if c == nil {
			continue
		}
		if err := c.Err(); redis.HasErrorPrefix(err, "NOSCRIPT") || notNow(err) {
			c = pendingScript.Run(ctx, s.base, keys[i:i+1], tasks[i].Target)
		}
		answer, err := c.StringSlice()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if len(answer) < 3 {
			continue // its record is gone
		}
		d, err := decodeDelivery(answer[1])
		if err == nil && d.State == tracking.Pending && d.Phase == tracking.Queued && d.Seq == tasks[i].Seq {
			out[i] = max(ofMillis(atoi64(answer[0])).Sub(d.Since(ofMillis(atoi64(answer[2])))), 0)
		}
	}
	return out, unavailable("look at pending deliveries", errors.Join(errs...))
}

// Memory gives how much memory each server that takes writes has used. one names the only one
// where there is no cluster. A server that does not tell is left out, without an error when it
// answers.
func (s *Store) Memory(ctx context.Context, one string) ([]tracking.NodeMemory, error) {
	var mu sync.Mutex
	var out []tracking.NodeMemory
	err := eachMaster(ctx, s.base, func(ctx context.Context, name string, rdb redis.UniversalClient) error {
		info := rdb.Info(ctx, "memory")
		var reply redis.Error
		if err := info.Err(); err != nil && !errors.As(err, &reply) {
			return err
		}
		if m := memoryOf(info); m.Used > 0 {
			mu.Lock()
			defer mu.Unlock()
			out = append(out, tracking.NodeMemory{Node: cmp.Or(name, one), Memory: m})
		}
		return nil
	})
	return out, unavailable("look at memory", err)
}
