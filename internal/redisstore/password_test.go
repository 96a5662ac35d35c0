package redisstore

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"headgate/internal/testenv"
)

// TestPasswordIsAskedForEachConnection: whatever Redis is reached through, by all clients.
func TestPasswordIsAskedForEachConnection(t *testing.T) {
	for name, reach := range map[string]func(s *testenv.RedisServer) Options{
		"one server": func(s *testenv.RedisServer) Options { return Options{Network: "tcp", Addr: s.Addr()} },
		"sentinel": func(s *testenv.RedisServer) Options {
			return Options{Master: "main", Sentinels: []string{s.Sentinel(t)}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := testenv.Redis(t, testenv.WithConf("user", "headgate", "on", ">first", ">second", "~*", "&*", "+@all"))
			var password atomic.Value
			password.Store("first")
			o := reach(server)
			o.Username, o.Password, o.AutoPipeline = "headgate", func() string { return password.Load().(string) }, true
			_, conn := open(t, o)
			another := conn.Another(2)
			t.Cleanup(func() { _ = another.Close() })
			pings := map[string]func(ctx context.Context) error{
				"base":    func(ctx context.Context) error { return conn.Base.Ping(ctx).Err() },
				"shared":  func(ctx context.Context) error { return conn.Shared.Ping(ctx).Err() },
				"another": func(ctx context.Context) error { return another.Ping(ctx).Err() },
			}
			for who, ping := range pings {
				if err := ping(t.Context()); err != nil {
					t.Fatalf("%s: %v", who, err)
				}
			}
			admin := server.Client(t)
			for _, err := range []error{
				admin.Do(t.Context(), "ACL", "SETUSER", "headgate", "<first").Err(),
				admin.ClientKillByFilter(t.Context(), "USER", "headgate").Err(),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			for who, ping := range pings {
				testenv.Eventually(t, 20*time.Second, func() bool { return ping(t.Context()) != nil }, who+" still gets in")
			}
			password.Store("second")
			for who, ping := range pings {
				testenv.Eventually(t, 20*time.Second, func() bool { return ping(t.Context()) == nil }, who+" does not get in")
			}
		})
	}
}
