package redisstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

// behindCutters puts something between the cluster's masters and their clients, which
// learn its addresses from the masters.
func behindCutters(t *testing.T, cluster *testenv.RedisCluster) (cutters []*cutter, addrs []string) {
	t.Helper()
	for _, m := range cluster.Masters {
		c := newCutter(t, m.Addr())
		_, port, _ := net.SplitHostPort(c.Addr().String())
		if err := m.Client(t).ConfigSet(t.Context(), "cluster-announce-port", port).Err(); err != nil {
			t.Fatal(err)
		}
		cutters, addrs = append(cutters, c), append(addrs, c.Addr().String())
	}
	for i, m := range cluster.Masters {
		rdb := m.Client(t)
		testenv.Eventually(t, patience, func() bool {
			text := rdb.ClusterNodes(t.Context()).Val()
			for _, addr := range addrs {
				if !strings.Contains(text, addr+"@") {
					return false
				}
			}
			return true
		}, "node "+strconv.Itoa(i)+" does not know the addresses")
	}
	return cutters, addrs
}

// A command whose answer was lost may have been executed: the client must not send it
// again, whatever the way. A dequeue that is repeated loses a task.
func TestClusterRepeatsNothing(t *testing.T) {
	cluster := testenv.Cluster(t, false)
	cutters, addrs := behindCutters(t, cluster)
	direct := cluster.Client(t)
	for name, o := range map[string]Options{"plain": {Cluster: addrs}, "auto-pipeline": {Cluster: addrs, AutoPipeline: true}} {
		_, conn := open(t, o)
		for way, send := range map[string]func(key string) error{
			"command": func(key string) error { return conn.Shared.Incr(t.Context(), key).Err() },
			"script": func(key string) error {
				return conn.Shared.Eval(t.Context(), "return redis.call('INCR', KEYS[1])", []string{key}).Err()
			},
			"pipeline": func(key string) error {
				p := conn.Base.Pipeline()
				p.Incr(t.Context(), key)
				_, err := p.Exec(t.Context())
				return err
			},
		} {
			t.Run(name+", "+way, func(t *testing.T) {
				key := strings.ReplaceAll(t.Name(), "/", ":")
				slot := direct.ClusterKeySlot(t.Context(), key).Val()
				c := cutters[int(slot)*len(cutters)/16384]
				sent := 0
				testenv.Eventually(t, patience, func() bool {
					// Connections are there, so that what is cut is not a handshake; what the
					// client asks about the cluster's state may be hit in its stead.
					if conn.Base.Get(t.Context(), key).Err() == nil && sent == 0 {
						t.Fatal("the key is there already")
					}
					c.cuts.Store(1)
					err := send(key)
					c.cuts.Store(0)
					sent++
					return errors.Is(err, io.EOF)
				}, "no answer was lost, with what the connection ended with")
				if n, err := direct.Get(t.Context(), key).Int(); n != sent || err != nil {
					t.Errorf("executed %d times (%v), sent %d times", n, err, sent)
				}
			})
		}
	}
}

// A process has several clients, made of the same options. What one learns of the cluster is not
// written into another's addresses.
func TestClusterClientsShareNoAddresses(t *testing.T) {
	seeds := append(make([]string, 0, 100), testenv.Cluster(t, false).Addrs()[0])
	conn, err := Connect(Options{Cluster: seeds})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.Base.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if beyond := seeds[:2][1]; beyond != "" {
		t.Errorf("the client wrote %s behind the addresses it was given", beyond)
	}
}

// All nodes gone: known at once, and for certain.
func TestClusterGone(t *testing.T) {
	cluster := testenv.Cluster(t, false)
	for name, auto := range faces {
		s, _ := open(t, Options{Cluster: cluster.Addrs(), AutoPipeline: auto})
		accept(t, s, request(t, "", "crm"))
		t.Cleanup(func() {
			for range 8 { // each in a slot of its own
				begun := time.Now()
				_, err := s.Accept(t.Context(), request(t, "", "crm"))
				if errors.Is(err, tracking.ErrOutcomeUnknown) || !errors.Is(err, tracking.ErrUnavailable) {
					t.Errorf("%s: %v, want a certain ErrUnavailable", name, err)
				}
				if took := time.Since(begun); took > 5*time.Second {
					t.Errorf("%s: it took %v", name, took)
				}
			}
		})
	}
	for _, m := range cluster.Masters {
		m.Kill()
	}
}

// A node that hangs leaves the outcome open, the caller's deadline counts, and the other
// nodes' records are not touched by it.
func TestClusterNodeHangs(t *testing.T) {
	// Some seconds of silence must not make it declare itself down.
	cluster := testenv.Cluster(t, false, testenv.WithConf("cluster-node-timeout", "20000"))
	for name, auto := range faces {
		t.Run(name, func(t *testing.T) {
			s, conn := open(t, Options{Cluster: cluster.Addrs(), AutoPipeline: auto})
			for range 200 { // connections to all of them
				accept(t, s, request(t, "", "crm"))
			}
			cluster.Masters[1].Pause()
			defer cluster.Masters[1].Resume()
			unknown, done := 0, 0
			for unknown == 0 || done == 0 {
				begun := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				_, err := s.Accept(ctx, request(t, "", "crm"))
				cancel()
				switch {
				case err == nil:
					done++
				case errors.Is(err, tracking.ErrOutcomeUnknown):
					unknown++
				case errors.Is(err, tracking.ErrUnavailable): // nothing was sent to one that is known to hang
				default:
					t.Fatalf("%v, want ErrOutcomeUnknown", err)
				}
				// A shared pipeline ends with the connection's own time-out.
				if took := time.Since(begun); took > 2*time.Second && !auto || took > 8*time.Second {
					t.Errorf("the deadline of 100ms ended it after %v", took)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if partly, err := conn.Health(ctx); err != nil || !strings.Contains(partly, cluster.Masters[1].Addr()) {
				t.Errorf("health: %q, %v; want the name of the node", partly, err)
			}
		})
	}
}

// Each master is looked at.
func TestClusterGuard(t *testing.T) {
	cluster := testenv.Cluster(t, false, testenv.WithAOF())
	s, conn := open(t, Options{Cluster: cluster.Addrs()})
	if found, err := s.Guard(t.Context()); err != nil || len(found) != 0 {
		t.Fatalf("%q, %v", found, err)
	}
	if partly, err := conn.Health(t.Context()); partly != "" || err != nil {
		t.Fatalf("%q, %v", partly, err)
	}
	bad := cluster.Masters[2]
	if err := bad.Client(t).ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err(); err != nil {
		t.Fatal(err)
	}
	if found, err := s.Guard(t.Context()); err != nil || len(found) != 1 || !strings.HasPrefix(found[0], bad.Addr()+": redis evicts") {
		t.Fatalf("%q, %v; want the third node's policy", found, err)
	}
}

// A cluster is as full as its fullest master.
func TestClusterMemory(t *testing.T) {
	cluster := testenv.Cluster(t, false)
	s, _ := open(t, Options{Cluster: cluster.Addrs()})
	for i, bound := range []int64{1 << 30, 1 << 28, 1 << 29} {
		if err := cluster.Masters[i].Client(t).ConfigSet(t.Context(), "maxmemory", fmt.Sprint(bound)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	b, err := s.Backlog(t.Context(), nil)
	if err != nil || b.Memory.Max != 1<<28 || b.Memory.Used == 0 {
		t.Errorf("memory %+v (%v), want that of the second node", b.Memory, err)
	}
}
