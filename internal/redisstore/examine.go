package redisstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
)

// NodeReport is what one server of Redis says of itself.
type NodeReport struct {
	Name     string // host:port in a cluster, else empty
	Version  string
	Role     string        // master, slave
	Latency  time.Duration // of the quickest commands: the median of some
	Skew     time.Duration // how far its clock is before this host's
	Memory   tracking.Memory
	Replicas int // online
	Loading  bool
	// Clients and MaxClients are connections.
	Clients, MaxClients int64
	// Faults are those that Guard tells, but for the clock: what it is; and what to do, where there is something.
	Faults []NodeFault
}

// NodeFault is a setting or state of a server that breaks a promise.
type NodeFault struct{ What, Do string }

const pings = 5

// Examine looks at every server that takes writes. A server that does not answer is an error,
// which names it; the others are reported all the same.
func (s *Store) Examine(ctx context.Context) (out []NodeReport, err error) {
	var mu sync.Mutex
	err = eachMaster(ctx, s.base, func(ctx context.Context, name string, rdb redis.UniversalClient) error {
		report, err := s.examine(ctx, rdb)
		if err != nil {
			return err
		}
		report.Name = name
		mu.Lock()
		defer mu.Unlock()
		out = append(out, report)
		return nil
	})
	slices.SortFunc(out, func(a, b NodeReport) int { return cmp.Compare(a.Name, b.Name) })
	return out, reveal(err)
}

func (s *Store) examine(ctx context.Context, rdb redis.UniversalClient) (r NodeReport, err error) {
	took := make([]time.Duration, pings)
	for i := range took {
		began := time.Now()
		now, err := rdb.Time(ctx).Result()
		if err != nil {
			return r, err
		}
		took[i] = time.Since(began)
		// The quickest answer tells best when it was made: after half of its round trip.
		if took[i] == slices.Min(took[:i+1]) {
			r.Skew = now.Sub(began.Add(took[i] / 2))
		}
	}
	slices.Sort(took)
	r.Latency = took[pings/2]
	text, err := rdb.Info(ctx).Result()
	if err != nil {
		return r, err
	}
	info := parseInfo(text)
	r.Version, r.Role, r.Loading = info["redis_version"], info["role"], info["loading"] == "1"
	r.Memory = tracking.Memory{Used: atoi64(info["used_memory"]), Max: atoi64(info["maxmemory"])}
	r.Clients, r.MaxClients = atoi64(info["connected_clients"]), atoi64(info["maxclients"])
	r.Replicas = replicas(info)
	for _, found := range slices.Concat(judge(info), s.judgeReplicas(info)) {
		what, do, _ := strings.Cut(found, "; ")
		r.Faults = append(r.Faults, NodeFault{what, do})
	}
	for name, what := range map[string]string{
		"aof_last_write_status":     "redis could not write its append-only file the last time it tried",
		"aof_last_bgrewrite_status": "redis could not rewrite its append-only file the last time it tried",
		"rdb_last_bgsave_status":    "redis could not write its snapshot the last time it tried",
	} {
		if info[name] == "err" {
			r.Faults = append(r.Faults, NodeFault{what, "look at its log and at the space on its disk"})
		}
	}
	return r, nil
}

func replicas(info map[string]string) (online int) {
	for name, value := range info {
		if strings.HasPrefix(name, "slave") && strings.Contains(value, "state=online") {
			online++
		}
	}
	return online
}

// Refusal is a kind of command that the server refuses.
type Refusal struct {
	What string // what cannot be done
	User string // of the access control list; empty where it is not told
	Err  error
}

// Allowed tries what Headgate and asynq need to be allowed, in a way that changes nothing: what
// is written to is never there, and is written only if it is.
func (s *Store) Allowed(ctx context.Context) (out []Refusal) {
	const write = "return redis.call('SET', KEYS[1], '1', 'XX')"
	own, queues := doctorKey(shardPrefix[0]), "asynq:{headgate:doctor}:none"
	for _, try := range []struct {
		what string
		err  func() error
	}{
		{"scripts that write to hg:*", func() error { return s.base.Eval(ctx, write, []string{own}).Err() }},
		{"scripts that write to asynq:*", func() error { return s.base.Eval(ctx, write, []string{queues}).Err() }},
		{"reading hg:*", func() error { return s.base.HGetAll(ctx, own).Err() }},
		{"transactions", func() error {
			_, err := s.base.TxPipelined(ctx, func(p redis.Pipeliner) error { return p.Exists(ctx, own).Err() })
			return err
		}},
		{"publishing on hg:*", func() error { return s.base.Publish(ctx, own, "").Err() }},
		{"SCAN", func() error { return s.base.Scan(ctx, 0, own, 1).Err() }},
		{"WAIT", func() error {
			if s.acks == nil {
				return nil
			}
			return s.base.Do(ctx, "WAIT", 0, 1).Err()
		}},
	} {
		if err := noNil(try.err()); err != nil {
			user, _ := s.base.Do(ctx, "ACL", "WHOAMI").Text() // it is always allowed; an emulation does not know it
			out = append(out, Refusal{try.what, user, reveal(err)})
		}
	}
	return out
}

// DeadCount counts the dead letters that are kept.
func (s *Store) DeadCount(ctx context.Context) (n int64, err error) {
	pipe := s.base.Pipeline()
	var counts [tracking.Shards]*redis.IntCmd
	for i, shard := range shardPrefix {
		counts[i] = pipe.ZCard(ctx, deadKey(shard))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, unavailable("count dead letters", err)
	}
	for _, c := range counts {
		n += c.Val()
	}
	return n, nil
}

// Forbidden reports whether the user of the access control list may not do it.
func (r Refusal) Forbidden() bool { return redis.HasErrorPrefix(r.Err, "NOPERM") }

// Full reports whether there is no memory left to write to.
func (r Refusal) Full() bool { return redis.HasErrorPrefix(r.Err, "OOM") }

// Replica reports whether the server only copies another one.
func (r Refusal) Replica() bool { return redis.HasErrorPrefix(r.Err, "READONLY") }

// String says what was refused and how.
func (r Refusal) String() string { return fmt.Sprintf("%s: %v", r.What, r.Err) }
