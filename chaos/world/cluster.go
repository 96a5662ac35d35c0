package world

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// startCluster starts a cluster of three masters, each with a replica.
func (w *World) startCluster(ctx context.Context) error {
	const masters, replicas = 3, 3
	var addrs []string
	for i := range masters + replicas {
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
	if err := w.cli(ctx, append(append([]string{"--cluster", "create"}, addrs...), "--cluster-replicas", "1", "--cluster-yes")...); err != nil {
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

// cli runs redis-cli, which knows how clusters are made and slots are moved.
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

// MoveSlots moves so many slots with all their keys from one master to another, as an
// operator does.
func (w *World) MoveSlots(ctx context.Context, from, to *Redis, slots int) error {
	source, err := from.Client.Do(ctx, "CLUSTER", "MYID").Text()
	if err != nil {
		return err
	}
	destination, err := to.Client.Do(ctx, "CLUSTER", "MYID").Text()
	if err != nil {
		return err
	}
	return w.cli(ctx, "--cluster", "reshard", from.Addr(), "--cluster-from", source, "--cluster-to", destination,
		"--cluster-slots", strconv.Itoa(slots), "--cluster-yes", "--cluster-pipeline", "20")
}
