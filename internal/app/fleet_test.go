package app_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/config/unit"
	"headgate/dispatch"
	"headgate/dispatch/fault"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
	"headgate/internal/flow"
	"headgate/internal/queue"
	"headgate/internal/redisstore"
	"headgate/internal/testenv"
)

// fleet is some workers with one backend, on one Redis.
type fleet struct {
	t     *testing.T
	rdb   *redis.Client
	tasks *queue.Client
	store *redisstore.Flow
	flows []*flow.Flow
	works []*queue.Worker

	ill   atomic.Bool // how the backend answers
	calls atomic.Int64
	most  atomic.Int64 // calls at a time, since the last reset
	now   atomic.Int64
	gate  sync.Mutex // a test that holds it lets calls hang
	seq   int
}

func newFleet(t *testing.T, workers int, plans ...*target.Plan) *fleet {
	t.Helper()
	f := &fleet{t: t, rdb: testenv.Redis(t).Client(t)}
	f.tasks, f.store = queue.NewClient(f.rdb, f.rdb, slog.New(slog.DiscardHandler)), redisstore.NewFlow(f.rdb)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	for i := range workers {
		timing := flow.Defaults()
		timing.Ramp = 300 * time.Millisecond
		fl := flow.New(flow.Options{Store: f.store, Worker: fmt.Sprint("w", i), Log: slog.New(slog.DiscardHandler), Timing: timing})
		w := queue.NewWorker(queue.Options{
			Redis: f.rdb, Log: slog.New(slog.DiscardHandler), Grace: 3 * time.Second,
			Valve:   func(target string) queue.Valve { return fl.Valve(target) },
			Handler: func(ctx context.Context, task dispatch.Task) error { flow.Calls(ctx); f.run(fl, task); return nil },
		})
		t.Cleanup(w.Stop)
		for _, p := range plans {
			fl.Configure(p)
			if err := w.Serve(p.Name, p.Limits.Concurrency); err != nil {
				t.Fatal(err)
			}
		}
		running.Go(func() { fl.Run(ctx) })
		f.flows, f.works = append(f.flows, fl), append(f.works, w)
	}
	return f
}

// run is a run as the runner does it, without a record.
func (f *fleet) run(fl *flow.Flow, task dispatch.Task) {
	began := time.Now()
	if task.Target != "neighbour" {
		f.calls.Add(1)
		now := f.now.Add(1)
		for most := f.most.Load(); now > most && !f.most.CompareAndSwap(most, now); most = f.most.Load() {
		}
		f.gate.Lock()
		f.gate.Unlock() //nolint:staticcheck // it only waits
		<-time.After(2 * time.Millisecond)
		f.now.Add(-1)
	}
	var event tracking.Event = tracking.Concluded{State: tracking.Succeeded}
	if f.ill.Load() && task.Target != "neighbour" {
		event = tracking.AttemptFailed{Fault: &fault.Fault{Reason: fault.Timeout}, Final: true}
	}
	fl.Observe(dispatch.Attempt{Ref: task.Ref, Event: event, Duration: time.Since(began)})
}

func (f *fleet) enqueue(target string, n int) {
	f.t.Helper()
	tasks := make([]dispatch.Task, n)
	for i := range tasks {
		f.seq++
		tasks[i] = dispatch.Task{Ref: tracking.Ref{Tracking: fmt.Sprintf("trk_01%08d", f.seq), Target: target}, Seq: 1}
	}
	if err := f.tasks.Enqueue(f.t.Context(), tasks...); err != nil {
		f.t.Fatal(err)
	}
}

// states gives how a target stands in each worker.
func (f *fleet) states(target string) []flow.State {
	out := make([]flow.State, len(f.flows))
	for i, fl := range f.flows {
		out[i] = fl.Valve(target).State()
	}
	return out
}

func (f *fleet) all(target string, is func(flow.State) bool) bool {
	for _, s := range f.states(target) {
		if !is(s) {
			return false
		}
	}
	return true
}

func (f *fleet) pending(target string) int64 {
	return f.rdb.LLen(f.t.Context(), "asynq:{"+target+"}:pending").Val()
}

// active is how many tasks of the target have been taken out and not put away.
func (f *fleet) active(target string) (n int64) {
	for _, lane := range []string{"", ".resume", ".bulk"} {
		n += f.rdb.LLen(f.t.Context(), "asynq:{"+target+lane+"}:active").Val()
	}
	return n
}

func open(s flow.State) bool   { return s.Breaker == flow.Open && s.OpenFor > 0 }
func closed(s flow.State) bool { return s.Breaker == flow.Closed }

func plan(name string, concurrency int, rate unit.Rate, openFor time.Duration) *target.Plan {
	return &target.Plan{
		Name: name, Limits: target.Limits{Concurrency: concurrency, Rate: rate},
		Breaker: target.Breaker{Failures: 4, OpenFor: unit.Duration(openFor)},
	}
}

var noRate unit.Rate

