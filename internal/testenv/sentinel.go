package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Sentinel starts one that watches the server under the name main, and gives its address.
// It takes a master that does not answer for half a second as gone.
func (r *RedisServer) Sentinel(t testing.TB) string {
	t.Helper()
	port, err := freePort(context.Background())
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "sentinel.conf")
	text := fmt.Sprintf("port %d\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 %d 1\n"+
		"sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 5000\n", port, r.port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatalf("testenv: %v", err)
	}
	proc, err := startProcess("redis-server", []string{conf, "--sentinel"}, filepath.Join(dir, "sentinel.log"))
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	t.Cleanup(proc.kill)
	addr := "127.0.0.1:" + strconv.Itoa(port)
	rdb := redis.NewSentinelClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, MaxRetries: -1})
	defer func() { _ = rdb.Close() }()
	Eventually(t, startTimeout, func() bool { return rdb.Ping(context.Background()).Err() == nil }, "an answer of the sentinel")
	return addr
}

// syncedKey exists for a moment while a replica makes its first copy.
const syncedKey = "testenv:synced"

// Replica starts a copy of the server and waits until it has everything.
func (r *RedisServer) Replica(t testing.TB, options ...Option) *RedisServer {
	t.Helper()
	if err := r.do(t.Context(), func(rdb *redis.Client) error { // its first copy otherwise begins five seconds later
		return rdb.ConfigSet(t.Context(), "repl-diskless-sync-delay", "0").Err()
	}); err != nil {
		t.Fatalf("testenv: %v", err)
	}
	out := Redis(t, append([]Option{WithConf("replicaof", "127.0.0.1", strconv.Itoa(r.port))}, options...)...)
	Eventually(t, clusterTimeout, func() bool {
		synced := false
		err := r.do(t.Context(), func(rdb *redis.Client) error {
			// WAIT is about what its own connection has written: without a write it counts
			// replicas that are still busy with their first copy.
			conn := rdb.Conn()
			defer func() { _ = conn.Close() }()
			if err := errors.Join(conn.Set(t.Context(), syncedKey, "", 0).Err(), conn.Del(t.Context(), syncedKey).Err()); err != nil {
				return err
			}
			n, err := conn.Wait(t.Context(), 1, 100*time.Millisecond).Result()
			synced = n == 1
			return err
		})
		return err == nil && synced
	}, "a replica that has everything")
	return out
}
