package redisstore

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// MaxSkew is how far this host's clock may be from Redis's before it is told: asynq
// keeps its leases by the host's clock and tolerates 30 s.
const MaxSkew = 5 * time.Second

// oldest is the first Redis version whose commands are enough.
const oldestMajor, oldestMinor = 6, 2

// Guard looks at how Redis is set up and says, in words for an operator, what breaks the
// promise that nothing acknowledged is lost. Empty: nothing was found. Of a cluster it
// looks at every master.
func (s *Store) Guard(ctx context.Context) ([]string, error) {
	var mu sync.Mutex
	var found []string
	err := eachMaster(ctx, s.base, func(ctx context.Context, name string, rdb redis.UniversalClient) error {
		text, err := rdb.Info(ctx).Result()
		if err != nil {
			return err
		}
		began := time.Now()
		now, err := rdb.Time(ctx).Result()
		if err != nil {
			return err
		}
		// Half the round trip is the best guess of when the answer was made.
		info := parseInfo(text)
		mine := append(judge(info), s.judgeReplicas(info)...)
		mine = append(mine, judgeClock(now.Sub(began.Add(time.Since(began)/2)))...)
		mu.Lock()
		defer mu.Unlock()
		for _, text := range mine {
			if name != "" {
				text = name + ": " + text
			}
			found = append(found, text)
		}
		return nil
	})
	slices.SortStableFunc(found, func(a, b string) int { return strings.Compare(nodeOf(a), nodeOf(b)) })
	return found, unavailable("look at redis", err)
}

// nodeOf gives the node that a finding is about; all alike outside of a cluster.
func nodeOf(finding string) string {
	node, _, ok := strings.Cut(finding, ": redis ")
	if !ok || strings.HasPrefix(finding, "redis ") {
		return ""
	}
	return node
}

// judgeReplicas looks whether there are as many as an accepted request waits for.
func (s *Store) judgeReplicas(info map[string]string) []string {
	if s.acks == nil {
		return nil
	}
	online := replicas(info)
	if online >= s.acks.Replicas {
		return nil
	}
	return []string{fmt.Sprintf("redis.ack waits for %d replicas and redis has %d: no request can be acknowledged; connect replicas or lower redis.ack", s.acks.Replicas, online)}
}

func judgeClock(skew time.Duration) []string {
	if skew = skew.Abs(); skew > MaxSkew {
		return []string{fmt.Sprintf("this host's clock is %s away from that of redis; keep both in step", skew.Round(time.Second))}
	}
	return nil
}

func parseInfo(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			out[name] = value
		}
	}
	return out
}

// judge looks at what INFO says. What is not there, in an emulation or behind a proxy,
// is not held against it.
func judge(info map[string]string) []string {
	var out []string
	if info["aof_enabled"] == "0" {
		out = append(out, "redis keeps no append-only file: a restart of redis loses what was acknowledged; set appendonly yes")
	}
	if policy := info["maxmemory_policy"]; policy != "" && policy != "noeviction" {
		out = append(out, "redis evicts keys when it is full (maxmemory-policy "+policy+"): acknowledged requests may vanish; set noeviction")
	}
	if v := info["redis_version"]; v != "" && tooOld(v) {
		out = append(out, fmt.Sprintf("redis %s is older than %d.%d, which is needed", v, oldestMajor, oldestMinor))
	}
	return out
}

func tooOld(version string) bool {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, errA := strconv.Atoi(major)
	b, errB := strconv.Atoi(minor)
	return errA == nil && errB == nil && (a < oldestMajor || (a == oldestMajor && b < oldestMinor))
}
