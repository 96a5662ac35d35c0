package dispatch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
	"headgate/dispatch/tracking/memory"
)

// timedQueue is a queue with a clock: what it holds is run when its time has come, once for an ID.
type timedQueue struct {
	*flicker
	mu      sync.Mutex
	tasks   []timed
	running *dispatch.Task
	more    chan struct{}
}

type timed struct {
	dispatch.Task
	due time.Time
}

func same(one, other dispatch.Task) bool { return one.Ref == other.Ref && one.Seq == other.Seq }

func (q *timedQueue) add(tasks ...dispatch.Task) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, t := range tasks {
		if q.running != nil && same(*q.running, t) || slices.ContainsFunc(q.tasks, func(o timed) bool { return same(o.Task, t) }) {
			continue
		}
		q.tasks = append(q.tasks, timed{t, time.Now().Add(t.After)})
	}
	select {
	case q.more <- struct{}{}:
	default:
	}
}

func (q *timedQueue) Submit(tasks ...dispatch.Task) { _ = q.Enqueue(context.Background(), tasks...) }

func (q *timedQueue) Enqueue(_ context.Context, tasks ...dispatch.Task) error {
	return q.call("enqueue", func() error { q.add(tasks...); return nil })
}

func (q *timedQueue) Ensure(_ context.Context, t dispatch.Task) (found dispatch.Presence, err error) {
	return ask(q.flicker, "ensure", func() (dispatch.Presence, error) {
		q.mu.Lock()
		i := slices.IndexFunc(q.tasks, func(o timed) bool { return same(o.Task, t) })
		if q.running != nil && same(*q.running, t) {
			found = dispatch.Taken
		} else if i >= 0 && !q.tasks[i].due.After(time.Now()) {
			found = dispatch.Present
		} else if i >= 0 {
			q.tasks = slices.Delete(q.tasks, i, i+1)
		}
		q.mu.Unlock()
		if found == dispatch.Enqueued {
			q.add(t)
		}
		return found, nil
	})
}

func (q *timedQueue) OldestPending(context.Context, dispatch.Task) (time.Duration, error) {
	return ask(q.flicker, "oldest", func() (oldest time.Duration, _ error) {
		q.mu.Lock()
		defer q.mu.Unlock()
		for _, t := range q.tasks {
			oldest = max(oldest, time.Since(t.due))
		}
		return oldest, nil
	})
}

// take gives the task that is due at the time now, or in how long there may be one.
func (q *timedQueue) take(now time.Time) (t dispatch.Task, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.tasks) == 0 {
		return t, time.Second
	}
	first := slices.MinFunc(q.tasks, func(a, b timed) int { return a.due.Compare(b.due) })
	if wait = first.due.Sub(now); wait > 0 {
		return t, min(wait, time.Second)
	}
	wait = 0
	q.tasks = slices.DeleteFunc(q.tasks, func(o timed) bool { return same(o.Task, first.Task) })
	q.running = &first.Task
	return first.Task, wait
}

func (q *timedQueue) done() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running = nil
}

// deafQueue is one that runs cannot put anything into: only the reconciler brings things on.
type deafQueue struct{ dispatch.Queue }

func (deafQueue) Submit(...dispatch.Task) {}
func (deafQueue) Enqueue(context.Context, ...dispatch.Task) error {
	return errors.New("the queue is away")
}

// trial is a world in a bubble of synctest: its clock is that of the bubble, its reconciler and its
// owner are at work, and there is one worker.
type trial struct {
	*world
	store     *memory.Store
	queue     *timedQueue
	operator  *dispatch.Operator
	callbacks *dispatch.Callbacks
	began     time.Time
	fault     flickerFault

	mu   sync.Mutex
	refs []tracking.Ref
}

// fault is what goes wrong in a trial.
type flickerFault struct {
	store, queue *flicker
	deaf         bool
}

