package testenv

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// slots is how many slots a cluster has.
const slots = 16384

// clusterTimeout bounds forming a cluster and its replicas' first copies; on an idle
// machine that takes about two seconds, which is Redis's gossip.
const clusterTimeout = 60 * time.Second

// RedisCluster is a cluster of private redis-server processes.
type RedisCluster struct {
	t testing.TB
	// Masters had an equal part of the slots each at the start, in order. Replicas, if any,
	// stand at the index of the master they copied then. Who is master of what may change.
	Masters, Replicas []*RedisServer
}

// Cluster starts three masters, with replicas when asked for, one each. A master that
// does not answer is replaced by its replica after about a second.
func Cluster(t testing.TB, replicas bool, options ...Option) *RedisCluster {
	t.Helper()
	c := &RedisCluster{t: t}
	const masters = 3
	for i := range masters * 2 {
		if i >= masters && !replicas {
			break
		}
		bus, err := freePort(context.Background())
		if err != nil {
			t.Fatalf("testenv: %v", err)
		}
		// One that loses the race for this port fails to start; that is rare enough.
		node := append([]Option{
			WithConf("cluster-enabled", "yes"), WithConf("cluster-config-file", "nodes.conf"),
			// A replica that a busy machine has cut off for ten times that long would never
			// stand for election, but for the factor.
			WithConf("cluster-node-timeout", "1000"), WithConf("cluster-replica-validity-factor", "0"),
			WithConf("cluster-port", strconv.Itoa(bus)),
			WithConf("repl-diskless-sync-delay", "0"), WithConf("repl-ping-replica-period", "1"),
		}, options...)
		tls := 0
		if probe := (conf{value: map[string][]string{}}); wants(&probe, options, "tls-cluster") {
			if tls, err = freePort(context.Background()); err != nil {
				t.Fatalf("testenv: %v", err)
			}
			node = append(node, WithConf("tls-port", strconv.Itoa(tls)))
		}
		server := Redis(t, node...)
		server.bus, server.tls = bus, tls
		if i < masters {
			c.Masters = append(c.Masters, server)
		} else {
			c.Replicas = append(c.Replicas, server)
		}
	}
	if err := c.form(t.Context()); err != nil {
		t.Fatalf("testenv: form a cluster: %v", err)
	}
	return c
}

// wants reports whether the options switch something on.
func wants(c *conf, options []Option, key string) bool {
	for _, o := range options {
		o(c)
	}
	return len(c.value[key]) == 1 && c.value[key][0] == "yes"
}

func (c *RedisCluster) nodes() []*RedisServer {
	return append(append([]*RedisServer{}, c.Masters...), c.Replicas...)
}

