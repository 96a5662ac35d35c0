package target

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"headgate/config/secret"
	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
	"headgate/dispatch/transform"
)

// Engine runs the steps of any plan.
type Engine struct {
	// The transport is used without an http.Client: that one would follow redirects, with
	// the credentials, wherever the answer says.
	transport http.RoundTripper // to the targets' own hosts
	guarded   http.RoundTripper // to hosts that an answer named
	log       *slog.Logger
	random    func() float64 // in [0,1), for jitter
	secrets   secretReader
	clock     func() time.Time // tells how long a run has taken
	tokens    *tokenCache      // nil: a placeholder stands for each access token
}

// NewEngine makes an engine. log may be nil.
func NewEngine(o Outgoing, log *slog.Logger) *Engine {
	if o.Transport == nil {
		o.Transport = newTransport(o)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Engine{
		transport: o.Transport, guarded: newGuarded(o), log: log, random: rand.Float64, secrets: secret.Ref.Read, clock: time.Now,
		tokens: &tokenCache{shared: o.Tokens, transport: o.Transport, log: log, sources: map[string]*source{}},
	}
}

// NewScripted makes an engine for rehearsing plans, which gives the same events each time:
// every call goes to transport, whatever its host, secrets are what read gives, access tokens
// are "access-token", jitter is half of what it may be, and no time passes while a step runs.
func NewScripted(transport http.RoundTripper, read func(secret.Ref) (secret.Value, error)) *Engine {
	return &Engine{
		transport: transport, guarded: transport, log: slog.New(slog.DiscardHandler), secrets: read,
		random: func() float64 { return 0.5 }, clock: func() time.Time { return time.Time{} },
	}
}

// Close drops idle connections.
func (e *Engine) Close() {
	for _, transport := range []http.RoundTripper{e.transport, e.guarded} {
		if t, ok := transport.(interface{ CloseIdleConnections() }); ok {
			t.CloseIdleConnections()
		}
	}
}

// Run runs the step the delivery stands at and says what it came to. It never returns
// nil. When ctx ends, the event is AttemptFailed or PollFailed with reason timeout; when
// it was cancelled, its After is 0 and it is not Final: the caller decides.
func (e *Engine) Run(ctx context.Context, p *Plan, in Input) tracking.Event {
	s := p.step(in.Delivery.Step)
	if s == nil {
		return tracking.AttemptFailed{Final: true, Fault: &fault.Fault{Reason: fault.TargetGone,
			Message: fmt.Sprintf("target %s has no step %q any more", p.Name, in.Delivery.Step)}}
	}
	r := &run{engine: e, plan: p, step: s, in: &in, outer: ctx, began: e.clock()}
	if hold := p.Hold(s.name); hold > s.timeout { // several calls; one alone has its own time-out
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, hold)
		defer cancel()
	}
	return r.do(ctx)
}

// run is one run of one step.
type run struct {
	engine *Engine
	plan   *Plan
	step   *step
	in     *Input
	scope  transform.Scope
	outer  context.Context //nolint:containedctx // tells a stopped worker from a slow backend
	began  time.Time       // by our own clock: how long the run has taken since Input.Now
}

// now is the store's clock, carried on by our own.
func (r *run) now() time.Time { return r.in.Now.Add(r.engine.clock().Sub(r.began)) }

// passOver goes on to the first step whose condition holds, from the one at which the
// delivery stands; false when there is none. What conditions are about does not change.
func (r *run) passOver() (bool, error) {
	for r.step.when != nil {
		scope, err := r.step.scope(r.in)
		if err != nil {
			return false, err
		}
		if ok, err := r.step.when.Eval(scope); err != nil || ok {
			return ok, err
		}
		if r.step.next == "" {
			return false, nil
		}
		r.step = r.plan.step(r.step.next)
	}
	return true, nil
}

