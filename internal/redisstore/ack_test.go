package redisstore

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/dispatch/tracking"
	"headgate/dispatch/tracking/trackingtest"
	"headgate/internal/testenv"
)

// acknowledging makes a store that waits for a replica.
func acknowledging(t testing.TB, o Options, timeout time.Duration) (*Store, *Conn) {
	t.Helper()
	s, conn := open(t, o)
	own := conn.Another(16)
	t.Cleanup(func() { _ = own.Close() })
	s.Acknowledge(own, Ack{Replicas: 1, Timeout: timeout})
	return s, conn
}

// Waiting for replicas changes nothing else.
func TestStoreAcknowledging(t *testing.T) {
	master := testenv.Redis(t)
	master.Replica(t)
	cluster := testenv.Cluster(t, true)
	for name, o := range map[string]Options{
		"redis":   {Network: "tcp", Addr: master.Addr(), AutoPipeline: true},
		"cluster": {Cluster: cluster.Addrs(), AutoPipeline: true},
	} {
		t.Run(name, func(t *testing.T) {
			trackingtest.Run(t, func(t *testing.T) tracking.Store {
				s, conn := acknowledging(t, o, 2*time.Second)
				flushScripts(t, conn) // as after a fail-over
				return s
			})
		})
	}
}

// With a replica that runs a request is recorded; with one that does not, nobody knows
// whether it will stay, and that holds for every repetition until the replica has it.
func TestAck(t *testing.T) {
	master := testenv.Redis(t)
	replica := master.Replica(t)
	for name, auto := range faces {
		t.Run(name, func(t *testing.T) {
			s, _ := acknowledging(t, Options{Network: "tcp", Addr: master.Addr(), AutoPipeline: auto}, 2*time.Second)
			accept(t, s, request(t, "", "crm"))
			first := request(t, "idem-"+name, "crm")
			accept(t, s, first)
			if row, err := s.Idem(t.Context(), first.Dispatch.IdemHash); err != nil || row == nil || row.ID != first.Dispatch.ID {
				t.Fatalf("Idem = %+v, %v", row, err)
			}
			s.acks.Timeout = 50 * time.Millisecond
			replica.Pause()
			resume := sync.OnceFunc(replica.Resume)
			defer resume()
			unknown := request(t, "other-"+name, "crm")
			for range 3 { // sent again, it writes nothing any more
				if _, err := s.Accept(t.Context(), unknown); !errors.Is(err, tracking.ErrOutcomeUnknown) {
					t.Fatalf("Accept = %v, want ErrOutcomeUnknown", err)
				}
			}
			if row, err := s.Idem(t.Context(), unknown.Dispatch.IdemHash); !errors.Is(err, tracking.ErrOutcomeUnknown) || row == nil || row.ID != unknown.Dispatch.ID {
				t.Errorf("Idem = %+v, %v; want the row and ErrOutcomeUnknown", row, err)
			}
			again := request(t, "other-"+name, "crm")
			if taken, err := s.Accept(t.Context(), again); !errors.Is(err, tracking.ErrOutcomeUnknown) || taken == nil || taken.ID != unknown.Dispatch.ID {
				t.Errorf("Accept with the same key = %+v, %v; want the row and ErrOutcomeUnknown", taken, err)
			}
			if row, err := s.Idem(t.Context(), "nobody's"); row != nil || err != nil {
				t.Errorf("a key that nobody has: %+v, %v", row, err)
			}
			resume()
			s.acks.Timeout = 2 * time.Second
			testenv.Eventually(t, patience, func() bool { _, err := s.Idem(t.Context(), unknown.Dispatch.IdemHash); return err == nil }, "the replica to catch up")
			if taken, err := s.Accept(t.Context(), again); err != nil || taken == nil || taken.ID != unknown.Dispatch.ID {
				t.Errorf("Accept with the same key = %+v, %v; want the row", taken, err)
			}
			if _, err := s.Load(t.Context(), again.Dispatch.ID); !errors.Is(err, tracking.ErrNotFound) {
				t.Errorf("the repetition is recorded, too: %v", err)
			}
		})
	}
}

