package app_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/internal/testenv"
)

// bounded are the keys that may stay without a time to live, and what bounds them. A
// star stands for anything.
var bounded = map[string]string{
	"asynq:queues":        "a name for each queue of a target",
	"asynq:servers":       "one for each target that a process serves; asynq removes them",
	"asynq:workers":       "one for each target that a process serves; asynq removes them",
	"asynq:{*}:processed": "a count for each queue",
	"asynq:{*}:failed":    "a count for each queue",
	"hg:owners":           "one for each worker process that lives, or died and is not yet forgotten",
	"hg:flow":             "a few fields for each target that is held back",
	"hg:rate:*":           "one for each target with a rate",
}

// When everything is over and the retention has passed, nothing of a dispatch is left:
// what still stands in Redis has a time to live, or its number is bounded by the files
// and the processes. Records, payloads, keys of idempotency and dead letters are gone.
func TestNothingGrowsWithoutLimit(t *testing.T) {
	r := newRig(t, func(s string) string {
		s = strings.Replace(s, "    url: ${BACKENDS_URL}/billing", "    url: ${BACKENDS_URL}/billing\n    retry: {attempts: 1, on: [422]}\n    breaker: {failures: 100000}", 1)
		return strings.Replace(s, "idempotency: optional", "idempotency: {mode: optional, ttl: 2s}", 1)
	})
	r.rewrite(t, "headgate.yaml", func(s string) string {
		return s + "\ntracking: {retention: 1s}\ndead_letters: {retention: 1s}\n"
	})
	r.start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ids := make([]string, 20)
	each(8, len(ids), func(i int) {
		var err error
		if ids[i], err = r.post(ctx, i); err != nil {
			t.Error(err)
		}
	})
	each(8, len(ids), func(i int) {
		if _, err := r.await(ctx, ids[i]); err != nil && !strings.Contains(err.Error(), "404") { // gone already
			t.Error(err)
		}
	})
	rdb := r.rdb(t)
	var left map[string]time.Duration
	testenv.Eventually(t, 20*time.Second, func() bool {
		left = keyspace(t, rdb)
		for key := range left {
			for _, id := range ids {
				if strings.Contains(key, id) && !strings.HasPrefix(key, "asynq:{") {
					return false
				}
			}
			if strings.Contains(key, ":idem:") {
				return false
			}
		}
		return true
	}, "records, payloads and keys outlive their retention")
	r.nothingLeft(t)
	// The index of dead letters is looked over at the start of a process and once a minute.
	if err := r.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	r.start(t)
	testenv.Eventually(t, 20*time.Second, func() bool {
		dead, err := rdb.Keys(ctx, "hg:*:dead").Result()
		return err == nil && len(dead) == 0
	}, "rows of dead letters outlive them")
	left = keyspace(t, rdb)
	for key, ttl := range left {
		switch {
		case ttl >= 0:
			if ttl > 91*24*time.Hour {
				t.Errorf("%s is kept for %v", key, ttl)
			}
		case isBounded(key):
		default:
			t.Errorf("%s has no end and nothing that bounds it", key)
		}
	}
	if n := len(left); n > 200 {
		t.Errorf("%d keys are left: %v", n, left)
	}
}

func isBounded(key string) bool {
	for pattern := range bounded {
		before, after, star := strings.Cut(pattern, "*")
		if key == pattern || star && strings.HasPrefix(key, before) && strings.HasSuffix(key, after) {
			return true
		}
	}
	return false
}

// keyspace gives every key with its time to live, -1 for one without end.
func keyspace(t *testing.T, rdb redis.UniversalClient) map[string]time.Duration {
	t.Helper()
	out := map[string]time.Duration{}
	keys := rdb.Scan(t.Context(), 0, "*", 1000).Iterator()
	for keys.Next(t.Context()) {
		ttl, err := rdb.PTTL(t.Context(), keys.Val()).Result()
		if err != nil {
			t.Fatal(err)
		}
		if ttl != -2 { // it ended meanwhile
			out[keys.Val()] = ttl
		}
	}
	if err := keys.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
