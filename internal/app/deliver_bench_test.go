package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
	"headgate/internal/flow"
	"headgate/internal/obs"
	"headgate/internal/queue"
	"headgate/internal/redisstore"
	"headgate/internal/testenv"
)

// BenchmarkDeliver is what a worker spends on one delivery that is queued, to a backend
// that answers at once. The backend runs in the same process: its processor time counts, too.
func BenchmarkDeliver(b *testing.B) {
	for _, slots := range []int{4, 22} {
		b.Run(fmt.Sprintf("slots-%d", slots), func(b *testing.B) { benchmarkDeliver(b, slots) })
	}
}

func benchmarkDeliver(b *testing.B, slots int) {
	server, url := testenv.Redis(b), benchBackend(b)
	log, _, err := obs.Logger(io.Discard, "json", "info")
	if err != nil {
		b.Fatal(err)
	}
	conn, err := redisstore.Connect(redisstore.Options{Network: "tcp", Addr: server.Addr(), AutoPipeline: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	store := redisstore.New(conn.Shared, conn.Base)
	b.Cleanup(func() { _ = store.Close() })
	if err := store.Prepare(b.Context()); err != nil {
		b.Fatal(err)
	}
	plan, err := target.FromSource("crm", fmt.Appendf(nil, `{"url":%q,"post":"/contacts","limits":{"concurrency":%d,"fair_share":1000000}}`, url, slots))
	if err != nil {
		b.Fatal(err)
	}
	tasks := queue.NewClient(conn.Shared, conn.Base, slog.New(slog.DiscardHandler))
	queueMany(b, dispatch.NewDispatcher(store, tasks), plan)

	engine := target.NewEngine(target.Outgoing{}, log)
	b.Cleanup(engine.Close)
	valves := flow.New(flow.Options{Store: redisstore.NewFlow(conn.Base), Worker: "bench", Log: log})
	valves.Configure(plan)
	metrics := obs.New()
	var left atomic.Int64
	left.Store(int64(b.N))
	done := make(chan struct{})
	runner := &dispatch.Runner{
		Store: store, Queue: tasks, Engine: engine, Log: log, Owner: dispatch.NewOwner(store, log),
		Plans: dispatch.NewPlans(func() map[string]*target.Plan { return map[string]*target.Plan{plan.Name: plan} }, store),
		Observe: func(a dispatch.Attempt) {
			metrics.Run(a)
			valves.Observe(a)
			if a.Delivery.State != tracking.Succeeded {
				b.Errorf("%s: %s", a.Delivery.State, a.Delivery.Message)
			}
			if left.Add(-1) == 0 {
				close(done)
			}
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	var living sync.WaitGroup
	living.Go(func() { runner.Owner.Run(ctx) })
	living.Go(func() { valves.Run(ctx) })
	b.Cleanup(func() { cancel(); living.Wait() })
	w := queue.NewWorker(queue.Options{
		Redis: conn.Base, Shared: conn.Shared, Handler: runner.Run, Log: log, Grace: 3 * time.Second,
		Valve: func(name string) queue.Valve { return valves.Valve(name) },
	})
	b.Cleanup(w.Stop)

	rdb := server.Client(b)
	if err := rdb.ConfigResetStat(b.Context()).Err(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	before := processorTime(b)
	b.ResetTimer()
	if err := w.Serve(plan.Name, slots); err != nil {
		b.Fatal(err)
	}
	<-done
	w.Stop()
	b.StopTimer()
	b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
	stats, err := rdb.InfoMap(b.Context(), "commandstats").Result()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(scriptsOf(b, stats["Commandstats"]["cmdstat_evalsha"])/float64(b.N), "scripts/op")
}

// queueMany accepts one delivery for each round of the benchmark.
func queueMany(b *testing.B, d *dispatch.Dispatcher, plan *target.Plan) {
	b.Helper()
	fanout := &dispatch.Fanout{Route: "contacts", Rule: tracking.DoneAll, Bindings: []dispatch.Binding{{Plan: plan}}}
	each(64, b.N, func(int) {
		_, err := d.Accept(b.Context(), fanout, dispatch.Mapped{Payloads: map[string]json.RawMessage{
			plan.Name: []byte(`{"id":"42","email":"ada.lovelace@example.com","name":"Ada Lovelace","city":"London"}`),
		}}, dispatch.Intake{Tenant: "acme", Retention: time.Minute})
		if err != nil {
			b.Error(err)
		}
	})
}

func benchBackend(b *testing.B) (url string) {
	b.Helper()
	backend := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	b.Cleanup(backend.Close)
	return backend.URL
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func scriptsOf(b *testing.B, stat string) float64 {
	b.Helper()
	var calls float64
	if _, err := fmt.Sscanf(stat, "calls=%f,", &calls); err != nil {
		b.Fatalf("read %q: %v", stat, err)
	}
	return calls
}
