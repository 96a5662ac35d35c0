package world

import (
	"context"
	"errors"
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
)

const sentinelFile = `port %d
bind 127.0.0.1
dir %s
sentinel monitor main 127.0.0.1 %d 2
sentinel down-after-milliseconds main 1000
sentinel failover-timeout main 10000
`

// startSentinels starts a master, its replica, and three Sentinels that watch them.
func (w *World) startSentinels(ctx context.Context) (err error) {
	if w.Redis, err = w.newRedis(ctx, "redis-1"); err != nil {
		return err
	}
	if err := w.Redis.Start(ctx); err != nil {
		return err
	}
	if w.Replica, err = w.newRedis(ctx, "redis-2", "--replicaof", "127.0.0.1", strconv.Itoa(w.Redis.Port), "--repl-diskless-sync-delay", "0"); err != nil {
		return err
	}
	if err := w.Replica.Start(ctx); err != nil {
		return err
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

// agreed waits until every Sentinel knows the replica and the other Sentinels.
func (w *World) agreed(ctx context.Context, addrs []string) error {
	return w.Replica.await(ctx, func() bool {
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
	replicas, err := c.Replicas(ctx, masterName).Result()
	return err == nil && len(replicas) == 1 && replicas[0]["master-link-status"] == "ok"
}

// errNotPromoted says that the replica is not the master.
var errNotPromoted = errors.New("the replica was not promoted")

// Promoted waits until the replica is the master, and lets the two change places.
func (w *World) Promoted(ctx context.Context) error {
	err := w.Replica.await(ctx, func() bool {
		info, err := w.Replica.Client.Info(ctx, "replication").Result()
		return err == nil && strings.Contains(info, "role:master")
	})
	if err != nil {
		return errors.Join(errNotPromoted, err)
	}
	w.Redis, w.Replica = w.Replica, w.Redis
	return nil
}
