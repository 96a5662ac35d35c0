package redisstore

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
	"headgate/dispatch/tracking/trackingtest"
	"headgate/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Leaks(m) }

// open makes a store over the server at addr, as the product does.
func open(t testing.TB, o Options) (*Store, *Conn) {
	t.Helper()
	conn, err := Connect(o)
	if err != nil {
		t.Fatal(err)
	}
	s := New(conn.Shared, conn.Base)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
		if err := conn.Close(); err != nil {
			t.Errorf("close the clients: %v", err)
		}
	})
	return s, conn
}

func TestStore(t *testing.T) {
	server := testenv.Redis(t)
	mini := miniredis.RunT(t)
	cluster := testenv.Cluster(t, false).Addrs()
	for name, o := range map[string]Options{
		"redis":                  {Network: "unix", Addr: server.Socket()},
		"redis, auto-pipeline":   {Network: "tcp", Addr: server.Addr(), AutoPipeline: true},
		"redis, scripts lost":    {Network: "tcp", Addr: server.Addr(), AutoPipeline: true, PoolSize: 4},
		"cluster":                {Cluster: cluster},
		"cluster, auto-pipeline": {Cluster: cluster[1:2], AutoPipeline: true},
		"cluster, scripts lost":  {Cluster: cluster, AutoPipeline: true},
		"emulation":              {Network: "tcp", Addr: mini.Addr(), PoolSize: 8},
	} {
		t.Run(name, func(t *testing.T) {
			trackingtest.Run(t, func(t *testing.T) tracking.Store {
				s, conn := open(t, o)
				if strings.HasSuffix(name, "scripts lost") { // a restart or a fail-over forgets them
					flushScripts(t, conn)
				} else if err := s.Prepare(t.Context()); err != nil {
					t.Fatal(err)
				}
				return s
			})
		})
	}
}

func flushScripts(t *testing.T, conn *Conn) {
	t.Helper()
	if err := eachMaster(t.Context(), conn.Base, func(ctx context.Context, _ string, rdb redis.UniversalClient) error {
		return rdb.ScriptFlush(ctx).Err()
	}); err != nil {
		t.Fatal(err)
	}
}

// TestStoreClose checks that nothing starts anew once the store is closed.
func TestStoreClose(t *testing.T) {
	server := testenv.Redis(t)
	s, conn := open(t, Options{Network: "tcp", Addr: server.Addr()})
	id := newID(t, "")
	wake, stop := s.Changed(t.Context(), id)
	woken(t, wake)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	stop()
	_, stop = s.Changed(t.Context(), id)
	stop()
	testenv.Eventually(t, patience, func() bool {
		channels, err := conn.Base.PubSubChannels(t.Context(), "*").Result()
		return err == nil && len(channels) == 0
	}, "no subscription left")
}

// TestWaitersShareOneSubscription looks at the server: a channel per record that is
// waited for, whatever the number of waiters, and none after the last has left.
func TestWaitersShareOneSubscription(t *testing.T) {
	server := testenv.Redis(t)
	s, conn := open(t, Options{Network: "tcp", Addr: server.Addr()})
	count := func() map[string]int64 {
		names, err := conn.Base.PubSubChannels(t.Context(), "*").Result()
		if err != nil {
			t.Fatal(err)
		}
		if len(names) == 0 {
			return nil
		}
		n, err := conn.Base.PubSubNumSub(t.Context(), names...).Result()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	ids := []string{newID(t, ""), newID(t, "")}
	var stops []func()
	for range 5 {
		for _, id := range ids {
			_, stop := s.Changed(t.Context(), id)
			stops = append(stops, stop)
		}
	}
	testenv.Eventually(t, patience, func() bool {
		n := count()
		shard, _ := tracking.Shard(ids[0])
		return len(n) == 2 && n[doneChannel(shardPrefix[shard], ids[0])] == 1
	}, "one subscription for each record")
	for _, stop := range stops {
		stop()
	}
	testenv.Eventually(t, patience, func() bool { return len(count()) == 0 }, "no subscription left")
}

// TestWaiterOutlivesRestart checks that a waiter is woken after the connection was lost,
// so that it can read what it missed.
func TestWaiterOutlivesRestart(t *testing.T) {
	server := testenv.Redis(t, testenv.WithAOF())
	s, _ := open(t, Options{Network: "tcp", Addr: server.Addr()})
	wake, stop := s.Changed(t.Context(), newID(t, ""))
	defer stop()
	woken(t, wake)
	server.Kill()
	// While Redis is away a new waiter must not be held up.
	other, stopOther := s.Changed(t.Context(), newID(t, ""))
	defer stopOther()
	server.Restart()
	woken(t, wake)
	woken(t, other)
}

func woken(t *testing.T, wake <-chan struct{}) {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case <-wake:
	case <-timeout.C:
		t.Fatalf("not woken within %v", patience)
	}
}
