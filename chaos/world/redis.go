package world

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Redis is a redis-server process, or one of a Sentinel.
type Redis struct {
	Process
	Port int
	// Client talks to it past every link.
	Client *redis.Client
}

// Addr is where it listens.
func (r *Redis) Addr() string { return local(r.Port) }

// newRedis prepares a server; args are directives of redis.conf as on its command line.
func (w *World) newRedis(ctx context.Context, name string, args ...string) (*Redis, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(w.Dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	all := append([]string{
		"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--daemonize", "no",
		"--maxmemory-policy", "noeviction", "--appendonly", "yes", "--appendfsync", w.spec.Fsync,
	}, args...)
	r := &Redis{Port: port, Client: redis.NewClient(&redis.Options{
		Addr: local(port), ContextTimeoutEnabled: true, MaxRetries: -1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})}
	r.Process = Process{Name: name, log: filepath.Join(w.Dir, name+".log"), make: func() (*exec.Cmd, error) {
		return exec.Command("redis-server", all...), nil //nolint:gosec,noctx // it is ended by signals
	}}
	w.onClose(func() { r.Kill(); _ = r.Client.Close() })
	return r, nil
}

// Start runs the server and waits until it answers and has loaded its data. An answer of
// another server, which has won a race for the port, does not count.
func (r *Redis) Start(ctx context.Context) error {
	if err := r.start(ctx, ""); err != nil {
		return err
	}
	return r.await(ctx, func() bool {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if r.Client.Ping(ctx).Err() != nil { // INFO answers while data is loaded, too
			return false
		}
		server, err := r.Client.InfoMap(ctx, "server").Result()
		return err == nil && server["Server"]["process_id"] == strconv.Itoa(r.PID())
	})
}

// startRedis starts what the scenario asks for.
func (w *World) startRedis(ctx context.Context) error {
	switch w.spec.Redis {
	case Sentinel:
		return w.startSentinels(ctx)
	case Cluster:
		return w.startCluster(ctx)
	case Single:
	}
	var err error
	if w.Redis, err = w.newRedis(ctx, "redis", w.spec.RedisArgs...); err != nil {
		return err
	}
	return w.Redis.Start(ctx)
}

// LeftOver gives rows of deliveries that are not final, each with its index: when all are
// final, there is none.
func (w *World) LeftOver(ctx context.Context) ([]string, error) {
	servers := []*Redis{w.Redis} // with Sentinel one that was promoted; the old one's rows count no longer
	if w.spec.Redis == Cluster {
		servers = w.Masters(ctx)
	}
	var left []string
	for _, r := range servers {
		for _, glob := range []string{"hg:{*}:due", "hg:{*}:running", "hg:{*}:queued:*", "hg:{*}:open"} {
			keys := r.Client.Scan(ctx, 0, glob, 1000).Iterator()
			for keys.Next(ctx) {
				rows, err := r.rows(ctx, keys.Val())
				if err != nil {
					return nil, fmt.Errorf("look for rows left over: %w", err)
				}
				left = append(left, keys.Val()+" "+rows)
			}
			if err := keys.Err(); err != nil {
				return nil, fmt.Errorf("look for rows left over: %w", err)
			}
		}
	}
	return left, nil
}

// rows gives what an index holds, as text.
func (r *Redis) rows(ctx context.Context, key string) (string, error) {
	kind, err := r.Client.Type(ctx, key).Result()
	if err != nil {
		return "", err
	}
	var rows any
	switch kind {
	case "zset":
		rows, err = r.Client.ZRangeWithScores(ctx, key, 0, 9).Result()
	case "hash":
		rows, err = r.Client.HGetAll(ctx, key).Result()
	case "list":
		rows, err = r.Client.LRange(ctx, key, 0, 9).Result()
	default:
		rows = kind
	}
	return fmt.Sprint(rows), err
}
