package world

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

func countIn(text, what string) int { return strings.Count(text, what) }

const (
	masterName = "main"
	sentinels  = 3
	replicas   = 2
)

const sentinelFile = `port %d
bind 127.0.0.1
dir %s
sentinel monitor main 127.0.0.1 %d 2
sentinel down-after-milliseconds main 1000
sentinel failover-timeout main 10000
`

// startSentinels starts a master, its two replicas, and three Sentinels that watch them.
func (w *World) startSentinels(ctx context.Context) error {
	var master []string
	for i := range 1 + replicas {
		r, err := w.newRedis(ctx, "redis-"+strconv.Itoa(i+1), append(master, "--repl-diskless-sync-delay", "0")...)
		if err != nil {
			return err
		}
		if err := r.Start(ctx); err != nil {
			return err
		}
		if i == 0 {
			w.Redis, master = r, []string{"--replicaof", "127.0.0.1", strconv.Itoa(r.Port)}
		}
		w.Nodes = append(w.Nodes, r)
	}
	var addrs []string
	for i := range sentinels {
		addr, err := w.startSentinel(ctx, "sentinel-"+strconv.Itoa(i+1))
		if err != nil {
			return err
		}
		addrs = append(addrs, addr)
	}
	w.redisURL = func(*Host) (string, error) {
		return "redis+sentinel://" + strings.Join(addrs, ",") + "/" + masterName, nil
	}
	return w.agreed(ctx, addrs)
}

func (w *World) startSentinel(ctx context.Context, name string) (string, error) {
	port, err := freePort(ctx)
	if err != nil {
		return "", err
	}
	conf := filepath.Join(w.Dir, name+".conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, sentinelFile, port, w.Dir, w.Redis.Port), 0o600); err != nil {
		return "", err
	}
	p := &Process{Name: name, log: filepath.Join(w.Dir, name+".log"), make: func() (*exec.Cmd, error) {
		return exec.Command("redis-server", conf, "--sentinel"), nil //nolint:gosec,noctx // it is ended by a signal
	}}
	w.onClose(p.Kill)
	return local(port), p.start(ctx, "+monitor")
}

// agreed waits until every Sentinel knows the replicas and the other Sentinels.
func (w *World) agreed(ctx context.Context, addrs []string) error {
	return await(ctx, nil, func() bool {
		for _, addr := range addrs {
			if !sees(ctx, addr) {
				return false
			}
		}
		return true
	})
}

func sees(ctx context.Context, addr string) bool {
	c := redis.NewSentinelClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
	defer func() { _ = c.Close() }()
	master, err := c.Master(ctx, masterName).Result()
	if err != nil || master["num-other-sentinels"] != strconv.Itoa(sentinels-1) {
		return false
	}
	known, err := c.Replicas(ctx, masterName).Result()
	if err != nil || len(known) != replicas {
		return false
	}
	for _, r := range known {
		if r["master-link-status"] != "ok" {
			return false
		}
	}
	return true
}

// Promoted waits until a replica is the master, which is w.Redis from then on.
func (w *World) Promoted(ctx context.Context) error {
	err := await(ctx, nil, func() bool {
		masters := w.Masters(ctx)
		if len(masters) != 1 || masters[0] == w.Redis {
			return false
		}
		w.Redis = masters[0]
		return true
	})
	if err != nil {
		return fmt.Errorf("no replica was promoted: %w", err)
	}
	return nil
}
