package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
	"headgate/internal/queue"
	"headgate/internal/redisstore"
	"headgate/internal/testenv"
)

// crowdVar makes TestFreshDeliveryBehindACrowd run with that many deliveries, such as
// 500000, instead of what fits into every run.
const crowdVar = "HEADGATE_TEST_CROWD"

// slowBackend takes a while for each call, and remembers whose they were.
type slowBackend struct {
	mu    sync.Mutex
	calls map[string]int // by tenant
	order int
	seen  chan int // of tenants other than busy: how many calls there had been
}

func (b *slowBackend) Run(ctx context.Context, _ *target.Plan, in target.Input) tracking.Event {
	b.mu.Lock()
	b.calls[in.Tenant]++
	if b.order++; in.Tenant != busy {
		b.seen <- b.order
	}
	b.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-time.After(5 * time.Millisecond):
	}
	return tracking.Concluded{State: tracking.Succeeded}
}

func (b *slowBackend) CleanUp(context.Context, *target.Plan, target.Input) {}

func (b *slowBackend) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.order
}

const (
	busy        = "keys/busy"
	fairTarget  = "crm"
	concurrency = 16
)

// line is everything between an accept and a backend, without HTTP.
type line struct {
	t          *testing.T
	rdb        *redis.Client
	store      *redisstore.Store
	dispatcher *dispatch.Dispatcher
	fanout     *dispatch.Fanout
	worker     *queue.Worker
	backend    *slowBackend
}

func newLine(t *testing.T, limits string) *line {
	t.Helper()
	server, log := testenv.Redis(t), slog.New(slog.DiscardHandler)
	conn, err := redisstore.Connect(redisstore.Options{Network: "tcp", Addr: server.Addr(), AutoPipeline: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	store := redisstore.New(conn.Shared, conn.Base)
	t.Cleanup(func() { _ = store.Close() })
	plan, err := target.FromSource(fairTarget, fmt.Appendf(nil, `{"url":"https://crm.example","post":"/contacts","limits":{%s}}`, limits))
	if err != nil {
		t.Fatal(err)
	}
	l := &line{
		t: t, rdb: server.Client(t), store: store, backend: &slowBackend{calls: map[string]int{}, seen: make(chan int, 100)},
		fanout: &dispatch.Fanout{Route: "contacts", Rule: tracking.DoneAll, Bindings: []dispatch.Binding{{Plan: plan}}},
	}
	tasks := queue.NewClient(conn.Shared, conn.Base, slog.New(slog.DiscardHandler))
	l.dispatcher = dispatch.NewDispatcher(store, tasks)
	runner := &dispatch.Runner{
		Store: store, Queue: tasks, Engine: l.backend, Log: log, Owner: dispatch.NewOwner(store, log),
		Plans: dispatch.NewPlans(func() map[string]*target.Plan { return map[string]*target.Plan{fairTarget: plan} }, store),
	}
	ctx, cancel := context.WithCancel(context.Background())
	var living sync.WaitGroup
	living.Go(func() { runner.Owner.Run(ctx) })
	t.Cleanup(func() { cancel(); living.Wait() })
	l.worker = queue.NewWorker(queue.Options{Redis: l.rdb, Handler: runner.Run, Log: log, Grace: 3 * time.Second})
	t.Cleanup(l.worker.Stop)
	return l
}

func (l *line) accept(tenant string) error {
	_, err := l.dispatcher.Accept(l.t.Context(), l.fanout,
		dispatch.Mapped{Payloads: map[string]json.RawMessage{fairTarget: []byte(`{"email":"ada@example.com"}`)}},
		dispatch.Intake{Tenant: tenant, Retention: time.Minute})
	return err
}

// waiting tells how many tasks wait in a lane: "", ".resume" or ".bulk".
func (l *line) waiting(lane string) int {
	l.t.Helper()
	return int(l.rdb.LLen(l.t.Context(), "asynq:{"+fairTarget+lane+"}:pending").Val())
}

// backlog reads the counts of the busy tenant.
func (l *line) backlog() tracking.Backlog {
	l.t.Helper()
	b, err := l.store.Backlog(l.t.Context(), []tracking.TenantRef{{Target: fairTarget, Tenant: busy}})
	if err != nil {
		l.t.Fatal(err)
	}
	return b
}

// fresh accepts a delivery of another tenant and tells how many others ran before it, and
// how long it took until it did.
func (l *line) fresh(tenant string) (before int, took time.Duration) {
	l.t.Helper()
	began, ran := time.Now(), l.backend.count()
	if err := l.accept(tenant); err != nil {
		l.t.Fatal(err)
	}
	select {
	case order := <-l.backend.seen:
		return order - ran - 1, time.Since(began)
	case <-time.After(time.Minute):
		l.t.Fatal("it does not arrive")
	}
	return 0, 0
}

// TestFreshDeliveryBehindACrowd: one tenant has queued very many deliveries of a target;
// another's arrives soon all the same.
func TestFreshDeliveryBehindACrowd(t *testing.T) {
	crowd := 20_000
	if n, err := strconv.Atoi(os.Getenv(crowdVar)); err == nil {
		crowd = n
	} else {
		t.Logf("with %d deliveries; %s=500000 makes it the full size", crowd, crowdVar)
	}
	const share = 1000
	l := newLine(t, fmt.Sprintf(`"concurrency":%d,"fair_share":%d`, concurrency, share))
	began := time.Now()
	var failed atomic.Value
	each(64, crowd, func(int) {
		if err := l.accept(busy); err != nil {
			failed.Store(err)
		}
	})
	if err := failed.Load(); err != nil {
		t.Fatal(err)
	}
	took, b := time.Since(began), l.backlog()
	t.Logf("%d deliveries of one tenant accepted in %v; redis uses %d bytes for each", crowd, took.Round(time.Millisecond), int(b.Memory.Used)/crowd)
	if n := b.Tenants[tracking.TenantRef{Target: fairTarget, Tenant: busy}]; n != crowd || b.Targets[fairTarget] != crowd {
		t.Errorf("%d of the tenant and %d of the target are counted, want %d", n, b.Targets[fairTarget], crowd)
	}
	const most = (share + tracking.Shards - 1) / tracking.Shards * tracking.Shards
	if own, bulk := l.waiting(""), l.waiting(".bulk"); own > most || own+bulk != crowd {
		t.Fatalf("%d wait in the target's own queue and %d in bulk; of %d at most %d belong into the former", own, bulk, crowd, most)
	}

	if err := l.worker.Serve(fairTarget, concurrency); err != nil {
		t.Fatal(err)
	}
	// At the worst: the tenant's share is still before it, and a tenth as much of bulk comes between.
	var before int
	before, took = l.fresh("keys/first")
	t.Logf("behind all of the share: after %d others, %v", before, took.Round(time.Millisecond))
	if before > most+most/5+2*concurrency {
		t.Errorf("%d deliveries ran before the other tenant's, want about %d at most", before, most)
	}
	testenv.Eventually(t, time.Minute, func() bool { return l.waiting("") == 0 }, "the tenant's share is not delivered")
	var worst time.Duration
	for i := range 20 {
		before, took := l.fresh(fmt.Sprintf("keys/fresh-%d", i))
		if worst = max(worst, took); before > 6*concurrency || took > 2*time.Second {
			t.Errorf("fresh delivery %d: after %d others, %v", i, before, took)
		}
	}
	left := l.waiting(".bulk")
	t.Logf("behind %d deliveries of the other tenant: %v at worst", left, worst.Round(time.Millisecond))
	if left < crowd/4 {
		t.Errorf("only %d are left in bulk: the crowd was gone before it was measured", left)
	}
}