// A WAIT covers what its connection has written. That something written by another
// connection is covered by the mark is what this test is about: it must not be taken for
// replicated although the replica does not have it.
func TestAckOfWhatOthersWrote(t *testing.T) {
	master := testenv.Redis(t)
	replica := master.Replica(t)
	s, conn := acknowledging(t, Options{Network: "tcp", Addr: master.Addr()}, 50*time.Millisecond)
	plain := New(conn.Shared, conn.Base)
	t.Cleanup(func() { _ = plain.Close() })
	replica.Pause()
	defer replica.Resume()
	a := request(t, "hash", "crm")
	accept(t, plain, a)
	for range 20 { // over every connection
		if _, err := s.Idem(t.Context(), "hash"); !errors.Is(err, tracking.ErrOutcomeUnknown) {
			t.Fatalf("Idem = %v, want ErrOutcomeUnknown", err)
		}
	}
}

func TestGuardCountsReplicas(t *testing.T) {
	master := testenv.Redis(t, testenv.WithAOF())
	s, _ := acknowledging(t, Options{Network: "tcp", Addr: master.Addr()}, time.Second)
	if found, err := s.Guard(t.Context()); err != nil || len(found) != 1 || !strings.Contains(found[0], "redis.ack waits for 1 replicas and redis has 0") {
		t.Fatalf("%q, %v; want what is missing", found, err)
	}
	master.Replica(t)
	testenv.Eventually(t, patience, func() bool { found, err := s.Guard(t.Context()); return err == nil && len(found) == 0 }, "the replica is not seen")
}

// Under load the master of a cluster is killed and its replica takes its place: what was
// acknowledged is there.
func TestAckSurvivesFailOver(t *testing.T) {
	cluster := testenv.Cluster(t, true)
	s, _ := acknowledging(t, Options{Cluster: cluster.Addrs(), AutoPipeline: true}, time.Second)
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	stop := make(chan struct{})
	var load sync.WaitGroup
	for range 8 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				a := request(t, "", "crm")
				if _, err := s.Accept(t.Context(), a); err == nil {
					mu.Lock()
					acknowledged[a.Dispatch.ID] = true
					mu.Unlock()
				}
			}
		})
	}
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(acknowledged) }
	testenv.Eventually(t, patience, func() bool { return count() > 300 }, "some requests before")
	cluster.Masters[0].Kill()
	promoted := cluster.Replicas[0].Client(t)
	testenv.Eventually(t, 60*time.Second, func() bool {
		return parseInfo(promoted.Info(t.Context(), "replication").Val())["role"] == "master"
	}, "the replica to be promoted")
	now := count()
	// The promoted one has no replica of its own: a third of the requests wait in vain.
	testenv.Eventually(t, patience, func() bool { return count() > now+50 }, "some requests after")
	close(stop)
	load.Wait()
	lost := 0
	for id := range acknowledged {
		testenv.Eventually(t, patience, func() bool {
			_, err := s.Load(t.Context(), id)
			if errors.Is(err, tracking.ErrNotFound) {
				lost++
			}
			return err == nil || errors.Is(err, tracking.ErrNotFound)
		}, "an answer about "+id)
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged requests are lost", lost, len(acknowledged))
	}
	t.Logf("%d acknowledged, %d of them before", len(acknowledged), now)
}

// While a slot is on its way the script follows it, together with its WAIT.
func TestAckFollowsSlots(t *testing.T) {
	cluster := testenv.Cluster(t, true)
	s, _ := acknowledging(t, Options{Cluster: cluster.Addrs()}, 2*time.Second)
	hash := "hash"
	shard := shardPrefix[tracking.IdemShard(hash)]
	accept(t, s, request(t, hash, "crm"))
	moved := 0
	for range 2 {
		for _, to := range cluster.Masters {
			if cluster.MoveSlot(t.Context(), shard, to) != nil {
				continue
			}
			moved++
			for {
				a := request(t, "", "crm")
				if i, _ := tracking.Shard(a.Dispatch.ID); shardPrefix[i] == shard {
					accept(t, s, a)
					break
				}
			}
			if row, err := s.Idem(t.Context(), hash); row == nil || err != nil {
				t.Fatalf("Idem = %+v, %v", row, err)
			}
		}
	}
	if moved < 3 {
		t.Fatalf("only %d moves", moved)
	}
}
