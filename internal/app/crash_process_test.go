package app_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"sync"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
)

// mortal is a process, gateway and worker in one, that can die between any two things that it
// does to the world outside: a change of the store, a task queued, a call to the backend. What
// the next one would have been is then never done, and no goroutine of it does any other.
type mortal struct {
	world  *crashWorld
	dead   chan struct{} // closed when it dies
	cancel context.CancelFunc
	live   sync.WaitGroup

	dispatcher *dispatch.Dispatcher
	runner     *dispatch.Runner
	engine     *target.Engine
}

// start makes a process and lets it run.
func (w *crashWorld) start() {
	ctx, cancel := context.WithCancel(context.Background())
	p := &mortal{world: w, dead: make(chan struct{}), cancel: cancel}
	store, queue, log := mortalStore{w.store, p}, mortalQueue{p}, slog.New(slog.DiscardHandler)
	live := func() map[string]*target.Plan { return map[string]*target.Plan{w.plan.Name: w.plan} }
	p.engine = target.NewEngine(target.Outgoing{Transport: mortalWire{p}, Guarded: mortalWire{p}, Tokens: w.tokens}, log)
	p.dispatcher = dispatch.NewDispatcher(store, queue)
	p.runner = &dispatch.Runner{
		Store: store, Queue: queue, Plans: dispatch.NewPlans(live, store), Engine: p.engine,
		Owner: dispatch.NewOwner(store, log), Log: log, Ripening: &dispatch.Ripening{Store: store, Queue: queue},
	}
	reconciler := &dispatch.Reconciler{
		Store: store, Queue: queue, Log: log, Owner: p.runner.Owner, Targets: func() []string { return []string{w.plan.Name} },
	}
	p.live.Go(func() { p.runner.Owner.Run(ctx) })
	p.live.Go(func() { reconciler.Run(ctx) })
	p.live.Go(func() { p.work(ctx) })
	w.process = p
}

// work runs tasks, one at a time, so that the same things are done in the same order each time.
func (p *mortal) work(ctx context.Context) {
	for {
		w := p.world.queue.take(ctx, p.dead)
		if w == nil {
			return
		}
		err := p.runner.Run(ctx, w.Task)
		p.alive()
		p.world.queue.done(w, err)
	}
}

// step is the moment before something is done to the world outside.
func (p *mortal) step(what string) {
	p.alive()
	if p.world.dies(what) {
		close(p.dead)
		runtime.Goexit()
	}
}

// alive ends the goroutine of a dead process.
func (p *mortal) alive() {
	select {
	case <-p.dead:
		runtime.Goexit()
	default:
	}
}

// bury ends what is left of a process, dead or not: goroutines that wait.
func (p *mortal) bury() {
	p.cancel()
	p.runner.Ripening.Stop()
	p.live.Wait()
	p.engine.Close()
}

// mortalQueue is the queue as a process sees it.
type mortalQueue struct{ *mortal }

func (q mortalQueue) Enqueue(_ context.Context, tasks ...dispatch.Task) error {
	q.Submit(tasks...)
	return nil
}

func (q mortalQueue) Submit(tasks ...dispatch.Task) {
	for _, t := range tasks {
		q.step("queue a task")
		q.world.queue.add(t)
	}
}

func (q mortalQueue) Ensure(_ context.Context, t dispatch.Task) (dispatch.Presence, error) {
	q.alive()
	return q.world.queue.ensure(t), nil
}

func (q mortalQueue) OldestPending(_ context.Context, t dispatch.Task) (time.Duration, error) {
	return q.world.queue.oldest(t), nil
}

// mortalWire carries the calls of a process to the backend. One that dies before the answer
// comes is one that dies before what it does next.
type mortalWire struct{ *mortal }

