package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/internal/app"
	"headgate/internal/testenv"
)

// With the replica stopped nothing is promised, not even when the request is repeated;
// once it goes on, the same request gets its 202, and the backends see it once.
func TestAckOfReplicas(t *testing.T) {
	master := testenv.Redis(t)
	replica := master.Replica(t)
	r := newRigOn(t, "url: "+master.URL()+"\n  ack: {replicas: 1, timeout: 500ms}", func(t testing.TB) redis.UniversalClient { return master.Client(t) }, nil)
	r.start(t)
	// A replica that gets no processor for half a second has not got the record either: a
	// client repeats then, and so does this one.
	var id string
	testenv.Eventually(t, 20*time.Second, func() bool {
		var err error
		id, err = r.post(t.Context(), 1)
		return err == nil
	}, "a 202 while the replica goes on")
	replica.Pause()
	var unknown struct {
		Type string `json:"type"`
		ID   string `json:"tracking_id"`
	}
	first := ""
	for range 3 {
		status, text, err := r.do(t.Context(), http.MethodPost, "/profiles/2", `{"email":"a@example.com","first":"A","last":"B","consent":true,"balance":1.10}`, "Idempotency-Key", "key-2")
		if err == nil {
			err = json.Unmarshal(text, &unknown)
		}
		if err != nil || status != http.StatusServiceUnavailable || !strings.HasSuffix(unknown.Type, "outcome-unknown") || unknown.ID == "" {
			t.Fatalf("%d %s %v, want outcome-unknown with the ID", status, text, err)
		}
		if first == "" {
			first = unknown.ID
		}
		if unknown.ID != first {
			t.Errorf("the repetition names %s, not %s", unknown.ID, first)
		}
	}
	if status, text, err := r.do(t.Context(), http.MethodPost, "/profiles/1", `{"email":"a@example.com"}`, "Idempotency-Key", "key-1"); err != nil || status != http.StatusUnprocessableEntity {
		t.Errorf("another body under a known key: %d %s %v, want 422", status, text, err)
	}
	replica.Resume()
	testenv.Eventually(t, 20*time.Second, func() bool {
		status, text, err := r.do(t.Context(), http.MethodPost, "/profiles/2", `{"email":"a@example.com","first":"A","last":"B","consent":true,"balance":1.10}`, "Idempotency-Key", "key-2")
		if err != nil || status != http.StatusAccepted {
			return false
		}
		return json.Unmarshal(text, &unknown) == nil && unknown.ID == first
	}, "a 202 with the same ID once the replica goes on")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, id := range []string{id, first} {
		if _, err := r.await(ctx, id); err != nil {
			t.Fatal(err)
		}
	}
	if stats := r.backends.Backend("crm").Stats(); stats.UniqueKeys != 2 || stats.Duplicates != 0 {
		t.Errorf("crm: %d keys, %d duplicates; want 2 and 0", stats.UniqueKeys, stats.Duplicates)
	}
	r.nothingLeft(t)
}

// A start that could acknowledge nothing is refused when that is asked for.
func TestAckWithoutReplicas(t *testing.T) {
	master := testenv.Redis(t, testenv.WithAOF())
	r := newRigOn(t, "url: "+master.URL()+"\n  ack: {replicas: 1}\nstrict: true", func(t testing.TB) redis.UniversalClient { return master.Client(t) }, nil)
	a, err := app.New(t.Context(), app.Options{
		ConfigPath: filepath.Join(r.dir, "headgate.yaml"), Role: app.RoleAll, Log: slog.New(slog.DiscardHandler),
		Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0",
	})
	if err != nil {
		t.Fatal(err)
	}
	err = a.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "redis.ack waits for 1 replicas and redis has 0") {
		t.Errorf("%v, want what is missing", err)
	}
	if err := a.Stop(context.Background()); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A cluster's master is killed for good under load, and its replica takes its place: what
// got a 202 ends.
func TestClusterFailOver(t *testing.T) {
	cluster := testenv.Cluster(t, true)
	settings, rdb := onCluster(cluster)
	throughOutage(t, newRigOn(t, settings+"\n  ack: {replicas: 1, timeout: 1s}", rdb, nil), func(func() error) {
		cluster.Masters[0].Kill()
		promoted := cluster.Replicas[0].Client(t)
		testenv.Eventually(t, time.Minute, func() bool {
			return strings.Contains(promoted.Info(t.Context(), "replication").Val(), "role:master")
		}, "the replica is not promoted")
		cluster.Masters[0].Restart() // empty; it becomes the replica that ack waits for
	})
}
