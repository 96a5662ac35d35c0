package dispatch_test

import (
	"context"
	"runtime"
	"slices"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
	"headgate/dispatch/tracking/memory"
)

// actor is a gateway or a worker in the middle of something. Each of its calls of the store and of the
// backend waits until the test lets it go on, or ends it there for good.
type actor struct {
	name  string
	calls bool // it runs a task
	stops chan struct{}
	goes  chan bool
	ended chan struct{}
	dead  bool
}

type actorKey struct{}

// pause is a place at which the actor of ctx may be overtaken, or killed. Without one nothing happens.
func pause(ctx context.Context) {
	a, ok := ctx.Value(actorKey{}).(*actor)
	if !ok {
		return
	}
	if !a.dead {
		a.stops <- struct{}{}
		a.dead = !<-a.goes
	}
	if a.dead {
		runtime.Goexit()
	}
}

// start runs do until its first pause.
func start(name string, calls bool, do func(context.Context)) *actor {
	a := &actor{name: name, calls: calls, stops: make(chan struct{}), goes: make(chan bool), ended: make(chan struct{})}
	go func() {
		defer close(a.ended)
		do(context.WithValue(context.Background(), actorKey{}, a))
	}()
	a.wait()
	return a
}

// wait gives whether the actor still has something to do.
func (a *actor) wait() bool {
	select {
	case <-a.stops:
		return true
	case <-a.ended:
		return false
	}
}

func (a *actor) over() bool {
	select {
	case <-a.ended:
		return true
	default:
		return false
	}
}

// goOn lets the actor make its next call, or kills it before.
func (a *actor) goOn(live bool) bool {
	a.goes <- live
	return a.wait()
}

// staged is a store whose calls pause before and after.
type staged struct {
	*memory.Store
	entered func(id string)
}

func (s staged) Accept(ctx context.Context, a *tracking.Acceptance) (*tracking.IdemRow, error) {
	pause(ctx)
	defer pause(ctx)
	return s.Store.Accept(ctx, a)
}

func (s staged) Claim(ctx context.Context, ref tracking.Ref, seq int, token string, hold time.Duration) (*tracking.Claimed, error) {
	pause(ctx)
	return s.Store.Claim(ctx, ref, seq, token, hold)
}

func (s staged) Apply(ctx context.Context, ref tracking.Ref, expect tracking.Fence, next tracking.Delivery) error {
	pause(ctx)
	defer pause(ctx)
	return s.Store.Apply(ctx, ref, expect, next)
}

func (s staged) Load(ctx context.Context, id string) (*tracking.Dispatch, error) {
	pause(ctx)
	return s.Store.Load(ctx, id)
}

func (s staged) Enter(ctx context.Context, line, id string) (tracking.Place, error) {
	pause(ctx)
	place, err := s.Store.Enter(ctx, line, id)
	s.entered(id)
	return place, err
}

func (s staged) Place(ctx context.Context, line, id string) (tracking.Place, error) {
	pause(ctx)
	return s.Store.Place(ctx, line, id)
}

func (s staged) Leave(ctx context.Context, line, id string) (tracking.Place, error) {
	pause(ctx)
	defer pause(ctx)
	return s.Store.Leave(ctx, line, id)
}

func (s staged) Cancel(ctx context.Context, id, tenant string) (*tracking.Dispatch, error) {
	pause(ctx)
	defer pause(ctx)
	return s.Store.Cancel(ctx, id, tenant)
}

func (s staged) HasLeft(ctx context.Context, ref tracking.Ref) error {
	pause(ctx)
	return s.Store.HasLeft(ctx, ref)
}

// holding is a queue that knows what it holds.
type holding struct{ tasks }

func (q *holding) Ensure(ctx context.Context, t dispatch.Task) (dispatch.Presence, error) {
	if slices.ContainsFunc(q.queued, func(o dispatch.Task) bool { return o.Ref == t.Ref && o.Seq == t.Seq }) {
		return dispatch.Present, nil
	}
	return dispatch.Enqueued, q.Enqueue(ctx, t)
}
