package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/target"
	"headgate/dispatch/trace"
	"headgate/dispatch/tracking"
	"headgate/internal/failpoint"
)

// Stepper runs one step of a plan. target.Engine is the one there is; tests of the
// runner have their own.
type Stepper interface {
	Run(ctx context.Context, p *target.Plan, in target.Input) tracking.Event
	CleanUp(ctx context.Context, p *target.Plan, in target.Input)
}

// Attempt is what one run came to, for logs and metrics.
type Attempt struct {
	tracking.Ref
	Step     string
	Event    tracking.Event
	Delivery tracking.Delivery // after the run
	Duration time.Duration
	Waited   time.Duration // from accept to the end of this run
}

// Runner runs tasks: claim, one step, apply, next task.
type Runner struct {
	Store  tracking.Store
	Queue  Queue
	Plans  *Plans
	Engine Stepper
	Owner  *Owner
	Log    *slog.Logger
	// Ripening sends batches to the millisecond; nil: the queue's timer does.
	Ripening *Ripening
	// Callbacks names the URLs under which backends may call back; nil: there are none.
	Callbacks *Callbacks
	// Observe is told of every run; may be nil.
	Observe func(Attempt)
	Trace   trace.Tracer // nil: no spans

	seats seats
}

// applyGrace is how much longer than its step a claim is held: the time to write down
// what the step came to, also while the store is away for a moment.
const applyGrace = 5 * time.Second

// earliness is how long before its time a task may come: the queue keeps whole seconds.
const earliness = 2 * time.Second

// unknownPlanHold is the first claim on a target that the files do not have.
const unknownPlanHold = 30 * time.Second

// Run runs one task. The error, if any, is one of the infrastructure and means that the
// same task should be run again; whatever the backend did is in the record.
func (r *Runner) Run(ctx context.Context, t Task) error {
	settling, err := r.run(ctx, t)
	if settling == nil {
		return err
	}
	// It calls nobody, so it need not stand in the queue, where each task waits for a call's
	// share of the target's rate. A worker that is being stopped leaves it to others.
	if ctx.Err() == nil {
		if _, err := r.run(ctx, *settling); err == nil {
			return nil
		}
	}
	r.enqueue(ctx, *settling)
	return nil
}

// run runs one task. Of a batch that has come to its end it gives the task that hands the end on
// to its members.
func (r *Runner) run(ctx context.Context, t Task) (settling *Task, err error) {
	hold, batch := unknownPlanHold, tracking.IsBatch(t.Tracking)
	if plan := r.Plans.Live(t.Target); plan != nil {
		hold = plan.Hold("") + applyGrace
		if batch {
			leave, err := r.seats.take(ctx, t.Target, plan.Limits.Concurrency)
			if err != nil {
				return nil, err
			}
			defer leave()
		}
	}
	if err := r.Owner.await(ctx); err != nil {
		return nil, err
	}
	run, done := r.Owner.run()
	defer done()
	claimed, err := r.claim(ctx, t, run, hold)
	switch {
	case errors.Is(err, tracking.ErrNotFound), errors.Is(err, tracking.ErrHeld):
		return nil, nil // the record is gone, or a live run has it: nothing is left for this task
	case errors.Is(err, tracking.ErrStale):
		return nil, r.repair(ctx, t.Ref, claimed.Delivery)
	case err != nil:
		return nil, err
	}
	ctx = trace.With(ctx, trace.Context(claimed.Dispatch.TraceParent))
	if early := claimed.Delivery.NextAt.Sub(claimed.Now); early > earliness {
		r.putBack(ctx, t.Ref, claimed.Delivery, early)
		return nil, nil
	}
	failpoint.Hit("worker.claimed")
	started := time.Now()
	clock := func() time.Time { return claimed.Now.Add(time.Since(started)) }
	plan, err := r.Plans.Find(ctx, t.Target, claimed.Delivery.Plan)
	if err != nil && !errors.Is(err, ErrPlanGone) {
		return nil, r.giveBack(ctx, t.Ref, claimed.Delivery, err)
	}
	event := tracking.Event(tracking.AttemptFailed{
		Final: true, Fault: &fault.Fault{Reason: fault.TargetGone, Message: "the target's plan is no longer known", Err: err},
	})
	if plan != nil {
		if send, err := r.turn(ctx, t, claimed, plan, clock); err != nil {
			return nil, r.giveBack(ctx, t.Ref, claimed.Delivery, err)
		} else if !send {
			return nil, nil
		}
	}
	ctx, end := r.begin(ctx, t, plan, claimed.Delivery)
	defer end(trace.Facts{State: handedBack}) // unless it comes to something
	var sent *manifest
	switch {
	case claimed.Delivery.Verdict != "":
		return nil, r.settle(ctx, t, plan, claimed, end, clock)
	case plan == nil:
	case plan.Batch != nil && !batch:
		if over, is := plan.Oversized(claimed.Payload); is {
			event = over
			break
		}
		if err := r.gather(ctx, t, claimed, plan, end); err != nil {
			return nil, r.giveBack(ctx, t.Ref, claimed.Delivery, err)
		}
		return nil, nil
	default:
		if event, sent, err = r.attempt(ctx, t, plan, claimed, hold, clock); err != nil {
			return nil, r.giveBack(ctx, t.Ref, claimed.Delivery, err)
		}
	}
	if ctx.Err() != nil && cutShort(event) {
		// The worker is being stopped: somebody else goes on, with the same idempotency key.
		// An answer that did come is recorded all the same.
		return nil, r.giveBack(ctx, t.Ref, claimed.Delivery, ctx.Err())
	}
	settling = r.conclude(ctx, t, plan, claimed, event, sent, clock)
	end(outcomeOf(event, tracking.Apply(claimed.Delivery, event, clock()), sent), r.links(ctx, sent)...)
	return settling, nil
}