// form hands out the slots, makes the nodes meet and the replicas copy.
func (c *RedisCluster) form(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, clusterTimeout)
	defer cancel()
	ids := map[*RedisServer]string{}
	for i, node := range c.nodes() {
		err := node.do(ctx, func(rdb *redis.Client) (err error) {
			if ids[node], err = rdb.Do(ctx, "CLUSTER", "MYID").Text(); err != nil {
				return err
			}
			if i < len(c.Masters) {
				from, to := i*slots/len(c.Masters), (i+1)*slots/len(c.Masters)-1
				if err := rdb.Do(ctx, "CLUSTER", "ADDSLOTSRANGE", from, to).Err(); err != nil {
					return err
				}
				// Epochs of their own at once, instead of collisions to sort out.
				if err := rdb.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if err := repeat(ctx, func() error { return c.meet(ctx) }); err != nil {
		return err
	}
	for i, node := range c.Replicas {
		if err := node.do(ctx, func(rdb *redis.Client) error {
			return rdb.Do(ctx, "CLUSTER", "REPLICATE", ids[c.Masters[i]]).Err()
		}); err != nil {
			return err
		}
	}
	return c.await(ctx, func(i int, info map[string]string) bool {
		return info["cluster_state"] == "ok" && (len(c.Replicas) == 0 || info["master_link_status"] == "up" || confirmed(info) > 0)
	})
}

// meetTimeout is how long the nodes are given to know each other before they are told again:
// a node forgets a MEET that is not answered within a second.
const meetTimeout = 5 * time.Second

// meet makes the nodes know each other.
func (c *RedisCluster) meet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, meetTimeout)
	defer cancel()
	first := c.Masters[0]
	port := first.port
	if first.tls != 0 {
		port = first.tls
	}
	all := c.nodes()
	for _, node := range all[1:] {
		if err := node.do(ctx, func(rdb *redis.Client) error {
			return rdb.Do(ctx, "CLUSTER", "MEET", "127.0.0.1", port, first.bus).Err()
		}); err != nil {
			return err
		}
	}
	return c.await(ctx, func(_ int, info map[string]string) bool {
		return info["cluster_state"] == "ok" && info["cluster_known_nodes"] == strconv.Itoa(len(all))
	})
}

// await looks at every node until what it says of itself is as wanted.
func (c *RedisCluster) await(ctx context.Context, good func(i int, info map[string]string) bool) error {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for i, node := range c.nodes() {
		for {
			info := map[string]string{}
			err := node.do(ctx, func(rdb *redis.Client) error {
				if err := readInfo(ctx, rdb, info, "CLUSTER", "INFO"); err != nil {
					return err
				}
				return readInfo(ctx, rdb, info, "INFO", "replication")
			})
			if err != nil {
				return err
			}
			if good(i, info) {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("node %d did not get there: %w: %v", i, ctx.Err(), info)
			case <-look.C:
			}
		}
	}
	return nil
}

// do runs fn with a client that is closed afterwards.
func (r *RedisServer) do(_ context.Context, fn func(*redis.Client) error) error {
	rdb := redis.NewClient(r.Options())
	return errors.Join(fn(rdb), rdb.Close())
}

// Addrs are the addresses of the masters, host:port.
func (c *RedisCluster) Addrs() []string {
	out := make([]string, len(c.Masters))
	for i, m := range c.Masters {
		out[i] = m.Addr()
	}
	return out
}

// TLSAddrs are the addresses of the masters for TLS, with tls-cluster.
func (c *RedisCluster) TLSAddrs() []string {
	out := make([]string, len(c.Masters))
	for i, m := range c.Masters {
		out[i] = "127.0.0.1:" + strconv.Itoa(m.tls)
	}
	return out
}

// URL is the cluster as redis+cluster://host:port,….
func (c *RedisCluster) URL() string { return "redis+cluster://" + strings.Join(c.Addrs(), ",") }

// Client connects to the cluster; it is closed at the end of t.
func (c *RedisCluster) Client(t testing.TB) *redis.ClusterClient {
	t.Helper()
	rdb := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: c.Addrs(), ContextTimeoutEnabled: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	t.Cleanup(func() {
		if err := rdb.Close(); err != nil {
			t.Errorf("testenv: close the cluster client: %v", err)
		}
	})
	return rdb
}

// Flush removes all keys, and the scripts too.
func (c *RedisCluster) Flush(t testing.TB) {
	t.Helper()
	for _, m := range c.Masters {
		if err := m.do(t.Context(), func(rdb *redis.Client) error {
			return errors.Join(rdb.FlushAll(t.Context()).Err(), rdb.ScriptFlush(t.Context()).Err())
		}); err != nil {
			t.Fatalf("testenv: flush: %v", err)
		}
	}
}

// MoveSlot moves the slot of a key to another master, key by key as an operator's tools do,
// so that for a while some of its keys are at the one and some at the other. Like they, it
// goes on where it was when a node does not answer: a slot left between two masters is
// nobody's.
func (c *RedisCluster) MoveSlot(ctx context.Context, key string, to *RedisServer) error {
	ctx, cancel := context.WithTimeout(ctx, clusterTimeout)
	defer cancel()
	var m *move
	err := repeat(ctx, func() (err error) { m, err = c.plan(ctx, key, to); return err })
	if err == nil && (m.from == nil || m.from == to) {
		err = fmt.Errorf("slot %d is not at another master", m.slot)
	} else if err == nil {
		err = repeat(ctx, func() error { return c.step(ctx, m) })
	}
	return err
}

// move is a slot on its way.
type move struct {
	slot         int
	from, to     *RedisServer
	fromID, toID string
}

// repeat tries until it succeeds or ctx ends.
func repeat(ctx context.Context, try func() error) error {
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-again.C:
		}
	}
}

