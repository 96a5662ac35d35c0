package dispatch

import (
	"context"

	"headgate/dispatch/target"
	"headgate/dispatch/trace"
	"headgate/dispatch/tracking"
)

// handedBack stands in a span in place of the delivery's state when its run came to nothing and
// somebody else goes on.
const handedBack = "handed_back"

// begin begins the span of a run that holds a delivery. The context that it gives belongs to it.
func (r *Runner) begin(ctx context.Context, t Task, plan *target.Plan, d tracking.Delivery) (context.Context, trace.End) {
	kind, step := trace.Attempt, d.Step
	if step == "" && plan != nil {
		step = plan.FirstStep()
	}
	switch {
	case d.Verdict != "":
		kind = trace.Settle
	case plan == nil:
	case plan.Batch != nil && !tracking.IsBatch(t.Tracking):
		kind = trace.Join
	case plan.Polls(d.Step):
		kind = trace.Poll
	}
	return r.Trace.Start(ctx, kind, trace.Facts{Tracking: t.Tracking, Target: t.Target, Step: step})
}

// outcomeOf says for the trace what a run came to, without what the backend said.
func outcomeOf(e tracking.Event, next tracking.Delivery, sent *manifest) trace.Facts {
	out := trace.Facts{State: string(next.State), Attempts: next.Attempts, Polls: next.Polls}
	switch e.(type) {
	case tracking.AttemptFailed, tracking.PollFailed:
		out.Failed = true
	default:
		out.Failed = next.State == tracking.Failed
	}
	if out.Failed || next.State.Final() {
		out.Reason = string(next.Reason) // else it is that of an earlier try
	}
	if sent != nil {
		out.Records = len(sent.ids)
	}
	return out
}

// traceOfBatch gives the trace that a batch has if it begins now, and what ends its first span
// then; nothing when there are no traces.
func (r *Runner) traceOfBatch(ctx context.Context, target, id string) (trace.Context, trace.End) {
	if r.Trace == nil {
		return "", func(trace.Facts, ...trace.Context) {}
	}
	ctx, end := r.Trace.Start(ctx, trace.Collect, trace.Facts{Tracking: id, Target: target})
	return trace.From(ctx), end
}

// links gives the spans under which the first records of an upload were accepted. They are read
// when somebody will see them, and a trace without them is better than a run that waits.
func (r *Runner) links(ctx context.Context, sent *manifest) (out []trace.Context) {
	if r.Trace == nil || sent == nil || !trace.From(ctx).Sampled() {
		return nil
	}
	parents, err := r.Store.TraceParents(ctx, sent.ids[:min(len(sent.ids), trace.MaxLinks)])
	if err != nil {
		return nil
	}
	for _, parent := range parents {
		if c := trace.Context(parent); c.Sampled() {
			out = append(out, c)
		}
	}
	return out
}

// ofTrace gives a context that belongs to the trace of a record, for lines about it by whoever did
// not load it. It asks the store: what is rare may.
func ofTrace(ctx context.Context, store tracking.Store, id string) context.Context {
	parents, err := store.TraceParents(ctx, []string{id})
	if err != nil {
		return ctx
	}
	return trace.With(ctx, trace.Context(parents[0]))
}
