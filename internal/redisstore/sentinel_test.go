package redisstore

import (
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

// After a fail-over the store goes on by itself, with what the replica had.
func TestSentinelFailOver(t *testing.T) {
	master := testenv.Redis(t)
	host, port, _ := net.SplitHostPort(master.Addr())
	replica := testenv.Redis(t, testenv.WithConf("replicaof", host, port), testenv.WithConf("repl-diskless-sync-delay", "0"))
	addr := master.Sentinel(t)
	watch := redis.NewSentinelClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = watch.Close() })
	testenv.Eventually(t, time.Minute, func() bool { // it asks every ten seconds
		found, err := watch.Replicas(t.Context(), "main").Result()
		return err == nil && len(found) == 1 && found[0]["master-link-status"] == "ok"
	}, "the sentinel does not see the replica")
	var told trips
	conn, err := Connect(Options{Master: "main", Sentinels: []string{addr}, AutoPipeline: true, PoolSize: 1, Observe: told.observe})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	store := New(conn.Shared, conn.Base)
	t.Cleanup(func() { _ = store.Close() })
	before := request(t, "", "crm")
	if _, err := store.Accept(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Base.(*redis.Client).Wait(t.Context(), 1, 5*time.Second).Result(); err != nil || n != 1 {
		t.Fatalf("%d replicas have the record: %v", n, err)
	}
	master.Kill()
	testenv.Eventually(t, time.Minute, func() bool {
		_, err := store.Accept(t.Context(), request(t, "", "crm"))
		return err == nil
	}, "nothing was accepted after the fail-over")
	if d, err := store.Load(t.Context(), before.Dispatch.ID); err != nil || d.Status() != tracking.InProgress {
		t.Fatalf("the record from before: %+v, %v", d, err)
	}
	if got, _ := told.since(); got[goodPipeline] == 0 || got[badPipeline]+got[badCommand] == 0 {
		t.Errorf("told of %v", got)
	}
	// After as many refused connections as its pool has room for, here one, the client tries one
	// a second; until then whoever asks for a connection of that pool is told of the last refusal.
	var nodes []tracking.NodeMemory
	testenv.Eventually(t, 10*time.Second, func() bool {
		nodes, err = store.Memory(t.Context(), "main")
		return err == nil
	}, "the memory of the new master is not told")
	if len(nodes) != 1 || nodes[0].Node != "main" {
		t.Errorf("memory %+v", nodes)
	}
	if counts, err := store.Counts(t.Context()); err != nil || counts["crm"].Open < 2 {
		t.Errorf("counts %+v, %v", counts, err)
	}
	if role := replica.Client(t).Info(t.Context(), "replication").Val(); parseInfo(role)["role"] != "master" {
		t.Fatalf("the replica was not promoted:\n%s", role)
	}
}
