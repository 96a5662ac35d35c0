package dispatch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"headgate/dispatch"
	"headgate/dispatch/fault"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
	"headgate/dispatch/tracking/memory"
)

// model checks what the backend sees.
type model struct {
	*rapid.T
	store     *memory.Store
	clock     *clock
	queue     *holding
	runner    *dispatch.Runner
	dispatch  *dispatch.Dispatcher
	fanout    *dispatch.Fanout
	reconcile *dispatch.Reconciler
	operator  *dispatch.Operator
	coalesces bool
	calm      bool // nothing goes wrong any more

	actors   []*actor
	order    []string          // tracking IDs as they entered their lines
	about    map[string]string // key by tracking ID
	inFlight map[string]string
	sent     map[string]int
}

func (*model) CleanUp(context.Context, *target.Plan, target.Input) {}

// Run implements dispatch.Stepper: the backend.
func (m *model) Run(ctx context.Context, _ *target.Plan, in target.Input) tracking.Event {
	key := m.about[in.Tracking]
	if other := m.inFlight[key]; other != "" {
		m.Fatalf("%s and %s of key %s are sent at a time", other, in.Tracking, key)
	}
	for _, id := range m.order {
		if id == in.Tracking {
			break
		}
		if m.about[id] != key {
			continue
		}
		if before, err := m.store.Load(context.Background(), id); err == nil && !before.Deliveries["crm"].State.Final() {
			m.Fatalf("%s is sent before %s of the same key %s has ended: it is %+v", in.Tracking, id, key, before.Deliveries["crm"])
		}
	}
	m.inFlight[key] = in.Tracking
	defer func() { m.inFlight[key] = "" }()
	pause(ctx)
	m.sent[in.Tracking]++
	if m.calm {
		return succeeded()
	}
	return []tracking.Event{
		succeeded(), succeeded(), again(time.Second), gaveUp,
		tracking.Concluded{State: tracking.Rejected, Reason: fault.Rejected},
	}[rapid.IntRange(0, 4).Draw(m.T, "answer")]
}

func newModel(t *rapid.T, plan *target.Plan) *model {
	m := &model{
		T: t, clock: &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, queue: &holding{}, coalesces: plan.Order.Coalesces,
		about: map[string]string{}, inFlight: map[string]string{}, sent: map[string]int{},
	}
	m.store = memory.New(m.clock.Now)
	store := staged{m.store, func(id string) {
		if !slices.Contains(m.order, id) {
			m.order = append(m.order, id)
		}
	}}
	log := slog.New(slog.DiscardHandler)
	m.dispatch = dispatch.NewDispatcher(store, m.queue)
	m.fanout = &dispatch.Fanout{Route: "r", Rule: tracking.DoneAll, Bindings: []dispatch.Binding{{Plan: plan}}}
	live := func() map[string]*target.Plan { return map[string]*target.Plan{"crm": plan} }
	m.runner = &dispatch.Runner{Store: store, Queue: m.queue, Engine: m, Log: log, Owner: dispatch.NewOwner(m.store, log), Plans: dispatch.NewPlans(live, m.store)}
	m.operator = &dispatch.Operator{Store: store, Queue: m.queue, Plans: m.runner.Plans, Log: log}
	m.reconcile = &dispatch.Reconciler{
		Store: store, Queue: m.queue, Log: log, Owner: m.runner.Owner, Targets: func() []string { return []string{"crm"} },
		Interval: time.Second, Grace: 5 * time.Second, QueuedAge: 10 * time.Second,
	}
	return m
}

// accept begins a request. Its entering a line is what its place in the order is.
func (m *model) accept(key string) {
	mapped := dispatch.Mapped{Payloads: map[string]json.RawMessage{"crm": []byte(`{}`)}, Keys: map[string]string{"crm": key}}
	var a *actor
	before := len(m.order)
	a = start("accept "+key, false, func(ctx context.Context) {
		_, _ = m.dispatch.Accept(ctx, m.fanout, mapped, dispatch.Intake{Tenant: "t", Retention: 1000 * time.Hour})
	})
	if !a.over() { // up to where it has entered
		for len(m.order) == before && a.goOn(true) {
		}
	}
	if len(m.order) > before {
		m.about[m.order[before]] = key
	}
	m.actors = append(m.actors, a)
}

// work begins the run of a task whose time has come.
func (m *model) work(n int) {
	if len(m.queue.queued) == 0 {
		return
	}
	n %= len(m.queue.queued)
	task := m.queue.queued[n]
	if task.After > 0 {
		m.advance(task.After)
		task.After = 0
	}
	m.queue.queued = slices.Delete(m.queue.queued, n, n+1)
	m.actors = append(m.actors, start("run "+task.Tracking, true, func(ctx context.Context) { _ = m.runner.Run(ctx, task) }))
}

// advance lets time pass, but not so much that a run which lives is taken over: its process would have
// ended its call before.
func (m *model) advance(d time.Duration) {
	for _, a := range m.actors {
		if a.calls && !a.over() {
			d = min(d, time.Millisecond)
		}
	}
	m.clock.Add(d)
}

func (m *model) step(n int, live bool) {
	if len(m.actors) == 0 {
		return
	}
	n %= len(m.actors)
	a := m.actors[n]
	if a.over() || !a.goOn(live) {
		m.actors = slices.Delete(m.actors, n, n+1)
	}
}

