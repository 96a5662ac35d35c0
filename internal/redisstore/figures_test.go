package redisstore

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

// ends gathers what OnEnd is told of.
type ends struct {
	mu   sync.Mutex
	list []tracking.DeliveryEnd
}

func (e *ends) take(end tracking.DeliveryEnd) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, end)
}

func (e *ends) count() map[string]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := map[string]int{}
	for _, end := range e.list {
		out[fmt.Sprintf("%s %s %s", end.Target, end.State, end.Reason)]++
	}
	return out
}

// run claims a delivery and applies the event.
func run(t *testing.T, s *Store, ref tracking.Ref, e tracking.Event) {
	t.Helper()
	d, err := s.Load(t.Context(), ref.Tracking)
	must(t, err)
	c, err := s.Claim(t.Context(), ref, d.Deliveries[ref.Target].Seq, "run", time.Minute)
	must(t, err)
	must(t, s.Apply(t.Context(), ref, c.Delivery.Fence, tracking.Apply(c.Delivery, e, c.Now)))
}

func failedFor(reason fault.Reason) tracking.Event {
	return tracking.AttemptFailed{Final: true, Fault: &fault.Fault{Reason: reason}}
}

// Every end is told once, whoever brings it about, and none that is none.
func TestEveryEndIsToldOnce(t *testing.T) {
	eachKindOfRedis(t, func(t *testing.T, s *Store) {
		var told ends
		s.OnEnd(told.take)
		ctx := t.Context()
		a := request(t, "", "crm", "mail", "billing", "skip")
		a.Dispatch.Deliveries["skip"] = tracking.Delivery{Fence: tracking.Fence{Seq: 1}, Phase: tracking.Ended, State: tracking.Skipped}
		delete(a.Payloads, "skip")
		accept(t, s, a)
		accept(t, s, a) // the same once more: its first answer was lost
		of := func(target string) tracking.Ref { return tracking.Ref{Tracking: a.Dispatch.ID, Target: target} }

		run(t, s, of("crm"), tracking.NotYet{})
		c, err := s.Claim(ctx, of("crm"), 2, "run", time.Minute)
		must(t, err)
		next := tracking.Apply(c.Delivery, failedFor(fault.Timeout), c.Now)
		late := tracking.Apply(c.Delivery, tracking.Concluded{State: tracking.Succeeded}, c.Now)
		must(t, s.Apply(ctx, of("crm"), c.Delivery.Fence, next))
		if err := s.Apply(ctx, of("crm"), c.Delivery.Fence, late); !errors.Is(err, tracking.ErrFenced) {
			t.Fatalf("a second end: %v", err)
		}
		_, err = s.Cancel(ctx, a.Dispatch.ID, a.Dispatch.Tenant)
		must(t, err)
		_, err = s.Cancel(ctx, a.Dispatch.ID, a.Dispatch.Tenant)
		must(t, err)
		want := map[string]int{"skip skipped ": 2, "crm failed timeout": 1, "mail canceled canceled": 1, "billing canceled canceled": 1}
		if got := told.count(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("told %v, want %v", got, want)
		}
		for _, end := range told.list {
			if end.After < 0 || end.After > time.Minute {
				t.Errorf("%+v took that long", end)
			}
		}

		// Members end with their batch; the batch itself is no delivery.
		told.list = nil
		var members []tracking.Change
		for range 3 {
			m := request(t, "", "crm")
			accept(t, s, m)
			c, err := s.Claim(ctx, tracking.Ref{Tracking: m.Dispatch.ID, Target: "crm"}, 1, "run", time.Minute)
			must(t, err)
			members = append(members, tracking.Change{Tracking: m.Dispatch.ID, Expect: c.Delivery.Fence, Next: tracking.Apply(c.Delivery, tracking.Concluded{State: tracking.Rejected, Reason: fault.Rejected}, c.Now)})
		}
		stale := members[2]
		stale.Expect.Seq = 7
		stale.Next.Seq = 8
		must(t, s.ApplyAll(ctx, "crm", append(members[:2:2], stale)))
		if got := told.count(); got["crm rejected rejected"] != 2 || len(got) != 1 {
			t.Errorf("told %v, want two that were rejected", got)
		}
	})
}

