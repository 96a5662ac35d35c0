package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/internal/testenv"
)

func onCluster(c *testenv.RedisCluster) (settings string, rdb func(testing.TB) redis.UniversalClient) {
	return "url: '" + c.URL() + "'", func(t testing.TB) redis.UniversalClient { return c.Client(t) }
}

// What is told about the gateway as a whole holds on a cluster as well.
func TestOnACluster(t *testing.T) {
	cluster := testenv.Cluster(t, false, testenv.WithAOF(), testenv.WithConf("appendfsync", "no"))
	settings, rdb := onCluster(cluster)
	for name, c := range map[string]struct {
		edit func(string) string
		body func(*testing.T, *rig)
	}{
		"many requests at once":          {nil, manyRequestsAtOnce},
		"cancel":                         {oneSlot, cancelInEveryState},
		"a dead letter is replayed":      {giveUpSoon, deadLetterIsReplayed},
		"many dead letters are replayed": {nil, manyDeadLettersReplayed},
		"a failing backend":              {breakSoon, failingBackendIsLeftAlone},
		"dashboard and health":           {nil, dashboardAndHealth},
		"rate limit":                     {func(s string) string { return strings.Replace(s, "limit: 1000000,", "limit: 5,", 1) }, rateLimited},
	} {
		t.Run(name, func(t *testing.T) {
			cluster.Flush(t)
			c.body(t, newRigOn(t, settings, rdb, c.edit))
		})
	}
	t.Run("updates in order", func(t *testing.T) {
		cluster.Flush(t)
		r, backend := orderRig(t, func(t *testing.T, edit func(string) string) *rig { return newRigOn(t, settings, rdb, edit) },
			`order: {key: "${{ .payload.email }}"}`)
		updatesInOrder(t, r, backend)
	})
}

func dashboardAndHealth(t *testing.T, r *rig) {
	r.start(t)
	id, err := r.post(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.await(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	var queues struct {
		Queues []struct {
			Queue string `json:"queue"`
		} `json:"queues"`
	}
	if status, err := r.ask(t.Context(), "GET", "/asynqmon/api/queues", "", &queues); err != nil || status != 200 || len(queues.Queues) < 5 {
		t.Errorf("the dashboard's queues: %d %+v, %v", status, queues, err)
	}
	var info struct {
		Cluster bool `json:"cluster"`
	}
	if status, err := r.ask(t.Context(), "GET", "/asynqmon/api/redis_info", "", &info); err != nil || status != 200 || !info.Cluster {
		t.Errorf("the dashboard's Redis: %d %+v, %v", status, info, err)
	}
	if said := r.adminSays(t, "/readyz?verbose"); strings.Contains(said, "[warning] redis") || !strings.Contains(said, "redis") {
		t.Errorf("readyz says\n%s", said)
	}
}

func rateLimited(t *testing.T, r *rig) {
	r.start(t)
	got := map[int]int{}
	for i := range 8 {
		status, _, err := r.do(t.Context(), http.MethodPost, fmt.Sprint("/profiles/", i), `{"email":"a@example.com","first":"A","last":"B","consent":true,"balance":1.10}`)
		if err != nil {
			t.Fatal(err)
		}
		got[status]++
	}
	if got[http.StatusAccepted] != 5 || got[http.StatusTooManyRequests] != 3 {
		t.Errorf("answers %v, want 5 accepted and 3 refused", got)
	}
}

// A node is killed and comes back, slots move from node to node, both while requests
// arrive: what got a 202 ends, and no key makes two dispatches.
func TestClusterIsDisturbed(t *testing.T) {
	t.Run("node killed", func(t *testing.T) {
		cluster := testenv.Cluster(t, false, testenv.WithAOF())
		settings, rdb := onCluster(cluster)
		throughOutage(t, newRigOn(t, settings, rdb, nil), func(func() error) {
			cluster.Masters[1].Kill()
			one := cluster.Masters[0].Client(t)
			testenv.Eventually(t, time.Minute, func() bool {
				return strings.Contains(one.ClusterInfo(t.Context()).Val(), "cluster_state:fail")
			}, "the others do not notice")
			cluster.Masters[1].Restart()
		})
	})
	t.Run("slots move", func(t *testing.T) {
		cluster := testenv.Cluster(t, false)
		settings, rdb := onCluster(cluster)
		throughOutage(t, newRigOn(t, settings, rdb, nil), func(func() error) {
			moved := 0
			for shard := 0; shard < 64; shard += 3 {
				for _, to := range cluster.Masters {
					if cluster.MoveSlot(t.Context(), fmt.Sprintf("{%02d}", shard), to) == nil {
						moved++
					}
				}
			}
			for _, queue := range []string{"crm", "newsletter.resume", "marketing.resume"} {
				for _, to := range cluster.Masters {
					if cluster.MoveSlot(t.Context(), "{"+queue+"}", to) == nil {
						moved++
					}
				}
			}
			t.Logf("%d slots were moved", moved)
			if moved < 30 {
				t.Errorf("only %d slots were moved", moved)
			}
		})
	})
}