func (f flickerFault) calls() int {
	one := f.store
	if f.queue.from > 0 {
		one = f.queue
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	return one.calls
}

func newTrial(s scenario, plan *target.Plan, fault flickerFault) *trial {
	w := &world{steps: &steps{answer: s.answer}, live: map[string]*target.Plan{"crm": plan}}
	tr := &trial{world: w, store: memory.New(nil), queue: &timedQueue{flicker: fault.queue, more: make(chan struct{}, 1)}, began: time.Now(), fault: fault}
	var queue dispatch.Queue = tr.queue
	if fault.deaf {
		queue = deafQueue{queue}
	}
	store, log := flickering{tr.store, fault.store}, slog.New(slog.DiscardHandler)
	if w.dispatcher = dispatch.NewDispatcher(tr.store, tr.queue); s.doors {
		w.dispatcher = dispatch.NewDispatcher(store, queue)
	}
	tr.callbacks = &dispatch.Callbacks{Store: store, Queue: queue, PublicURL: "https://gate.example", Log: log}
	owner, plans := dispatch.NewOwner(store, log), dispatch.NewPlans(func() map[string]*target.Plan { return w.live }, store)
	w.fanout = &dispatch.Fanout{Route: "contacts", Rule: tracking.DoneAll, Bindings: []dispatch.Binding{{Plan: plan}}}
	w.runner = &dispatch.Runner{
		Store: store, Queue: queue, Plans: plans, Engine: w.steps, Owner: owner, Log: log,
		Ripening: &dispatch.Ripening{Store: store, Queue: queue}, Callbacks: tr.callbacks,
	}
	w.reconciler = &dispatch.Reconciler{Store: store, Queue: tr.queue, Owner: owner, Log: log, Targets: func() []string { return []string{"crm"} }}
	tr.operator = &dispatch.Operator{Store: store, Queue: queue, Plans: plans, Log: log}
	return tr
}

// send accepts a request about a key; its body also says the how manieth it is.
func (tr *trial) send(t *testing.T, key string) tracking.Ref {
	t.Helper()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	body := fmt.Appendf(nil, `{"id":%q,"n":%d}`, key, len(tr.refs))
	mapped, faults := tr.fanout.Map(map[string]any{"tenant": "t"}, json.RawMessage(body))
	if len(faults) > 0 {
		t.Fatal(faults[0])
	}
	for range 10 {
		receipt, err := tr.dispatcher.Accept(t.Context(), tr.fanout, mapped, dispatch.Intake{
			Tenant: "t", Retention: time.Hour, Idem: &dispatch.Idem{Hash: fmt.Sprintf("%064x", len(tr.refs)), Fingerprint: "f", TTL: time.Hour},
		})
		if err == nil {
			ref := tracking.Ref{Tracking: receipt.ID, Target: "crm"}
			tr.refs = append(tr.refs, ref)
			return ref
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Error("it is not accepted")
	return tracking.Ref{}
}

// repeat does what a client does until it has an answer.
func (tr *trial) repeat(t *testing.T, do func() error) {
	t.Helper()
	for range 10 {
		err := do()
		if !errors.Is(err, tracking.ErrUnavailable) {
			if err != nil {
				t.Error(err)
			}
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Error("there is no answer")
}

// came is what a trial came to.
type came struct {
	states         string   // of the deliveries, in the order in which they were accepted
	calls          []string // of the backend, record by record, in no order
	counts         []string // of the deliveries
	ended, emptied time.Duration
	positions      int // calls until then, of what goes wrong
	left           []string
}

// run plays a trial to its end.
func (tr *trial) run(t *testing.T, play func(*testing.T, *trial)) (out came) {
	ctx, stop := context.WithCancel(t.Context())
	var wave sync.WaitGroup
	wave.Go(func() { tr.runner.Owner.Run(ctx) })
	wave.Go(func() { tr.reconciler.Run(ctx) })
	played := make(chan struct{})
	wave.Go(func() { defer close(played); play(t, tr) })
	over := func() bool {
		select {
		case <-played:
			return true
		default:
			return false
		}
	}
	for out.emptied == 0 && time.Since(tr.began) < 5*time.Minute {
		task, wait := tr.queue.take(time.Now())
		if wait == 0 {
			tr.work(ctx, task)
		} else {
			select {
			case <-tr.queue.more:
			case <-time.After(wait):
			}
		}
		if over() && len(tr.store.Leftovers()) == 0 {
			out.emptied, out.positions = time.Since(tr.began), tr.fault.calls()
		}
	}
	for { // what is queued for later still, and does nothing any more
		task, wait := tr.queue.take(time.Now().Add(24 * time.Hour))
		if wait > 0 {
			break
		}
		tr.work(ctx, task)
	}
	stop()
	tr.runner.Ripening.Stop()
	wave.Wait()
	out.left = tr.store.Leftovers()
	tr.sum(t, &out)
	return out
}

func (tr *trial) work(ctx context.Context, task dispatch.Task) {
	err := tr.runner.Run(ctx, task)
	tr.queue.done()
	if err != nil {
		task.After = time.Second
		tr.queue.add(task)
	}
}

func (tr *trial) at(t *testing.T, ref tracking.Ref) tracking.Delivery {
	d, err := tr.store.Load(t.Context(), ref.Tracking)
	if err != nil {
		t.Fatal(err)
	}
	return d.Deliveries[ref.Target]
}

// sum adds up what was called and what is recorded.
func (tr *trial) sum(t *testing.T, out *came) {
	name := map[string]string{}
	for i, ref := range tr.refs {
		d := tr.at(t, ref)
		name[ref.Tracking] = fmt.Sprint(i)
		out.ended = max(out.ended, d.EndedAt.Sub(tr.began))
		out.states = strings.TrimSpace(out.states + " " + string(d.State))
		out.counts = append(out.counts, fmt.Sprintf("%d attempts, %d polls, %d rounds, %d replays", d.Attempts, d.Polls, d.Rounds, d.Replays))
	}
	for _, in := range tr.steps.ran {
		if in.Upload == nil && !tracking.IsBatch(in.Tracking) {
			out.calls = append(out.calls, fmt.Sprintf("%s of %s", in.Delivery.Step, name[in.Tracking]))
			continue
		}
		if in.Upload != nil { // which records go together may be different
			for _, record := range in.Upload.Records {
				out.calls = append(out.calls, fmt.Sprintf("%s %s", in.Delivery.Step, record))
			}
		}
	}
	for range tr.steps.cleaned {
		out.calls = append(out.calls, "clean-up")
	}
	slices.Sort(out.calls)
}

// String says what is the same however late it is.
func (c came) String() string {
	return c.states + "\n" + strings.Join(c.calls, "\n") + "\n" + strings.Join(c.counts, "\n")
}

// until waits until a delivery has come to a state.
func (tr *trial) until(t *testing.T, ref tracking.Ref, want tracking.State) {
	t.Helper()
	for range 1000 {
		if tr.at(t, ref).State == want {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("it does not come to %s but %+v; away:%s %v", want, tr.at(t, ref), tr.fault.store.hit, tr.store.Leftovers())
}
