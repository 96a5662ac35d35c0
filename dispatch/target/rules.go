package target

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"headgate/config/unit"
	"headgate/config/yamlsrc"
	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
	"headgate/dispatch/transform"
)

// rule is a compiled Rule.
type rule struct {
	Rule
	when    *transform.Bool
	after   *transform.Value
	records *transform.Value
}

// The words of Rule.Then.
const (
	thenRetry = "retry"
	thenWait  = "wait"
	thenStrip = "strip"
	thenSplit = "split"
	thenSetup = "setup"
	thenAbort = "abort"
	thenFresh = "refresh_auth"
)

var thens = []string{thenRetry, thenWait, thenStrip, thenSplit, thenSetup, thenAbort, thenFresh}

// waitEvery is the default of Rule.Every: queues of backends take minutes to drain.
const waitEvery = 30 * time.Second

func (c *compiler) rules(n *yamlsrc.Node, spec *Call, a *auth) (out []rule) {
	list := n.Get("on_error")
	if list == nil {
		return nil
	}
	if list.Kind != yamlsrc.Seq || len(list.Items) != len(spec.OnError) {
		return nil // reported as no list
	}
	for i, item := range list.Items {
		r := rule{Rule: spec.OnError[i], when: c.condition(item.Get("when"), c.roots.answer)}
		if r.Then != "" && !slices.Contains(thens, r.Then) {
			c.problem(find(item, "then"), yamlsrc.UnknownHint(r.Then, thens), "%q is nothing that can follow", r.Then)
		}
		strip, every := item.Get("records"), item.Get("every")
		switch {
		case spec.Until != nil && r.Then != thenFresh && r.Then != thenSetup && slices.Contains(thens, r.Then):
			c.problem(find(item, "then"), "leave it out: a poll that fails is made again, up to until.attempts; until.not_found says what 404 means, and expect with a state of its own what another status does", "a step that polls takes no rules but refresh_auth and setup")
		case r.Then == thenFresh && (a == nil || a.oauth == nil):
			c.problem(find(item, "then"), "use retry, or auth: {oauth2: …}", "without oauth2 there is no access token to fetch anew")
		case r.Then == thenSplit && (c.spec.Batch == nil || !c.step.sendsRecords() || c.step.foreach):
			c.problem(find(item, "then"), "use abort, or write it on the step that sends the whole upload of a batch", "this step sends no records that could be sent in halves")
		case r.Then == thenStrip && c.spec.Batch == nil:
			c.problem(find(item, "then"), "use abort, or add batch", "without batch there are no other records to send")
		case r.Then == thenSetup && len(c.step.wants) == 0:
			c.problem(find(item, "then"), "use retry, or .setup in the call", "the call uses nothing that a setup has found")
		case r.Then == thenStrip && !c.step.sendsRecords():
			c.problem(find(item, "then"), "use abort, or write it on the step that sends the records", "this step sends no records that could be taken out")
		case r.Then == thenStrip && strip == nil:
			c.problem(item, "add records: ${{ [.response.body.errors[].index] }}", "strip does not say which records")
		case r.Then != thenStrip && strip != nil:
			c.problem(strip, "leave it out, or write then: strip", "records is only for strip")
		case r.Then != thenWait && every != nil:
			c.problem(every, "leave it out, or write then: wait", "every is only for wait")
		}
		if every == nil {
			r.Every = duration(waitEvery.String())
		}
		c.positive(r.Every, item, "every")
		if after := item.Get("after"); after != nil && r.Then != thenRetry && r.Then != thenWait {
			c.problem(after, "leave it out, or write then: retry or then: wait", "after is only for retry and wait")
		}
		r.after = c.expression(item.Get("after"), c.roots.answer)
		r.records = c.expression(strip, c.roots.answer)
		out = append(out, r)
	}
	return out
}

