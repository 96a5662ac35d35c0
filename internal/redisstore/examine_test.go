package redisstore

import (
	"strings"
	"testing"

	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

// Each master is looked at, and what is tried leaves nothing behind.
func TestExamine(t *testing.T) {
	cluster := testenv.Cluster(t, false, testenv.WithConf("maxmemory", "1gb"))
	server := testenv.Redis(t, testenv.WithAOF())
	for name, c := range map[string]struct {
		o             Options
		nodes, faults int
	}{
		"one":     {Options{Network: "unix", Addr: server.Socket()}, 1, 0},
		"cluster": {Options{Cluster: cluster.Addrs()}, 3, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s, conn := open(t, c.o)
			nodes, err := s.Examine(t.Context())
			if err != nil || len(nodes) != c.nodes {
				t.Fatalf("%+v, %v; want %d", nodes, err, c.nodes)
			}
			for i, n := range nodes {
				if n.Version == "" || n.Role != "master" || n.Latency <= 0 || n.Skew.Abs() > MaxSkew || n.Memory.Used == 0 || n.Clients == 0 || len(n.Faults) != c.faults {
					t.Errorf("%+v", n)
				}
				if c.faults > 0 && (n.Faults[0].Do != "set appendonly yes" || i > 0 && nodes[i-1].Name >= n.Name) {
					t.Errorf("%+v", n)
				}
			}
			if refused := s.Allowed(t.Context()); len(refused) != 0 {
				t.Errorf("refused: %v", refused)
			}
			if keys := conn.Base.Keys(t.Context(), "*").Val(); len(keys) != 0 {
				t.Errorf("it left %q", keys)
			}
			if n, err := s.DeadCount(t.Context()); n != 0 || err != nil {
				t.Errorf("%d dead letters, %v", n, err)
			}
		})
	}
}

func TestDeadCount(t *testing.T) {
	s, _ := open(t, Options{Network: "unix", Addr: testenv.Redis(t).Socket()})
	for range 3 {
		a := request(t, "", "crm", "mail")
		accept(t, s, a)
		finish(t, s, a.Dispatch.ID, "crm", tracking.Failed)
	}
	if n, err := s.DeadCount(t.Context()); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// What a replica, or a server that is full, refuses is told apart.
func TestRefusals(t *testing.T) {
	server := testenv.Redis(t)
	s, conn := open(t, Options{Network: "unix", Addr: server.Socket()})
	if err := conn.Base.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	refused := s.Allowed(t.Context())
	if len(refused) == 0 || !refused[0].Full() || refused[0].Forbidden() || refused[0].User != "default" {
		t.Errorf("full: %v", refused)
	}
	replica, _ := open(t, Options{Network: "unix", Addr: testenv.Redis(t).Replica(t).Socket()})
	refused = replica.Allowed(t.Context())
	if len(refused) != 2 || !refused[0].Replica() || !strings.Contains(refused[1].What, "asynq") {
		t.Errorf("replica: %v", refused)
	}
	if nodes, err := replica.Examine(t.Context()); err != nil || len(nodes) != 1 || nodes[0].Role != "slave" {
		t.Errorf("%+v, %v", nodes, err)
	}
}