func (n mortalWire) RoundTrip(r *http.Request) (*http.Response, error) {
	n.step(r.Method + " " + r.URL.Path)
	in := r.Clone(r.Context())
	in.RequestURI, in.RemoteAddr = r.URL.RequestURI(), "192.0.2.1:1234"
	u, err := url.ParseRequestURI(in.RequestURI)
	if err != nil {
		return nil, err
	}
	in.URL = u
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	defer func() { _ = in.Body.Close() }()
	answer := httptest.NewRecorder()
	n.world.vendor.ServeHTTP(answer, in)
	out := answer.Result()
	out.Request = r
	if r.Method == http.MethodHead {
		out.Body = io.NopCloser(http.NoBody)
	}
	return out, nil
}

// mortalStore is the store as a process sees it. What the real one does by a script for each
// shard is done here for each delivery, so that a process can die half-way through.
type mortalStore struct {
	tracking.Store
	p *mortal
}

func (s mortalStore) Accept(ctx context.Context, a *tracking.Acceptance) (*tracking.IdemRow, error) {
	s.p.step("accept")
	return s.Store.Accept(ctx, a)
}

func (s mortalStore) SavePlan(ctx context.Context, hash string, source []byte) error {
	s.p.step("save the plan")
	return s.Store.SavePlan(ctx, hash, source)
}

func (s mortalStore) Claim(ctx context.Context, ref tracking.Ref, seq int, token string, hold time.Duration) (*tracking.Claimed, error) {
	s.p.step("claim")
	return s.Store.Claim(ctx, ref, seq, token, hold)
}

func (s mortalStore) Apply(ctx context.Context, ref tracking.Ref, expect tracking.Fence, next tracking.Delivery) error {
	s.p.step("apply " + string(next.State))
	return s.Store.Apply(ctx, ref, expect, next)
}

func (s mortalStore) ApplyWait(ctx context.Context, ref tracking.Ref, expect tracking.Fence, next, sooner tracking.Delivery) (bool, error) {
	s.p.step("apply " + string(next.State))
	return s.Store.ApplyWait(ctx, ref, expect, next, sooner)
}

func (s mortalStore) ApplyAll(ctx context.Context, target string, changes []tracking.Change) error {
	for i := range changes {
		s.p.step("apply to a member")
		if err := s.Store.ApplyAll(ctx, target, changes[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (s mortalStore) Join(ctx context.Context, ref tracking.Ref, g tracking.Gathering) (tracking.Joined, error) {
	s.p.step("join")
	return s.Store.Join(ctx, ref, g)
}

func (s mortalStore) Seal(ctx context.Context, batch tracking.Ref, last int) ([]string, error) {
	s.p.step("seal")
	return s.Store.Seal(ctx, batch, last)
}

func (s mortalStore) Board(ctx context.Context, batch tracking.Ref, ids []string, send bool) ([]tracking.Member, error) {
	if !send {
		return s.Store.Board(ctx, batch, ids, send)
	}
	var out []tracking.Member
	for i := range ids {
		s.p.step("board")
		one, err := s.Store.Board(ctx, batch, ids[i:i+1], send)
		if err != nil {
			return nil, err
		}
		out = append(out, one...)
	}
	return out, nil
}

func (s mortalStore) Judge(ctx context.Context, batch tracking.Ref, ends map[string]tracking.End, keep time.Duration) error {
	s.p.step("judge")
	return s.Store.Judge(ctx, batch, ends, keep)
}

func (s mortalStore) Launch(ctx context.Context, batch tracking.Ref, most int) (bool, error) {
	s.p.step("launch")
	return s.Store.Launch(ctx, batch, most)
}

func (s mortalStore) Land(ctx context.Context, batch tracking.Ref) (string, error) {
	s.p.step("land")
	return s.Store.Land(ctx, batch)
}

func (s mortalStore) Settled(ctx context.Context, batch tracking.Ref, ids []string) error {
	s.p.step("settled")
	return s.Store.Settled(ctx, batch, ids)
}

func (s mortalStore) Beat(ctx context.Context, owner string) error {
	s.p.alive()
	return s.Store.Beat(ctx, owner)
}

func (s mortalStore) Touch(ctx context.Context, row tracking.Row) error {
	s.p.alive()
	return s.Store.Touch(ctx, row)
}

func (s mortalStore) Forget(ctx context.Context, owner string) error {
	s.p.alive()
	return s.Store.Forget(ctx, owner)
}
