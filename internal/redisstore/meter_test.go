package redisstore

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/internal/testenv"
)

// trips gathers what an Observer is told.
type trips struct {
	mu   sync.Mutex
	n    map[string]int
	long time.Duration
}

func (m *trips) observe(pipeline bool, took time.Duration, failed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.n == nil {
		m.n = map[string]int{}
	}
	m.n[fmt.Sprintf("pipeline %t, failed %t", pipeline, failed)]++
	m.long = max(m.long, took)
}

// since gives what was told since the last call.
func (m *trips) since() (n map[string]int, long time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, long = m.n, m.long
	m.n, m.long = nil, 0
	return n, long
}

const (
	goodCommand  = "pipeline false, failed false"
	badCommand   = "pipeline false, failed true"
	goodPipeline = "pipeline true, failed false"
	badPipeline  = "pipeline true, failed true"
)

// Every way to Redis is measured, once.
func TestRoundTripsAreMeasured(t *testing.T) {
	server, cluster := testenv.Redis(t), testenv.Cluster(t, false)
	for name, o := range map[string]Options{
		"plain":         {Network: "tcp", Addr: server.Addr()},
		"auto-pipeline": {Network: "tcp", Addr: server.Addr(), AutoPipeline: true},
		"cluster":       {Cluster: cluster.Addrs(), AutoPipeline: true},
	} {
		t.Run(name, func(t *testing.T) {
			var told trips
			o.Observe = told.observe
			_, conn := open(t, o)
			ctx := t.Context()
			must(t, conn.Base.Set(ctx, "warm", "up", 0).Err()) // a cluster is asked who there is
			sharedGood := goodCommand
			if conn.Shared != conn.Base {
				sharedGood = goodPipeline
			}
			expect := func(what, kind string, times int, do func()) {
				t.Helper()
				told.since()
				do()
				if got, _ := told.since(); got[kind] != times || len(got) != 1 {
					t.Errorf("%s: %v, want %d times %s", what, got, times, kind)
				}
			}
			expect("a command", goodCommand, 1, func() { must(t, conn.Base.Set(ctx, "a", 1, 0).Err()) })
			expect("a pipeline", goodPipeline, 1, func() {
				p := conn.Base.Pipeline()
				p.Get(ctx, "a")
				p.Get(ctx, "{a}none")
				_, _ = p.Exec(ctx)
			})
			expect("a shared one", sharedGood, 1, func() { must(t, conn.Shared.Get(ctx, "a").Err()) })
			expect("nothing there", goodCommand, 1, func() { _ = conn.Base.Get(ctx, "none").Err() })
			expect("a script that is not there", goodCommand, 1, func() { _ = conn.Base.EvalSha(ctx, "0000000000000000000000000000000000000000", []string{"a"}).Err() })
			expect("what cannot be done", badCommand, 1, func() { _ = conn.Base.Eval(ctx, "return redis.error_reply('OOM no room')", []string{"a"}).Err() })
			expect("what cannot be done, in a pipeline", badPipeline, 1, func() {
				p := conn.Base.Pipeline()
				p.Get(ctx, "{a}none")
				p.Eval(ctx, "return redis.error_reply('OOM no room')", []string{"a"})
				_, _ = p.Exec(ctx)
			})
			expect("a wait that the caller ends", goodCommand, 1, func() {
				ended, end := context.WithCancel(ctx)
				end()
				_ = conn.Base.Get(ended, "a").Err()
			})
			// What waits by intention goes over other connections.
			told.since()
			sub := conn.Base.Subscribe(ctx, "channel")
			_, err := sub.ReceiveTimeout(ctx, 5*time.Second) // the confirmation
			must(t, err)
			_, _ = sub.ReceiveTimeout(ctx, 50*time.Millisecond)
			_ = sub.Close()
			if got, long := told.since(); long > 40*time.Millisecond {
				t.Errorf("a subscription is measured: %v, %s", got, long)
			}
			if p := conn.Pool(); p.Idle == 0 || p.Timeouts != 0 {
				t.Errorf("the pool is %+v", p)
			}
		})
	}
}

// Failures of the connection are told of whichever way a command goes, and the pairing of lots
// with their answers survives them.
func TestLostRoundTripsAreTold(t *testing.T) {
	server := testenv.Redis(t)
	var told trips
	_, conn := open(t, Options{Network: "tcp", Addr: server.Addr(), AutoPipeline: true, Observe: told.observe})
	load := func(n int) (failed int) {
		var all sync.WaitGroup
		var mu sync.Mutex
		for range n {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := conn.Shared.Incr(ctx, "n").Err(); err != nil {
					mu.Lock()
					failed++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		return failed
	}
	if failed := load(200); failed > 0 {
		t.Fatalf("%d failed", failed)
	}
	if got, _ := told.since(); got[goodPipeline] == 0 || got[badPipeline] != 0 {
		t.Errorf("while all is well: %v", got)
	}
	for range 3 {
		server.Kill()
		if load(50) == 0 {
			t.Error("nothing failed without a server")
		}
		server.Restart()
		testenv.Eventually(t, patience, func() bool { return conn.Base.Ping(t.Context()).Err() == nil && load(1) == 0 }, "it does not come back")
	}
	if got, _ := told.since(); got[badPipeline]+got[badCommand] == 0 {
		t.Errorf("with the server away: %v", got)
	}
	load(200)
	if got, long := told.since(); got[goodPipeline] == 0 || long > time.Second {
		t.Errorf("afterwards: %v, %s: an answer is taken for that of a lot long ago", got, long)
	}
	meter := conn.root.(*redis.Client).Options().Limiter.(*flowMeter)
	meter.mu.Lock()
	defer meter.mu.Unlock()
	if len(meter.sent) != 0 {
		t.Errorf("%d lots are waited for that nobody will answer", len(meter.sent))
	}
}