// slack is what times that are kept in milliseconds may lack.
const slack = 2 * time.Millisecond

// eachKindOfRedis runs a test on one server and on a cluster.
func eachKindOfRedis(t *testing.T, test func(t *testing.T, s *Store)) {
	t.Helper()
	t.Run("one server", func(t *testing.T) {
		s, _ := open(t, Options{Network: "tcp", Addr: testenv.Redis(t).Addr()})
		test(t, s)
	})
	t.Run("cluster", func(t *testing.T) {
		s, _ := open(t, Options{Cluster: testenv.Cluster(t, false).Addrs()})
		test(t, s)
	})
}

// Collecting ends once, however often a batch is sealed.
func TestSealIsToldOnce(t *testing.T) {
	s, _ := open(t, Options{Network: "tcp", Addr: testenv.Redis(t).Addr()})
	var sizes []int
	s.OnSeal(func(target string, records int) { sizes = append(sizes, records) })
	for _, full := range []int{2, 100} {
		candidate, err := tracking.NewBatchID("crm")
		must(t, err)
		var batch tracking.Ref
		for range 2 {
			j, err := s.Join(t.Context(), tracking.Ref{Tracking: newID(t, ""), Target: "crm"},
				tracking.Gathering{Candidate: candidate, Plan: "p", MaxRecords: full, Until: time.Now().Add(time.Hour), Retention: time.Hour})
			must(t, err)
			batch = j.Batch
		}
		for range 2 {
			if ids, err := s.Seal(t.Context(), batch, 0); err != nil || len(ids) != 2 {
				t.Errorf("sealed %v, %v", ids, err)
			}
		}
	}
	if fmt.Sprint(sizes) != "[2 2]" {
		t.Errorf("told of %v, want each batch once", sizes)
	}
}

func TestCounts(t *testing.T) {
	eachKindOfRedis(t, func(t *testing.T, s *Store) {
		var refs []tracking.Ref
		for range 40 {
			a := request(t, "", "crm")
			accept(t, s, a)
			refs = append(refs, tracking.Ref{Tracking: a.Dispatch.ID, Target: "crm"})
		}
		expect := func(when string, openOnes, dead, jobs int) tracking.TargetCounts {
			t.Helper()
			counts, err := s.Counts(t.Context())
			must(t, err)
			got := counts["crm"]
			if got.Open != openOnes || got.DeadLetters != dead || got.Jobs.Count != jobs {
				t.Errorf("%s: %+v, want %d open, %d dead letters, %d jobs", when, got, openOnes, dead, jobs)
			}
			if s.cluster { // it looks at one server
				return got
			}
			if faults, err := s.Audit(t.Context()); err != nil || len(faults) > 0 {
				t.Errorf("%s: %v (%v)", when, faults, err)
			}
			return got
		}
		expect("accepted", 40, 0, 0)
		for _, ref := range refs[:10] {
			run(t, s, ref, tracking.NotYet{})
		}
		expect("polled once", 40, 0, 10)
		began := time.Now()
		for _, ref := range refs[10:16] {
			run(t, s, ref, failedFor(fault.Timeout))
		}
		run(t, s, refs[0], tracking.NotYet{}) // it was waited for before
		run(t, s, refs[1], tracking.PollFailed{Fault: &fault.Fault{Reason: fault.Timeout}})
		run(t, s, refs[2], tracking.Concluded{State: tracking.Succeeded, Poll: true})
		run(t, s, refs[3], failedFor(fault.JobFailed))
		least := time.Since(began) - slack
		got := expect("some have ended", 32, 7, 8)
		if got.Jobs.Oldest < least || got.Jobs.Oldest > least+time.Minute {
			t.Errorf("the oldest job was waited for for %s, want at least %s", got.Jobs.Oldest, least)
		}
		_, err := s.Cancel(t.Context(), refs[4].Tracking, "mobile/acme")
		must(t, err)
		must(t, s.DropDeadLetter(t.Context(), refs[10]))
		letter, err := s.Letter(t.Context(), refs[11])
		must(t, err)
		must(t, s.Revive(t.Context(), refs[11], letter.Delivery.Fence, tracking.Revive(letter.Delivery, tracking.Revival{}, letter.Now), nil))
		expect("after canceling, dropping and replaying", 32, 5, 7)
		s.KeepDeadLetters(time.Millisecond)
		testenv.Eventually(t, patience, func() bool {
			n, err := s.ExpireDeadLetters(t.Context(), 100)
			return err == nil && n == 5
		}, "they do not expire")
		expect("after their time", 32, 0, 7)
		for _, ref := range refs {
			_, err := s.Cancel(t.Context(), ref.Tracking, "mobile/acme")
			must(t, err)
		}
		expect("all canceled", 0, 0, 0)
	})
}