func (r *run) do(ctx context.Context) tracking.Event {
	ok, err := r.passOver()
	if err != nil {
		return r.failed(&fault.Fault{Reason: fault.Internal, Message: "when: " + err.Error(), Err: err})
	}
	if !ok {
		return tracking.Concluded{State: tracking.Succeeded, Message: "the conditions of all steps that were left are false"}
	}
	if r.scope, err = r.step.scope(r.in); err != nil {
		return r.failed(&fault.Fault{Reason: fault.Internal, Message: err.Error(), Err: err})
	}
	if r.step.uses[callbackRoot] && r.in.CallbackURL == "" {
		return r.failed(noCallbackURL())
	}
	req, f := r.plan.request(r.step, r.in, r.scope, r.engine.secrets)
	if f != nil {
		return r.failed(f)
	}
	resp, f := r.send(ctx, req)
	if resp != nil && r.step.uses["response"] {
		resp.into(r.scope)
	}
	if f == nil {
		f = r.asserted(resp)
	}
	if f != nil {
		return r.refused(resp, f)
	}
	if r.step.poll != nil {
		return r.polled(ctx, resp)
	}
	saved, jobID, f := r.saved(resp)
	if f != nil {
		return r.failed(f)
	}
	answer := tracking.Answer{HTTPStatus: resp.status, JobID: jobID}
	if r.step.next != "" {
		return tracking.Advanced{Answer: answer, Next: r.step.next, Saved: saved}
	}
	if r.step.rejects != nil {
		return r.judged(ctx, succeeded, resp, answer, "")
	}
	return r.done(answer, tracking.Succeeded, "")
}

// send makes one call and reads its answer; an answer that is not expected is a fault.
func (r *run) send(ctx context.Context, req *request) (*response, *fault.Fault) {
	began := time.Now()
	call, cancel := context.WithTimeout(ctx, r.step.timeout)
	defer cancel()
	token, f := r.engine.tokens.authorize(r.outer, call, req)
	if f != nil {
		return nil, f
	}
	var body io.Reader
	if req.body != nil {
		body = bytes.NewReader(req.body)
	}
	hr, err := http.NewRequestWithContext(call, req.method, req.to.url, body)
	if err != nil {
		return nil, &fault.Fault{Reason: fault.Internal, Message: "the call cannot be made: its URL is not valid"}
	}
	hr.Header = req.header
	// A request with an Idempotency-Key the transport would send again by itself when a
	// reused connection breaks. Each sending is an attempt, and those are counted by us.
	hr.GetBody = nil
	transport := r.engine.transport
	if req.to.other {
		transport = r.engine.guarded
	}
	got, err := transport.RoundTrip(hr) //nolint:bodyclose // read closes it
	var resp *response
	if err == nil {
		resp, err = read(got, r.plan.maxResponse)
	}
	if guarded(err) {
		return nil, &fault.Fault{Reason: fault.BadResponse, Err: err, Message: fmt.Sprintf(
			"not sent: the host %s of allow_hosts has no public address; the operator may open its network with egress: {may_reach: […]}", req.to.host)}
	}
	if err != nil {
		f := networkFault(r.outer, call, "the backend", err)
		if resp != nil {
			f.Status = resp.status
			f.Message += " (while its answer was read)"
		}
		r.trace(req, f.Status, began)
		return nil, f
	}
	resp.conceal(req.secrets)
	r.trace(req, resp.status, began)
	f = r.plan.classify(r.step, resp)
	if f != nil && f.Status == http.StatusUnauthorized && req.oauth != nil {
		// The next attempt has another token. This one does not try again by itself: each
		// sending is an attempt, and those are counted and spaced.
		r.engine.tokens.refused(r.outer, req.oauth, token)
		f.Retry = !slices.Contains(r.plan.retry.NotOn, f.Status)
	}
	if f != nil && len(req.to.signed) >= minSecret {
		// Only what is said of a failure: a later step may need the same query.
		f.Message = strings.ReplaceAll(f.Message, req.to.signed, masked)
	}
	return resp, f
}

func (r *run) trace(req *request, status int, began time.Time) {
	if !r.engine.log.Enabled(r.outer, slog.LevelDebug) {
		return
	}
	r.engine.log.DebugContext(r.outer, "call", "tracking_id", r.in.Tracking, "target", r.plan.Name, "step", r.step.name,
		"method", req.method, "status", status, "duration_ms", time.Since(began).Milliseconds())
}
