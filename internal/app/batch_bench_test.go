package app_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch"
	"headgate/dispatch/target"
	"headgate/internal/flow"
	"headgate/internal/obs"
	"headgate/internal/queue"
	"headgate/internal/redisstore"
	"headgate/internal/testenv"
)

// BenchmarkBatch is what a worker spends on one record that goes out in a batch, from its
// queued task to its end. The backend runs in the same process.
func BenchmarkBatch(b *testing.B) {
	for _, records := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("records-%d", records), func(b *testing.B) { benchmarkBatch(b, records) })
	}
}

func benchmarkBatch(b *testing.B, records int) {
	server, url := testenv.Redis(b), discard(b)
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
	plan, err := target.FromSource("crm", fmt.Appendf(nil,
		`{"url":%q,"post":"/contacts","batch":{"max_records":%d,"linger":"3s"},"limits":{"concurrency":64,"fair_share":1000000}}`, url, records))
	if err != nil {
		b.Fatal(err)
	}
	tasks := queue.NewClient(conn.Shared, conn.Base, slog.New(slog.DiscardHandler))
	queueMany(b, dispatch.NewDispatcher(store, tasks), plan)
	engine := target.NewEngine(target.Outgoing{}, log)
	b.Cleanup(engine.Close)
	valves := flow.New(flow.Options{Store: redisstore.NewFlow(conn.Base), Worker: "bench", Log: log})
	valves.Configure(plan)
	runner := &dispatch.Runner{
		Store: store, Queue: tasks, Engine: engine, Log: log, Owner: dispatch.NewOwner(store, log),
		Ripening: &dispatch.Ripening{Store: store, Queue: tasks},
		Plans:    dispatch.NewPlans(func() map[string]*target.Plan { return map[string]*target.Plan{plan.Name: plan} }, store),
		Observe:  valves.Observe,
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
	before, redisBefore := processorTime(b), redisTime(b, rdb)
	b.ResetTimer()
	if err := w.Serve(plan.Name, 64); err != nil {
		b.Fatal(err)
	}
	for {
		open, err := store.OpenPlans(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if len(open) == 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.StopTimer()
	w.Stop()
	b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric((redisTime(b, rdb)-redisBefore)/float64(b.N), "redis-µs/op")
	stats, err := rdb.InfoMap(b.Context(), "commandstats").Result()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(scriptsOf(b, stats["Commandstats"]["cmdstat_evalsha"])/float64(b.N), "scripts/op")
}

// redisTime is the processor time of Redis in µs.
func redisTime(b *testing.B, rdb redis.UniversalClient) float64 {
	b.Helper()
	info, err := rdb.InfoMap(b.Context(), "cpu").Result()
	if err != nil {
		b.Fatal(err)
	}
	var user, system float64
	if _, err := fmt.Sscan(info["CPU"]["used_cpu_user"]+" "+info["CPU"]["used_cpu_sys"], &user, &system); err != nil {
		b.Fatal(err)
	}
	return (user + system) * 1e6
}

func discard(b *testing.B) string {
	b.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // what came is no matter here
	}))
	b.Cleanup(server.Close)
	return server.URL
}