// conclude writes down what a run came to, and sees to what follows. Where that cannot be
// written, or where this process dies on the way, the due row brings the delivery back.
func (r *Runner) conclude(ctx context.Context, t Task, plan *target.Plan, claimed *tracking.Claimed, event tracking.Event, sent *manifest, clock func() time.Time) (settling *Task) {
	batch := tracking.IsBatch(t.Tracking)
	failpoint.Hit("worker.stepped")
	next := tracking.Apply(claimed.Delivery, event, clock())
	r.report(ctx, t, claimed, event, next, clock())
	if batch {
		if err := r.handOn(ctx, t, plan, claimed.Delivery, event, sent, clock()); err != nil {
			return nil // told in write
		}
	}
	if next.State.Final() {
		if ending := tracking.Concluding(claimed.Delivery, event, clock()); batch || plan.CleansUp(ending) {
			next = ending
		}
	}
	next, err := r.record(ctx, t.Ref, claimed, plan, next)
	if err != nil {
		return nil // told in apply
	}
	failpoint.Hit("worker.applied")
	r.leave(ctx, t.Ref, next)
	if !next.State.Final() {
		task := taskOf(t.Ref, next, clock())
		if batch && next.Verdict != "" && !plan.CleansUp(next) {
			settling = &task
		} else {
			r.enqueue(ctx, task)
		}
	}
	if batch && grounded(event) {
		r.relaunch(ctx, t.Ref, plan)
	}
	return settling
}

// handOn does with the members of a batch what the event says of them, before the batch
// itself changes: whoever takes it over meanwhile comes to the same.
func (r *Runner) handOn(ctx context.Context, t Task, plan *target.Plan, d tracking.Delivery, e tracking.Event, sent *manifest, now time.Time) error {
	switch e := e.(type) {
	case tracking.Concluded:
		return r.judge(ctx, t, plan, d, e, sent)
	case tracking.Stripped:
		return r.strip(ctx, t, plan, e, sent, now)
	case tracking.Split:
		if e.Unsent && !plan.Batch.Later(d) {
			return r.thin(ctx, t, sent, e.Most)
		}
	}
	return nil
}