// A job whose record is lost does not look as if it were waited for for ever.
func TestLostJobIsForgotten(t *testing.T) {
	s, conn := open(t, Options{Network: "tcp", Addr: testenv.Redis(t).Addr()})
	a := request(t, "", "crm")
	accept(t, s, a)
	run(t, s, tracking.Ref{Tracking: a.Dispatch.ID, Target: "crm"}, tracking.NotYet{})
	shard, _ := keysOf(a.Dispatch.ID)
	must(t, conn.Base.Del(t.Context(), recordKey(shard, a.Dispatch.ID)).Err())
	for range 2 { // the first look removes it
		_, err := s.Counts(t.Context())
		must(t, err)
	}
	if c, err := s.Counts(t.Context()); err != nil || c["crm"].Jobs != (tracking.Waiters{}) {
		t.Errorf("%+v, %v", c["crm"], err)
	}
}

func TestPendingFor(t *testing.T) {
	eachKindOfRedis(t, func(t *testing.T, s *Store) {
		tasks := make([]tracking.Expected, 6)
		for i := range tasks {
			a := request(t, "", "crm")
			accept(t, s, a)
			tasks[i] = tracking.Expected{Ref: tracking.Ref{Tracking: a.Dispatch.ID, Target: "crm"}, Seq: 1}
		}
		began := time.Now()
		run(t, s, tasks[0].Ref, tracking.Concluded{State: tracking.Succeeded})
		_, err := s.Cancel(t.Context(), tasks[1].Tracking, "mobile/acme")
		must(t, err)
		tasks[2].Seq = 2            // the record calls for another one
		tasks[3].Tracking = "trk_x" // none of ours
		d, err := s.Load(t.Context(), tasks[4].Tracking)
		must(t, err)
		must(t, s.Apply(t.Context(), tasks[4].Ref, d.Deliveries["crm"].Fence, tracking.TakeOver(d.Deliveries["crm"])))
		tasks[4].Seq = 2 // queued again: it waits since it was accepted
		waited := time.Since(began) - slack
		ages, err := s.PendingFor(t.Context(), tasks)
		must(t, err)
		for i, age := range ages {
			if i < 4 && age >= 0 {
				t.Errorf("task %d waits for %s, want not at all", i, age)
			}
			if i >= 4 && (age < waited || age > waited+time.Minute) {
				t.Errorf("task %d waits for %s, want at least %s", i, age, waited)
			}
		}
	})
}

func TestMemoryOfEachNode(t *testing.T) {
	cluster := testenv.Cluster(t, false)
	s, _ := open(t, Options{Cluster: cluster.Addrs()})
	nodes, err := s.Memory(t.Context(), "one")
	if err != nil || len(nodes) != len(cluster.Masters) {
		t.Fatalf("%+v, %v", nodes, err)
	}
	server := testenv.Redis(t, testenv.WithConf("maxmemory", "64mb"))
	one, _ := open(t, Options{Network: "tcp", Addr: server.Addr()})
	nodes, err = one.Memory(t.Context(), "one")
	if err != nil || len(nodes) != 1 || nodes[0].Node != "one" || nodes[0].Max != 64<<20 || nodes[0].Used < 1<<16 {
		t.Fatalf("%+v, %v", nodes, err)
	}
	server.Kill()
	if nodes, err = one.Memory(t.Context(), "one"); err == nil || len(nodes) > 0 {
		t.Errorf("a dead server: %+v, %v", nodes, err)
	}
}
