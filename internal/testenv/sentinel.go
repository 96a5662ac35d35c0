package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

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

// Replica starts a copy of the server and waits until it has everything. Its first copy
// would otherwise begin after five seconds, and there be something to confirm after ten.
func (r *RedisServer) Replica(t testing.TB, options ...Option) *RedisServer {
	t.Helper()
	if err := r.do(t.Context(), func(rdb *redis.Client) error {
		return errors.Join(rdb.ConfigSet(t.Context(), "repl-diskless-sync-delay", "0").Err(),
			rdb.ConfigSet(t.Context(), "repl-ping-replica-period", "1").Err())
	}); err != nil {
		t.Fatalf("testenv: %v", err)
	}
	out := Redis(t, append([]Option{WithConf("replicaof", "127.0.0.1", strconv.Itoa(r.port))}, options...)...)
	r.AwaitReplica(t)
	return out
}

// AwaitReplica waits until the replica has everything that was written so far. That its
// copy is complete is not enough: what is written next is sent only once it has confirmed
// that, up to a second later, and is lost with the server until then.
func (r *RedisServer) AwaitReplica(t testing.TB) {
	t.Helper()
	written := int64(-1)
	Eventually(t, clusterTimeout, func() bool {
		info := map[string]string{}
		if err := r.do(t.Context(), func(rdb *redis.Client) error { return readInfo(t.Context(), rdb, info, "INFO", "replication") }); err != nil {
			return false
		}
		if written < 0 {
			written, _ = strconv.ParseInt(info["master_repl_offset"], 10, 64) // a number in every version
		}
		return confirmed(info) >= max(written, 1)
	}, "a replica that has everything")
}

// confirmed gives how far the first replica says that it is, from a server's INFO; 0 when
// it has not said anything yet.
func confirmed(info map[string]string) (offset int64) {
	for part := range strings.SplitSeq(info["slave0"], ",") {
		if value, ok := strings.CutPrefix(part, "offset="); ok {
			offset, _ = strconv.ParseInt(value, 10, 64) // a number in every version
		}
	}
	return offset
}

// readInfo adds the lines of an answer that has one name and one value in each.
func readInfo(ctx context.Context, rdb *redis.Client, to map[string]string, ask ...any) error {
	text, err := rdb.Do(ctx, ask...).Text()
	if err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		to[name] = value
	}
	return nil
}