// plan finds out who has the slot of a key.
func (c *RedisCluster) plan(ctx context.Context, key string, to *RedisServer) (*move, error) {
	out := &move{to: to}
	for _, m := range c.Masters {
		if err := m.do(ctx, func(rdb *redis.Client) (err error) {
			if out.slot, err = rdb.Do(ctx, "CLUSTER", "KEYSLOT", key).Int(); err != nil {
				return err
			}
			id, err := rdb.Do(ctx, "CLUSTER", "MYID").Text()
			if m == to {
				out.toID = id
			}
			owns, err2 := owner(ctx, rdb, out.slot)
			if owns == id {
				out.from, out.fromID = m, id
			}
			return errors.Join(err, err2)
		}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// step does what is left of a move.
func (c *RedisCluster) step(ctx context.Context, m *move) error {
	handover := func(rdb *redis.Client, word, other string) error {
		if owns, err := owner(ctx, rdb, m.slot); err != nil || owns == m.toID {
			return err // it is over already
		}
		return rdb.Do(ctx, "CLUSTER", "SETSLOT", m.slot, word, other).Err()
	}
	if err := m.to.do(ctx, func(rdb *redis.Client) error { return handover(rdb, "IMPORTING", m.fromID) }); err != nil {
		return err
	}
	if err := m.from.do(ctx, func(rdb *redis.Client) error {
		if err := handover(rdb, "MIGRATING", m.toID); err != nil {
			return err
		}
		for {
			keys, err := rdb.ClusterGetKeysInSlot(ctx, m.slot, 2).Result()
			if err != nil || len(keys) == 0 {
				return err
			}
			for _, key := range keys {
				// One that was copied and then not removed is still served here.
				if err := rdb.Do(ctx, "MIGRATE", "127.0.0.1", m.to.port, key, 0, 5000, "REPLACE").Err(); err != nil {
					return err
				}
			}
		}
	}); err != nil {
		return err
	}
	for _, at := range []*RedisServer{m.to, m.from} {
		if err := at.do(ctx, func(rdb *redis.Client) error {
			return rdb.Do(ctx, "CLUSTER", "SETSLOT", m.slot, "NODE", m.toID).Err()
		}); err != nil {
			return err
		}
	}
	return c.agree(ctx, m.slot, m.toID)
}

// agree tells whether all masters name the same owner of a slot. Were it moved again before,
// news of the two moves could cross, and the slot would be nobody's.
func (c *RedisCluster) agree(ctx context.Context, slot int, want string) error {
	for i, m := range c.Masters {
		if err := m.do(ctx, func(rdb *redis.Client) error {
			owns, err := owner(ctx, rdb, slot)
			if err == nil && owns != want {
				err = fmt.Errorf("slot %d: master %d does not know who has it", slot, i)
			}
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// owner gives the ID of the node that has the slot.
func owner(ctx context.Context, rdb *redis.Client, slot int) (string, error) {
	all, err := rdb.ClusterShards(ctx).Result()
	for _, shard := range all {
		for _, part := range shard.Slots {
			if int64(slot) < part.Start || int64(slot) > part.End {
				continue
			}
			for _, node := range shard.Nodes {
				if node.Role == "master" {
					return node.ID, err
				}
			}
		}
	}
	return "", err
}