// attempt runs the step that the delivery stands at, holding the claim for as long as
// that may take. An error means that nothing was sent.
func (r *Runner) attempt(ctx context.Context, t Task, plan *target.Plan, claimed *tracking.Claimed, held time.Duration, clock func() time.Time) (_ tracking.Event, sent *manifest, err error) {
	batch := tracking.IsBatch(t.Tracking)
	if batch {
		if wait, err := r.launch(ctx, t.Ref, plan, claimed.Delivery); wait != nil || err != nil {
			return wait, nil, err
		}
		if sent, err = r.manifestOf(ctx, t, plan, claimed.Delivery); err != nil {
			return nil, nil, err
		}
		if sent != nil && sent.window == 0 {
			return tracking.Concluded{State: tracking.Succeeded, Message: nothingLeft}, sent, nil
		}
	}
	// Finding the members of a batch took its time; that the claim still holds is seen here.
	if need := plan.Hold(claimed.Delivery.Step) + applyGrace; batch || need > held {
		if _, err := r.claim(ctx, t, claimed.Delivery.Token, need); err != nil {
			return nil, nil, err
		}
	}
	members := func(context.Context) (_ *target.Upload, err error) {
		if sent == nil || len(sent.ids) < sent.window {
			// The backend has answered by now, and may not do so again: this waits for the store as
			// writing down its answer does, also beyond the time of the call and while the worker is stopped.
			ctx, release := outlasting(ctx)
			defer release()
			sent, err = patient(ctx, func() (*manifest, error) { return r.sent(ctx, t.Ref, plan, claimed.Delivery) })
		}
		if err != nil {
			return nil, err
		}
		return sent.upload(claimed.Delivery, r.reading(t.Ref)), nil
	}
	if sent != nil && sent.last > 0 {
		claimed.Delivery.Window = sent.last // a part of the idempotency key
	}
	event, err := r.step(ctx, plan, claimed, sent.upload(claimed.Delivery, r.reading(t.Ref)), members, clock())
	return event, sent, err
}

// cutShort reports whether an event may come from a call that was ended before its answer.
func cutShort(e tracking.Event) bool {
	switch e.(type) {
	case tracking.AttemptFailed, tracking.PollFailed:
		return true
	}
	return false
}

// step runs the step that the delivery stands at. An error means that nothing was sent.
func (r *Runner) step(ctx context.Context, plan *target.Plan, claimed *tracking.Claimed, upload *target.Upload, members func(context.Context) (*target.Upload, error), now time.Time) (tracking.Event, error) {
	callback := ""
	ctx, release, err := r.Owner.bind(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if plan.NeedsCallbackURL(claimed.Delivery.Step) {
		if callback, err = r.Callbacks.URL(ctx, tracking.Ref{Tracking: claimed.Dispatch.ID, Target: plan.Name}); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, plan.Hold(claimed.Delivery.Step))
	defer cancel()
	in := input(claimed, now)
	in.Upload, in.Members, in.CallbackURL = upload, members, callback
	return r.Engine.Run(ctx, plan, in), nil
}

func input(c *tracking.Claimed, now time.Time) target.Input {
	d := c.Dispatch
	return target.Input{
		Tracking: d.ID, Tenant: d.Tenant, Params: d.Params,
		Payload: c.Payload, Delivery: c.Delivery, AcceptedAt: d.AcceptedAt, Now: now,
	}
}

// report tells what a run came to. Messages, the job's ID and what else a backend said are in the
// record and not in the log: there they would be beyond the reach of its retention.
func (r *Runner) report(ctx context.Context, t Task, claimed *tracking.Claimed, event tracking.Event, next tracking.Delivery, now time.Time) {
	a := Attempt{
		Ref: t.Ref, Step: claimed.Delivery.Step, Event: event, Delivery: next,
		Duration: now.Sub(claimed.Now), Waited: now.Sub(claimed.Dispatch.AcceptedAt),
	}
	if r.Observe != nil {
		r.Observe(a)
	}
	level, cause := slog.LevelInfo, error(nil)
	switch e := event.(type) {
	case tracking.AttemptFailed:
		level, cause = slog.LevelWarn, e.Fault.Err
	case tracking.PollFailed:
		level, cause = slog.LevelWarn, e.Fault.Err
	case tracking.NotYet, tracking.Deferred:
		level = slog.LevelDebug
	case tracking.Stripped, tracking.Split, tracking.Again:
		level = slog.LevelWarn
	}
	if !r.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("tracking_id", t.Tracking), slog.String("target", t.Target),
		slog.String("route", claimed.Dispatch.Route), slog.String("step", a.Step), slog.Int("seq", t.Seq),
		slog.Int("attempt", next.Attempts), slog.Int("polls", next.Polls), slog.String("state", string(next.State)),
		slog.String("reason", string(next.Reason)), slog.Int("status", next.HTTPStatus),
		slog.Int64("duration_ms", a.Duration.Milliseconds()), slog.Int64("waited_ms", a.Waited.Milliseconds()),
	}
	if text := fault.Cause(cause); text != "" {
		attrs = append(attrs, slog.String("cause", text))
	}
	r.Log.LogAttrs(ctx, level, "delivery", attrs...)
}
