package target

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"headgate/config/unit"
	"headgate/dispatch/encode"
	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
	"headgate/dispatch/transform"
)

// failed makes the event of a run that came to nothing. A step that polls has a budget
// of its own: nothing that happens to it may lead to another upload.
func (r *run) failed(f *fault.Fault) tracking.Event {
	if r.step.poll != nil {
		return r.pollFailed(f)
	}
	f.Message = clip(f.Message, maxReasons)
	e := tracking.AttemptFailed{Fault: f, Doubt: r.inDoubt(f)}
	if errors.Is(f.Err, errStopped) {
		return e
	}
	if !f.Retry || r.in.Delivery.StepAttempts+1 >= r.plan.retry.Attempts {
		e.Final = true
		return e
	}
	e.After = r.backoff(r.in.Delivery.StepAttempts, f)
	if r.tooLate(e.After) {
		e.After, e.Final = 0, true
	}
	return e
}

// tooLate reports whether so much later is later than the delivery may be tried.
func (r *run) tooLate(after time.Duration) bool {
	return r.plan.tooLate(&r.in.Delivery, r.in.AcceptedAt, r.now().Add(after))
}

func (p *Plan) tooLate(d *tracking.Delivery, acceptedAt, at time.Time) bool {
	return !acceptedAt.IsZero() && at.After(p.LastTry(acceptedAt, *d))
}

// backoff is full-jitter exponential: anything from nothing to first·2ⁿ, at most max.
// What the backend asks for is a floor, with up to a tenth more so that those who were
// turned away together do not come back together.
func (r *run) backoff(failures int, f *fault.Fault) time.Duration {
	after := r.plan.backoff(failures, r.engine.random())
	if f.RetryAfter > 0 {
		after = max(after, f.RetryAfter+time.Duration(r.engine.random()*0.1*float64(f.RetryAfter)))
	}
	return after
}

func (p *Plan) backoff(failures int, random float64) time.Duration {
	return time.Duration(random * float64(growth(p.retry.First, 2, failures, p.retry.Max)))
}

// growth is first·factorⁿ, at most limit.
func growth(first unit.Duration, factor float64, n int, limit unit.Duration) time.Duration {
	d := float64(first) * math.Pow(factor, float64(n))
	if d > float64(limit) || math.IsNaN(d) {
		return limit.D()
	}
	return time.Duration(d)
}

// saved evaluates what is kept of an answer. A value that is null or empty is an answer that
// nothing can be built on: an empty job ID must never be polled. It is not tried again,
// since the backend may well have taken the record.
func (r *run) saved(save []named, resp *response) (map[string]json.RawMessage, string, *fault.Fault) {
	if len(save) == 0 {
		return nil, "", nil
	}
	out, jobID, size := make(map[string]json.RawMessage, len(save)), "", 0
	values := make(map[string]any, len(save))
	bad := func(err error, format string, args ...any) *fault.Fault {
		return &fault.Fault{Reason: fault.BadResponse, Status: resp.status, Err: err, Message: fmt.Sprintf(format, args...)}
	}
	for _, s := range save {
		v, err := s.value.Eval(r.scope)
		if err != nil && !errors.Is(err, transform.ErrEmpty) {
			return nil, "", bad(err, "save %s: %s", s.name, err)
		}
		if v == nil || v == "" {
			return nil, "", bad(nil, "save %s: the backend's answer has no value for it", s.name)
		}
		raw, err := encode.AppendJSON(nil, v)
		if err != nil {
			return nil, "", bad(err, "save %s: %s", s.name, err)
		}
		if size += len(s.name) + len(raw); size > maxKept {
			return nil, "", bad(nil, "save %s: more than %d bytes would be kept", s.name, maxKept)
		}
		out[s.name], values[s.name] = raw, v
		if s.name == "job" {
			jobID, _ = textOf(v)
		}
	}
	r.addSaved(values)
	return out, jobID, nil
}

// addSaved lets the expressions that follow see what was saved just now.
func (r *run) addSaved(values map[string]any) {
	if old, ok := r.scope["saved"].(map[string]any); ok {
		for name, v := range old {
			if _, newer := values[name]; !newer {
				values[name] = v
			}
		}
	}
	r.scope["saved"] = values
}

// withSaved adds what the last step saved to an end, for cleaning up.
func withSaved(e tracking.Event, saved map[string]json.RawMessage) tracking.Event {
	if end, ok := e.(tracking.Concluded); ok {
		end.Saved = saved
		return end
	}
	return e
}

// done ends the delivery well, with its result. A result that cannot be had does not
// change that the backend has the record: it is left out and the message says so.
func (r *run) done(answer tracking.Answer, state tracking.State, message string) tracking.Event {
	end := tracking.Concluded{Answer: answer, State: state, Message: message, Poll: r.step.poll != nil}
	size := 0
	for _, n := range r.step.result {
		raw, err := r.result(n.value)
		if errors.Is(err, transform.ErrEmpty) {
			continue
		}
		if size += len(n.name) + len(raw); err == nil && size > maxKept {
			err = fmt.Errorf("more than %d bytes would be kept", maxKept)
		}
		if err != nil {
			end.Message = also(end.Message, fmt.Sprintf("result %s: %s", n.name, err))
			continue
		}
		if end.Result == nil {
			end.Result = make(map[string]json.RawMessage, len(r.step.result))
		}
		end.Result[n.name] = raw
	}
	if r.step.warn != nil {
		warn, err := r.step.warn.Eval(r.scope)
		switch {
		case err != nil:
			end.Message = also(end.Message, "warn: "+err.Error())
		case warn:
			end.State = tracking.Warned
			end.Message = also(end.Message, "the backend took it, with warnings")
		}
	}
	end.Message = clip(end.Message, maxReasons)
	return end
}

func (r *run) result(v *transform.Value) (json.RawMessage, error) {
	out, err := v.Eval(r.scope)
	if err != nil {
		return nil, err
	}
	return encode.AppendJSON(nil, out)
}

func also(message, more string) string {
	if message == "" || more == "" {
		return message + more
	}
	return message + "; " + more
}
