package target

import (
	"context"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// CleansUp reports whether there may be calls to make after the end of a delivery: its
// Verdict, with what was saved. A plan that is not known has none.
func (p *Plan) CleansUp(d tracking.Delivery) bool {
	if p == nil || d.Verdict == "" {
		return false
	}
	for _, s := range p.finally {
		if s.cleansUp(d) {
			return true
		}
	}
	return false
}

// cleansUp looks at what can be told without the payload. Of a job whose end is not known
// nothing is taken away unless the target says so.
func (s *step) cleansUp(d tracking.Delivery) bool {
	for name := range s.needs {
		if d.Saved[name] == nil {
			return false
		}
	}
	return s.when != nil || d.Verdict != tracking.Unknown
}

// CleanUpTime is how long CleanUp may take at most.
func (p *Plan) CleanUpTime() (most time.Duration) {
	for _, s := range p.finally {
		most += s.timeout + p.setupTime(s)
	}
	return most
}

// CleanUp makes the calls of finally, one after the other. What goes wrong is told in the
// log and nowhere else.
func (e *Engine) CleanUp(ctx context.Context, p *Plan, in Input) {
	in.Upload = nil // nothing is sent any more
	for _, s := range p.finally {
		if !s.cleansUp(in.Delivery) {
			continue
		}
		r := &run{engine: e, plan: p, step: s, in: &in, outer: ctx, began: e.clock()}
		if err := r.cleanUp(ctx); err != nil {
			f := fault.From(err) // its message may quote the backend
			e.log.WarnContext(ctx, "a clean-up call did not work", "tracking_id", in.Tracking, "target", p.Name, "step", s.name,
				"reason", f.Reason, "status", f.Status)
		}
	}
}

func (r *run) cleanUp(ctx context.Context) error {
	if f := r.prepare(ctx); f != nil {
		return f
	}
	var f *fault.Fault
	if r.home, f = r.engine.home(r.outer, ctx, r.plan, r.scope["setup"]); f != nil {
		return f
	}
	r.scope["state"] = string(r.in.Delivery.Verdict)
	if r.step.when != nil {
		if ok, err := r.step.when.Eval(r.scope); err != nil || !ok {
			return err
		}
	}
	if _, f := r.ask(ctx, r.step); f != nil {
		return f
	}
	return nil
}
