package dispatch

import (
	"context"
	"errors"
	"time"

	"headgate/dispatch/tracking"
)

// claim tries until the store answers: whether a claim whose answer was lost was made is
// found out by making it again with the same token.
func (r *Runner) claim(ctx context.Context, t Task, token string, hold time.Duration) (*tracking.Claimed, error) {
	return patient(ctx, func() (*tracking.Claimed, error) { return r.Store.Claim(ctx, t.Ref, t.Seq, token, hold) })
}

// patient asks the store until it answers, or ctx ends.
func patient[T any](ctx context.Context, ask func() (T, error)) (T, error) {
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		answer, err := ask()
		if !errors.Is(err, tracking.ErrUnavailable) {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return answer, err
		case <-time.After(pause):
		}
	}
}

// apply writes down what a step came to: the backend's answer is known only here, so it
// tries until the store answers, however long that takes. It gives up when somebody else
// changed the delivery, or a moment after the worker is stopped.
func (r *Runner) apply(ctx context.Context, ref tracking.Ref, claimed *tracking.Claimed, next tracking.Delivery) error {
	return r.write(ctx, ref, func(ctx context.Context) error {
		return r.Store.Apply(ctx, ref, claimed.Delivery.Fence, next)
	})
}

// outlasting gives a context that ends a moment after ctx: for what the backend's answer depends on.
func outlasting(ctx context.Context) (_ context.Context, release func()) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(applyGrace, cancel) })
	return out, func() { stop(); cancel() }
}

// write tries until the store answers, or a moment after the worker is stopped. It tells of what it
// could not write; the rows of the delivery bring that about later.
func (r *Runner) write(ctx context.Context, ref tracking.Ref, write func(context.Context) error) error {
	stopping, release := outlasting(ctx)
	defer release()
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := write(stopping)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, tracking.ErrFenced), errors.Is(err, tracking.ErrNotFound):
			r.Log.WarnContext(ctx, "a run came too late", "tracking_id", ref.Tracking, "target", ref.Target, "error", err)
			return err
		case errors.Is(err, tracking.ErrInvalid):
			r.Log.ErrorContext(ctx, "an outcome breaks the rules of the record", "tracking_id", ref.Tracking, "target", ref.Target, "error", err)
			return err
		}
		select {
		case <-stopping.Done():
			r.Log.ErrorContext(ctx, "what follows from a run could not be written while the worker was stopped; the reconciler sees to it",
				"tracking_id", ref.Tracking, "target", ref.Target, "error", err)
			return err
		case <-time.After(pause):
		}
	}
}

// giveBack ends a claim without an outcome, so that the delivery goes on elsewhere. It
// does so also when ctx has ended: a worker that stops hands over what it holds. What made
// the run fail often hits the giving back as well, and a claim that nobody gives back holds
// the delivery up until it ends: so it tries, as apply does, until the store answers.
func (r *Runner) giveBack(ctx context.Context, ref tracking.Ref, d tracking.Delivery, cause error) error {
	r.Log.InfoContext(ctx, "delivery handed back", "tracking_id", ref.Tracking, "target", ref.Target, "cause", cause)
	next := tracking.TakeOver(d)
	if err := r.write(ctx, ref, func(ctx context.Context) error { return r.Store.Apply(ctx, ref, d.Fence, next) }); err != nil {
		return nil //nolint:nilerr // told in write; the claim ends by itself and the due row brings the delivery back
	}
	r.enqueue(ctx, taskOf(ref, next, time.Time{}))
	return nil
}

// goOn has a delivery that waits run now. Whoever moved it meanwhile has seen to it. Its task is queued
// also when the store does not say whether it was done: who tries again finds a delivery that does not
// wait, and the task of one that does is ahead of the record and ends without doing anything. What
// cannot be queued is left to the reconciler, whose rows tell of it.
func goOn(ctx context.Context, store tracking.Store, queue Queue, ref tracking.Ref, d tracking.Delivery) error {
	next := tracking.TakeOver(d)
	err := store.Apply(ctx, ref, d.Fence, next)
	if moved(err) {
		return nil
	}
	if err == nil || errors.Is(err, tracking.ErrUnavailable) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), applyGrace)
		defer cancel()
		_ = queue.Enqueue(ctx, taskOf(ref, next, time.Time{}))
	}
	return err
}

// putBack ends a claim that came before the delivery's time: the clock of some host is
// off, and the queue goes by the clocks of hosts. No task is queued, for it would come too
// early again; the due row, which goes by the store's clock, brings the delivery back.
func (r *Runner) putBack(ctx context.Context, ref tracking.Ref, d tracking.Delivery, early time.Duration) {
	r.Log.WarnContext(ctx, "a task came before its time and is put back; are the clocks of all hosts right?",
		"tracking_id", ref.Tracking, "target", ref.Target, "early_ms", early.Milliseconds())
	_ = r.write(ctx, ref, func(ctx context.Context) error { // told in write; the claim ends by itself and the due row does it all the same
		return r.Store.Apply(ctx, ref, d.Fence, tracking.PutBack(d))
	})
}

// repair makes sure that the task which the record calls for is in the queue: a task
// behind the record shows that a worker may have died between its two writes.
func (r *Runner) repair(ctx context.Context, ref tracking.Ref, d tracking.Delivery) error {
	if d.State.Final() || d.Phase == tracking.Running || d.Phase == tracking.Gathered || d.Parked() {
		return nil
	}
	return r.Queue.Enqueue(ctx, taskOf(ref, d, time.Now()))
}

func (r *Runner) enqueue(ctx context.Context, t Task) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), applyGrace)
	defer cancel()
	if err := r.Queue.Enqueue(ctx, t); err != nil {
		r.Log.WarnContext(ctx, "next task not queued; the reconciler will", "tracking_id", t.Tracking, "target", t.Target, "error", err)
	}
}