func (m *model) look() {
	m.actors = append(m.actors, start("look", false, func(ctx context.Context) { _ = m.reconcile.Look(ctx) }))
}

// cancel begins to cancel one of those that were accepted.
func (m *model) cancel(n int) {
	if len(m.order) == 0 {
		return
	}
	id := m.order[n%len(m.order)]
	m.actors = append(m.actors, start("cancel", false, func(ctx context.Context) {
		_, _ = m.operator.Cancel(ctx, id, "t")
	}))
}

// settle lets all that has begun come to its end; what comes of a crash is noticed by and by.
func (m *model) settle(crashes bool) {
	m.calm = true
	began := m.clock.Now()
	for round := 0; ; round++ {
		for len(m.actors) > 0 {
			m.step(0, true)
		}
		if len(m.queue.queued) > 0 {
			m.work(0)
			continue
		}
		rows, err := m.store.Overdue(context.Background(), -10000*time.Hour, 100)
		if len(rows) == 0 && err == nil && m.open() == 0 {
			return
		}
		if took := m.clock.Now().Sub(began); round > 3000 || took > 3*time.Minute && !crashes {
			m.Fatalf("%d are open and nothing moves; rows: %+v, %v", m.open(), rows, err)
		}
		m.clock.Add(20 * time.Second)
		m.look()
	}
}

func (m *model) open() (n int) {
	for _, id := range m.order {
		if d, err := m.store.Load(context.Background(), id); err == nil && !d.Deliveries["crm"].State.Final() {
			n++
		}
	}
	return n
}

// TestOrderHolds: whatever is overtaken by whatever, and whoever dies where, per key one is sent after
// the other in the order in which they were accepted, and none is forgotten.
func TestOrderHolds(t *testing.T) {
	for more, crashes := range map[string]bool{"": false, " ": true, ", coalesce: latest": false, ", coalesce: latest ": true} {
		plan := compile(t, "crm", `{url: "https://h", post: /x, retry: {within: 1000h}, order: {key: "${{ .payload.id }}"`+more+`}}`)
		for round := range 3 {
			t.Run(fmt.Sprint(strings.TrimSpace(more), " crashes ", crashes, " ", round), func(t *testing.T) {
				rapid.Check(t, func(t *rapid.T) { newModel(t, plan).play(t, crashes) })
			})
		}
	}
}

// play lets anything happen, and then all come to its end.
func (m *model) play(t *rapid.T, crashes bool) {
	defer func() { // also when it has failed: nobody is left behind
		for _, a := range m.actors {
			for !a.over() && a.goOn(false) {
			}
		}
	}()
	may := map[string]func(*rapid.T){
		"accept": func(t *rapid.T) { m.accept(fmt.Sprint("k", rapid.IntRange(0, 1).Draw(t, "key"))) },
		"work":   func(t *rapid.T) { m.work(rapid.IntRange(0, 5).Draw(t, "task")) },
		"step": func(t *rapid.T) {
			for range rapid.IntRange(1, 6).Draw(t, "steps") {
				m.step(rapid.IntRange(0, 5).Draw(t, "actor"), true)
			}
		},
		"look":   func(*rapid.T) { m.look() },
		"cancel": func(t *rapid.T) { m.cancel(rapid.IntRange(0, 9).Draw(t, "which")) },
		"wait": func(t *rapid.T) {
			m.advance(time.Duration(rapid.IntRange(1, 40).Draw(t, "seconds")) * time.Second)
		},
	}
	if crashes {
		may["lose"] = func(*rapid.T) {
			if n := len(m.queue.queued); n > 0 {
				m.queue.queued = slices.Delete(m.queue.queued, n-1, n)
			}
		}
		may["kill"] = func(t *rapid.T) { m.step(rapid.IntRange(0, 5).Draw(t, "actor"), false) }
	}
	t.Repeat(may)
	t.Repeat(may)
	m.settle(crashes)
	m.accept("k0") // what was never accepted is in nobody's way for long
	m.accept("k1")
	m.settle(crashes)
	m.check()
}

// check looks at how all have ended.
func (m *model) check() {
	if n := m.store.Standing(); n != 0 {
		m.Errorf("%d stand in lines after all have ended", n)
	}
	newest := map[string]string{}
	for _, id := range m.order {
		if _, err := m.store.Load(context.Background(), id); err == nil {
			newest[m.about[id]] = id
		}
	}
	for at, id := range m.order {
		record, err := m.store.Load(context.Background(), id)
		if err != nil {
			if m.sent[id] > 0 {
				m.Fatalf("%s was sent and has no record", id)
			}
			continue
		}
		switch d := record.Deliveries["crm"]; {
		case d.State == tracking.Canceled:
		case d.State != tracking.Superseded && m.sent[id] == 0:
			m.Fatalf("%s was never sent: %+v", id, d)
		case d.State != tracking.Superseded:
		case !m.coalesces, id == newest[m.about[id]]:
			m.Fatalf("%s is superseded: %+v", id, d)
		case slices.Index(m.order, d.SupersededBy) <= at || m.about[d.SupersededBy] != m.about[id]:
			m.Fatalf("%s of %s is superseded by %s of %s", id, m.about[id], d.SupersededBy, m.about[d.SupersededBy])
		default:
			if _, err := m.store.Load(context.Background(), d.SupersededBy); err != nil {
				m.Fatalf("%s is superseded by %s, which was never accepted: %v", id, d.SupersededBy, err)
			}
		}
	}
}
