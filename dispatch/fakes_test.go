package dispatch_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"headgate/config/secret"
	"headgate/config/yamlsrc"
	"headgate/dispatch"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
	"headgate/dispatch/tracking/memory"
)

// clock is a time that a test moves by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// tasks is a queue that only remembers: the test decides what is run and what is lost.
type tasks struct {
	mu       sync.Mutex
	queued   []dispatch.Task
	presence dispatch.Presence // what Ensure finds
	oldest   time.Duration
	down     error
}

func (q *tasks) Enqueue(_ context.Context, tasks ...dispatch.Task) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.down != nil {
		return q.down
	}
	q.queued = append(q.queued, tasks...)
	return nil
}

func (q *tasks) Submit(tasks ...dispatch.Task) {
	_ = q.Enqueue(context.Background(), tasks...) // what is not queued is for the due rows
}

func (q *tasks) Ensure(ctx context.Context, t dispatch.Task) (dispatch.Presence, error) {
	if q.presence == dispatch.Enqueued {
		return dispatch.Enqueued, q.Enqueue(ctx, t)
	}
	return q.presence, nil
}

func (q *tasks) OldestPending(context.Context, dispatch.Task) (time.Duration, error) {
	return q.oldest, nil
}

// take empties the queue.
func (q *tasks) take() []dispatch.Task {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := q.queued
	q.queued = nil
	return out
}

// steps is an engine that answers what the test says, in turn; the last one stays.
type steps struct {
	events []tracking.Event
	ran    []target.Input
	during func()
	answer func(targetInput) tracking.Event // instead of events

	cleaned []target.Input
}

type targetInput = target.Input

func (s *steps) Run(_ context.Context, _ *target.Plan, in target.Input) tracking.Event {
	s.ran = append(s.ran, in)
	if s.answer != nil {
		return s.answer(in)
	}
	e := s.events[0]
	if len(s.events) > 1 {
		s.events = s.events[1:]
	}
	if s.during != nil {
		s.during()
	}
	return e
}

func (s *steps) CleanUp(_ context.Context, _ *target.Plan, in target.Input) {
	s.cleaned = append(s.cleaned, in)
	if s.during != nil {
		s.during()
	}
}

// world is a dispatcher, a runner and a reconciler on a store in memory.
type world struct {
	clock      *clock
	store      *memory.Store
	queue      *tasks
	steps      *steps
	live       map[string]*target.Plan
	dispatcher *dispatch.Dispatcher
	runner     *dispatch.Runner
	reconciler *dispatch.Reconciler
	fanout     *dispatch.Fanout
}

func newWorld(t *testing.T, events ...tracking.Event) *world {
	t.Helper()
	w := &world{clock: &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, queue: &tasks{}, steps: &steps{events: events}}
	w.store = memory.New(w.clock.Now)
	plan := compile(t, "crm", `{url: "https://crm.example", post: /contacts}`)
	w.live = map[string]*target.Plan{"crm": plan}
	w.rewire()
	w.fanout = &dispatch.Fanout{Route: "contacts", Rule: tracking.DoneAll, Bindings: []dispatch.Binding{{Plan: plan}}}
	return w
}

// rewire makes the parts anew, on the world's store.
func (w *world) rewire() {
	log := slog.New(slog.DiscardHandler)
	w.dispatcher = dispatch.NewDispatcher(w.store, w.queue)
	w.runner = &dispatch.Runner{
		Store: w.store, Queue: w.queue, Engine: w.steps, Log: log, Owner: dispatch.NewOwner(w.store, log),
		Plans: dispatch.NewPlans(func() map[string]*target.Plan { return w.live }, w.store),
	}
	w.reconciler = &dispatch.Reconciler{
		Store: w.store, Queue: w.queue, Log: log, Owner: w.runner.Owner, Targets: func() []string { return []string{"crm"} },
		Interval: time.Second, Grace: 5 * time.Second, QueuedAge: 10 * time.Second,
	}
}

func compile(t *testing.T, name, text string) *target.Plan {
	t.Helper()
	var report yamlsrc.Report
	plan := target.Compile(name, yamlsrc.Parse("t.yaml", []byte(text), &report), secret.Access{}, &report)
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	return plan
}

// accept sends one request and gives its reference and first task.
func (w *world) accept(t *testing.T, in dispatch.Intake) dispatch.Receipt {
	t.Helper()
	in.Retention = time.Hour
	receipt, err := w.dispatcher.Accept(t.Context(), w.fanout, dispatch.Mapped{Payloads: map[string]json.RawMessage{"crm": []byte(`{"a":1}`)}}, in)
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

// one accepts a request and takes its only task out of the queue.
func (w *world) one(t *testing.T) dispatch.Task {
	t.Helper()
	w.accept(t, dispatch.Intake{Tenant: "t"})
	return w.only(t)
}

func (w *world) only(t *testing.T) dispatch.Task {
	t.Helper()
	got := w.queue.take()
	if len(got) != 1 {
		t.Fatalf("%d tasks queued, want one: %+v", len(got), got)
	}
	return got[0]
}

// run runs a task when its time has come.
func (w *world) run(t *testing.T, task dispatch.Task) {
	t.Helper()
	w.clock.Add(task.After)
	if err := w.runner.Run(t.Context(), task); err != nil {
		t.Fatal(err)
	}
}

// stopped runs a task in a worker that is stopped during the call: what the call came to is
// recorded, and what is left to be done is in the queue.
func (w *world) stopped(t *testing.T, task dispatch.Task) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	w.steps.during = stop
	w.clock.Add(task.After)
	if err := w.runner.Run(ctx, task); err != nil {
		t.Fatal(err)
	}
	w.steps.during = nil
}

func (w *world) look(t *testing.T) {
	t.Helper()
	if err := w.reconciler.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (w *world) delivery(t *testing.T, task dispatch.Task) tracking.Delivery {
	t.Helper()
	d, err := w.store.Load(t.Context(), task.Tracking)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(d.Targets, func(r tracking.TargetRef) bool { return r.Name == task.Target }) {
		t.Fatalf("the record does not know %s", task.Target)
	}
	return d.Deliveries[task.Target]
}