// One worker's failures shut the target in all of them: no call while the breaker is
// open, one probe by one worker when the time is over, and a rise in steps when it is
// well again. A neighbour does not notice any of it.
func TestBreakerOfTheFleet(t *testing.T) {
	f := newFleet(t, 2, plan("crm", 8, noRate, 3*time.Second), plan("neighbour", 8, noRate, time.Minute))
	f.ill.Store(true)
	f.enqueue("crm", 400)
	testenv.Eventually(t, 10*time.Second, func() bool { return f.all("crm", open) }, "the breaker is not open in all workers")
	// What was taken out before the breaker opened still runs; it has ended when asynq
	// holds nothing as active, twice in a row: a look may have been on its way.
	ended := 0
	testenv.Eventually(t, 5*time.Second, func() bool {
		if f.now.Load() == 0 && f.active("crm") == 0 {
			ended++
		} else {
			ended = 0
		}
		return ended > 1
	}, "runs do not end")
	calls, waiting := f.calls.Load(), f.pending("crm")
	if calls > 60 {
		t.Errorf("%d calls before the breaker was open", calls)
	}
	f.enqueue("neighbour", 20)
	testenv.Eventually(t, 5*time.Second, func() bool { return f.pending("neighbour") == 0 }, "the neighbour is held back")
	if f.calls.Load() != calls || f.pending("crm") != waiting || !f.all("crm", open) {
		t.Fatalf("%d calls while it was open", f.calls.Load()-calls)
	}
	// The probe hangs: nobody else may try meanwhile.
	f.gate.Lock()
	testenv.Eventually(t, 10*time.Second, func() bool { return f.calls.Load() > calls }, "nobody probes")
	probing := func() (n int) {
		for _, s := range f.states("crm") {
			if s.Breaker == flow.HalfOpen {
				n++
			}
		}
		return n
	}
	for until := time.Now().Add(2500 * time.Millisecond); time.Now().Before(until); <-time.After(10 * time.Millisecond) {
		if f.calls.Load() != calls+1 || probing() > 1 {
			break
		}
	}
	if n := f.calls.Load() - calls; n != 1 || probing() != 1 {
		t.Errorf("%d probes by %d workers, want one", n, probing())
	}
	f.gate.Unlock()
	testenv.Eventually(t, 5*time.Second, func() bool { return f.all("crm", open) }, "a failed probe does not open it again")
	if n := f.calls.Load() - calls; n != 1 {
		t.Errorf("%d calls by a failed probe", n)
	}
	f.ill.Store(false)
	f.most.Store(0)
	testenv.Eventually(t, 20*time.Second, func() bool { return f.all("crm", closed) }, "a successful probe does not close it for all")
	if most := f.most.Load(); most > 6 {
		t.Errorf("%d calls at a time right after it was closed: a stampede", most)
	}
	testenv.Eventually(t, 20*time.Second, func() bool { return f.pending("crm") == 0 }, "what waited is not delivered")
	if left := f.rdb.HGetAll(t.Context(), "hg:flow").Val(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// The rate holds for all workers together, and is used.
func TestRateOfAllWorkers(t *testing.T) {
	f := newFleet(t, 2, plan("crm", 8, unit.Rate{Events: 20, Per: time.Second}, time.Minute), plan("neighbour", 8, noRate, time.Minute))
	began := time.Now()
	f.enqueue("crm", 200)
	f.enqueue("neighbour", 200)
	testenv.Eventually(t, 3*time.Second, func() bool { return f.pending("neighbour") == 0 }, "the neighbour is held back")
	testenv.Eventually(t, 30*time.Second, func() bool { return f.calls.Load() >= 60 }, "calls go on")
	calls := f.calls.Load()
	// What came in that time, and what was kept for a moment of being late.
	most := int64(20*time.Since(began).Seconds()) + 5
	if calls > most {
		t.Errorf("%d calls, want at most %d", calls, most)
	}
}

// A paused target takes nothing, and goes on at once when it is resumed; stopping does
// not wait for either.
func TestPauseAndResume(t *testing.T) {
	f := newFleet(t, 2, plan("crm", 8, noRate, time.Minute), plan("neighbour", 8, noRate, time.Minute))
	paused := func(s flow.State) bool { return s.Order.Mode == flow.Halted }
	if err := f.store.Order(t.Context(), "crm", flow.Order{Mode: flow.Halted}); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 3*time.Second, func() bool { return f.all("crm", paused) }, "not all workers see the pause")
	f.enqueue("crm", 50)
	f.enqueue("neighbour", 50)
	testenv.Eventually(t, 5*time.Second, func() bool { return f.pending("neighbour") == 0 }, "the neighbour is held back")
	if n := f.pending("crm"); n != 50 || f.calls.Load() != 0 {
		t.Fatalf("%d pending, %d calls although it is paused", n, f.calls.Load())
	}
	began := time.Now()
	f.works[0].Stop()
	if took := time.Since(began); took > time.Second {
		t.Errorf("stopping took %v", took)
	}
	if n := f.pending("crm"); n != 50 {
		t.Fatalf("%d pending after stopping a worker", n)
	}
	if err := f.store.Order(t.Context(), "crm", flow.Order{}); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 3*time.Second, func() bool { return f.calls.Load() == 50 }, "it does not go on")
}