// refused says what follows from a call that failed: by the first rule of the step that is
// for such answers, or as usual.
func (r *run) refused(req *request, resp *response, f *fault.Fault) tracking.Event {
	if resp == nil {
		return r.failed(f)
	}
	rule := r.step.ruleFor(r.scope)
	if rule == nil {
		if e := r.notFound(resp); e != nil {
			return e
		}
		return r.failed(f)
	}
	if after := rule.asked(r.scope); after > 0 {
		f.RetryAfter = after
	} else {
		f.RetryAfter = retryAfter(resp.header)
	}
	switch rule.Then {
	case thenRetry:
		noVerdict(f)
	case thenSetup:
		r.forget()
		noVerdict(f)
	case thenAbort:
		f.Retry = false
	case thenFresh:
		r.dropToken(req)
		f.Reason, f.Retry = fault.Auth, true
	case thenStrip:
		return r.strip(*rule, resp, f)
	case thenSplit:
		if n := r.in.Upload.count(); n > 1 {
			return tracking.Split{Answer: tracking.Answer{HTTPStatus: resp.status}, Most: n / 2,
				Message: clip(fmt.Sprintf("%d records were refused as a whole; they are sent again in halves: %s", n, f.Message), maxMessage)}
		}
		f.Retry = false
	case thenWait:
		return r.wait(*rule, resp, f)
	}
	return r.failed(f)
}

// asked is how long the backend wants to be left alone, at most as long as by Retry-After;
// 0 when its answer does not say.
func (r *rule) asked(scope transform.Scope) time.Duration {
	if r.after == nil {
		return 0
	}
	v, err := r.after.Eval(scope)
	if err != nil {
		return 0
	}
	text, _ := textOf(v)
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		return time.Duration(min(max(seconds, 0), maxRetryAfter.Seconds()) * float64(time.Second))
	}
	d, err := unit.ParseDuration(text)
	if err != nil {
		return 0
	}
	return min(d.D(), maxRetryAfter)
}

// ruleFor gives the first rule that is for the answer in scope; nil when there is none.
func (s *step) ruleFor(scope transform.Scope) *rule {
	i := slices.IndexFunc(s.onError, func(rule rule) bool {
		fits, err := rule.when.Eval(scope)
		return fits && err == nil // an answer that is not made like that is not such an answer
	})
	if i < 0 {
		return nil
	}
	return &s.onError[i]
}

// wait asks again later. That is no attempt, but no wait is longer than a delivery may take.
func (r *run) wait(rule rule, resp *response, f *fault.Fault) tracking.Event {
	after := time.Duration(float64(rule.Every) * (0.9 + 0.2*r.engine.random()))
	after = max(after, f.RetryAfter)
	if r.tooLate(after) {
		noVerdict(f)
		return tracking.AttemptFailed{Fault: f, Final: true}
	}
	return tracking.Deferred{Answer: tracking.Answer{HTTPStatus: resp.status}, After: after,
		Message: clip("the backend has no room now: "+f.Message, maxMessage)}
}

// strip rejects the records that the answer names. A rule that names none of them stands
// for a refusal of the whole.
func (r *run) strip(rule rule, resp *response, f *fault.Fault) tracking.Event {
	f.Retry = false
	v, err := rule.records.Eval(r.scope)
	if err != nil {
		f.Message = clip(fmt.Sprintf("%s (on_error: records: %s)", f.Message, err), maxReasons)
		return r.failed(f)
	}
	places, isList := v.([]any)
	if !isList {
		places = []any{v}
	}
	ends := map[int]tracking.End{}
	for _, place := range places {
		text, _ := textOf(place)
		if n, err := strconv.Atoi(text); err == nil && n >= 0 && n < r.in.Upload.count() {
			ends[n] = tracking.End{State: tracking.Rejected, Reason: fault.Rejected, Message: f.Message}
		}
	}
	if len(ends) == 0 {
		return r.failed(f)
	}
	return tracking.Stripped{Answer: tracking.Answer{HTTPStatus: resp.status}, Records: ends,
		Message: fmt.Sprintf("%d of %d records were refused; the others are sent again", len(ends), r.in.Upload.count())}
}
