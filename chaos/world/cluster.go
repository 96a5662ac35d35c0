package world

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// startCluster starts a cluster of three masters, each with a replica.
func (w *World) startCluster(ctx context.Context) error {
	const masters, each = 3, 1
	var addrs []string
	for i := range masters * (1 + each) {
		node, err := w.newRedis(ctx, "redis-"+strconv.Itoa(i+1),
			"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "2000",
			"--repl-diskless-sync-delay", "0")
		if err != nil {
			return err
		}
		if err := node.Start(ctx); err != nil {
			return err
		}
		w.Nodes = append(w.Nodes, node)
		addrs = append(addrs, node.Addr())
	}
	if err := w.cli(ctx, append(append([]string{"--cluster", "create"}, addrs...), "--cluster-replicas", strconv.Itoa(each), "--cluster-yes")...); err != nil {
		return err
	}
	w.redisURL = func(*Host) (string, error) { return "redis+cluster://" + strings.Join(addrs, ","), nil }
	return w.Nodes[0].await(ctx, func() bool {
		for _, n := range w.Nodes {
			info, err := n.Client.ClusterInfo(ctx).Result()
			if err != nil || !strings.Contains(info, "cluster_state:ok") || !linked(ctx, n) {
				return false
			}
		}
		return true
	})
}

// linked reports whether a node is a master, or a replica that has all its master had.
func linked(ctx context.Context, n *Redis) bool {
	info, err := n.Client.Info(ctx, "replication").Result()
	return err == nil && (strings.Contains(info, "role:master") || strings.Contains(info, "master_link_status:up"))
}

// cli runs redis-cli, which knows how clusters are made.
func (w *World) cli(ctx context.Context, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	text, err := exec.CommandContext(ctx, "redis-cli", args...).CombinedOutput() //nolint:gosec // arguments of ours
	if err != nil {
		return fmt.Errorf("redis-cli %s: %w\n%s", strings.Join(args, " "), err, text)
	}
	return nil
}

// Masters are the nodes that live and are masters now, in the order of their start.
func (w *World) Masters(ctx context.Context) []*Redis {
	var out []*Redis
	for _, n := range w.Nodes {
		if !n.Running() {
			continue
		}
		if info, err := n.Client.Info(ctx, "replication").Result(); err == nil && strings.Contains(info, "role:master") {
			out = append(out, n)
		}
	}
	return out
}

// AwaitMasters waits until so many nodes are masters and all slots are served.
func (w *World) AwaitMasters(ctx context.Context, n int) error {
	return await(ctx, nil, func() bool {
		masters := w.Masters(ctx)
		if len(masters) != n {
			return false
		}
		info, err := masters[0].Client.ClusterInfo(ctx).Result()
		return err == nil && strings.Contains(info, "cluster_state:ok")
	})
}

// BusySlots gives slots of a node that hold keys of Headgate or its queues.
func (r *Redis) BusySlots(ctx context.Context) ([]int64, error) {
	seen := map[int64]bool{}
	for _, glob := range []string{"hg:*", "asynq:{*"} {
		keys := r.Client.Scan(ctx, 0, glob, 1000).Iterator()
		for keys.Next(ctx) {
			slot, err := r.Client.ClusterKeySlot(ctx, keys.Val()).Result()
			if err != nil {
				return nil, err
			}
			seen[slot] = true
		}
		if err := keys.Err(); err != nil {
			return nil, err
		}
	}
	return slices.Sorted(maps.Keys(seen)), nil
}

// keysAtOnce is how many keys of a slot are moved before the next pause.
const keysAtOnce = 3

// MoveSlot moves a slot with all its keys from one master to another in the way that
// redis-cli does, but slowly: between a few keys and the next it pauses, so that the slot
// stands half here and half there while it is used.
func (w *World) MoveSlot(ctx context.Context, from, to *Redis, slot int64, pause time.Duration) error {
	ids := map[*Redis]string{}
	for _, n := range []*Redis{from, to} {
		id, err := n.Client.Do(ctx, "CLUSTER", "MYID").Text()
		if err != nil {
			return err
		}
		ids[n] = id
	}
	set := func(n *Redis, args ...any) error {
		if err := n.Client.Do(ctx, append([]any{"CLUSTER", "SETSLOT", slot}, args...)...).Err(); err != nil {
			return fmt.Errorf("slot %d, %v at %s: %w", slot, args, n.Name, err)
		}
		return nil
	}
	if err := errors.Join(set(to, "IMPORTING", ids[from]), set(from, "MIGRATING", ids[to])); err != nil {
		return err
	}
	for {
		keys, err := from.Client.ClusterGetKeysInSlot(ctx, int(slot), keysAtOnce).Result()
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			break
		}
		args := []any{"MIGRATE", "127.0.0.1", to.Port, "", 0, 5000, "KEYS"}
		for _, k := range keys {
			args = append(args, k)
		}
		if err := from.Client.Do(ctx, args...).Err(); err != nil {
			return fmt.Errorf("migrate %v: %w", keys, err)
		}
		if err := Sleep(ctx, pause); err != nil {
			return err
		}
	}
	// The new owner is told first: nobody is sent to a node that does not know yet.
	for _, n := range append([]*Redis{to, from}, w.Masters(ctx)...) {
		if err := set(n, "NODE", ids[to]); err != nil {
			return err
		}
	}
	return nil
}
