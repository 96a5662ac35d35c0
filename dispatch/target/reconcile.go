package target

import (
	"context"
	"encoding/json"
	"slices"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
	"headgate/dispatch/transform"
)

// probe is a compiled Reconcile: a call that asks whether another one had its effect.
type probe struct {
	call  *step
	found *transform.Bool
}

// gotThrough is the message of a delivery whose last call need not be made again.
const gotThrough = "an earlier try of the call had got through"

// inDoubt reports whether the call of a step may have had its effect although it failed:
// no answer came, or one that says nothing of the record. A refusal that the target has tried
// again says that it had none.
func (r *run) inDoubt(f *fault.Fault) bool {
	return r.sent && r.step.probe != nil && !f.Refusal &&
		slices.Contains([]fault.Reason{fault.Timeout, fault.Unreachable, fault.ServerError, fault.BadResponse}, f.Reason)
}

// reconcile asks whether a call that may have been made had its effect, and says what
// follows; nil when it had none and is to be made.
func (r *run) reconcile(ctx context.Context) tracking.Event {
	answer, saved, found, f := r.earlier(ctx)
	switch {
	case f != nil:
		f.Message = "not sent, since whether an earlier try got through is not known: " + f.Message
		return r.failed(f)
	case !found:
		return nil
	}
	r.engine.log.InfoContext(r.outer, gotThrough, "tracking_id", r.in.Tracking, "target", r.plan.Name, "step", r.step.name)
	if r.step.next != "" {
		return tracking.Advanced{Answer: answer, Next: r.step.next, Saved: saved}
	}
	return tracking.Concluded{Answer: answer, State: tracking.Succeeded, Message: gotThrough, Saved: saved}
}

// earlier makes the call that asks, and reads what an earlier try has made.
func (r *run) earlier(ctx context.Context) (a tracking.Answer, saved map[string]json.RawMessage, found bool, f *fault.Fault) {
	probe := r.step.probe
	resp, f := r.ask(ctx, probe.call)
	if f != nil {
		return a, nil, false, aside(f)
	}
	a.HTTPStatus = resp.status
	found, err := probe.found.Eval(r.scope)
	if err != nil {
		return a, nil, false, aside(&fault.Fault{Reason: fault.BadResponse, Status: resp.status, Err: err, Message: "found: " + err.Error()})
	}
	if found {
		if saved, a.JobID, f = r.saved(probe.call.save, resp); f != nil {
			return a, nil, false, aside(f)
		}
	}
	return a, saved, found, nil
}

// ask makes a call beside that of the step. Expressions see its answer from then on.
func (r *run) ask(ctx context.Context, s *step) (*response, *fault.Fault) {
	req, f := r.plan.request(ctx, r.home, s, r.in, r.scope, r.engine.secrets)
	if f != nil {
		return nil, f
	}
	resp, f := r.send(ctx, s, req)
	if resp != nil {
		resp.into(r.scope)
	}
	if f == nil {
		f = r.asserted(s, resp)
	}
	return resp, f
}

// aside gives the fault of a call beside that of the step: whatever was said to it is no
// verdict on the record, and may be otherwise the next time.
func aside(f *fault.Fault) *fault.Fault {
	if f.Reason == fault.Rejected || f.Reason == fault.TooLarge {
		f.Reason = fault.BadResponse
	}
	f.Retry = true
	return f
}
