package target

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"headgate/config/secret"
	"headgate/dispatch/fault"
	"headgate/dispatch/trace"
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
	trace     trace.Tracer
	random    func() float64 // in [0,1), for jitter
	secrets   secretReader
	clock     func() time.Time // tells how long a run has taken
	tokens    *tokenCache      // nil: a placeholder stands for each access token
	tls       *tlsPool         // nil: transport carries those calls, too
	setups    *tokenCache
}

// NewEngine makes an engine. log may be nil.
func NewEngine(o Outgoing, log *slog.Logger) *Engine {
	pool := &tlsPool{outgoing: o, pairs: map[string]*tlsPair{}}
	if o.Transport == nil {
		o.Transport = newTransport(o)
	}
	if o.Guarded == nil {
		o.Guarded = newGuarded(o)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	shared := &tokenCache{shared: o.Tokens, transport: o.Transport, log: log, trace: o.Trace, sources: map[string]*source{}}
	return &Engine{
		transport: o.Transport, guarded: o.Guarded, log: log, trace: o.Trace, random: rand.Float64, secrets: secret.Ref.Read, clock: time.Now,
		tokens: shared, setups: shared, tls: pool,
	}
}

// NewScripted makes an engine for rehearsing plans, which gives the same events each time:
// every call goes to transport, whatever its host, secrets are what read gives, access tokens
// are "access-token", jitter is half of what it may be, and no time passes while a step runs.
func NewScripted(transport http.RoundTripper, read func(secret.Ref) (secret.Value, error)) *Engine {
	return &Engine{
		transport: transport, guarded: transport, log: slog.New(slog.DiscardHandler), secrets: read,
		random: func() float64 { return 0.5 }, clock: func() time.Time { return time.Time{} },
		setups: &tokenCache{sources: map[string]*source{}},
	}
}

// Close drops idle connections. It waits for a refresh token that is on its way, for 15 s
// at most; no run may be under way any more.
func (e *Engine) Close() {
	e.tokens.wait()
	for _, transport := range []http.RoundTripper{e.transport, e.guarded} {
		if t, ok := transport.(interface{ CloseIdleConnections() }); ok {
			t.CloseIdleConnections()
		}
	}
	e.tls.close()
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
	if in.Upload == nil && p.Batch != nil {
		in.Upload = &Upload{} // none for this run
	}
	in.rehearsed = e.tokens == nil
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
	engine  *Engine
	plan    *Plan
	step    *step
	in      *Input
	scope   transform.Scope
	setups  []usedSetup
	home    home
	sent    bool                        // the call of the step was made
	outer   context.Context             //nolint:containedctx // tells a stopped worker from a slow backend
	records int                         // of the batch, once its lists are read
	mixed   map[*int]bool               // of those places, the ones whose records differ; by the first
	byKey   map[string]map[string][]int // places of the batch's records, by the key's expression and the key
	began   time.Time                   // by our own clock: how long the run has taken since Input.Now
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
	r.chunk()
	if r.step.foreach && r.in.Upload.count() == 0 && r.in.Upload.Of > 0 {
		return tracking.Advanced{Next: r.step.next} // what was left of the records was refused
	}
	if f := r.prepare(ctx); f != nil {
		return r.failed(f)
	}
	if r.step.uses[callbackRoot] && r.in.CallbackURL == "" {
		return r.failed(noCallbackURL())
	}
	call := ctx // send bounds it
	if r.plan.base != nil {
		var cancel context.CancelFunc
		call, cancel = context.WithTimeout(ctx, r.step.timeout) // of the token and the call together
		defer cancel()
	}
	var f *fault.Fault
	if r.home, f = r.engine.home(r.outer, call, r.plan, r.scope["setup"]); f != nil {
		return r.failed(f)
	}
	if r.step.probe != nil && r.in.Delivery.InDoubt() {
		if e := r.reconcile(ctx); e != nil {
			return e
		}
	}
	req, instead := r.request(ctx)
	if instead != nil {
		return instead
	}
	r.sent = true
	resp, f := r.send(call, r.step, req)
	if resp != nil && r.step.uses["response"] {
		resp.into(r.scope)
	}
	if f == nil {
		f = r.asserted(r.step, resp)
	}
	if f != nil {
		return r.refused(req, resp, f)
	}
	if r.step.poll != nil {
		return r.polled(ctx, resp)
	}
	saved, jobID, f := r.saved(r.step.save, resp)
	if f != nil {
		return r.failed(f)
	}
	answer := tracking.Answer{HTTPStatus: resp.status, JobID: jobID}
	if r.step.foreach && r.in.Upload.First+r.in.Upload.count() < r.in.Upload.Of {
		return tracking.Advanced{Answer: answer, Next: r.step.name, Saved: saved, Sent: r.in.Upload.First + r.in.Upload.count()}
	}
	if r.step.next != "" {
		return tracking.Advanced{Answer: answer, Next: r.step.next, Saved: saved}
	}
	if len(r.step.rejects) > 0 {
		return withSaved(r.judged(ctx, succeeded, resp, answer, ""), saved)
	}
	return withSaved(r.done(answer, tracking.Succeeded, ""), saved)
}

// send makes one call and reads its answer; an answer that is not expected is a fault.
func (r *run) send(ctx context.Context, s *step, req *request) (*response, *fault.Fault) {
	began := time.Now()
	call, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if f := r.engine.tokens.authorize(r.outer, call, req); f != nil {
		return nil, f
	}
	call, end := r.engine.trace.Start(call, trace.Call, trace.Facts{
		Tracking: r.in.Tracking, Target: r.plan.Name, Step: s.name, Method: req.method, Host: req.to.host,
	})
	resp, f := r.exchange(call, s, req)
	end(outcomeOf(resp, f))
	r.tell(call, s, req, resp, f, began)
	return resp, f
}

// outcomeOf says for the trace what a call came to.
func outcomeOf(resp *response, f *fault.Fault) (out trace.Facts) {
	if resp != nil {
		out.Status = resp.status
	}
	if f != nil {
		out.Failed, out.Reason, out.Status = true, string(f.Reason), cmp.Or(out.Status, f.Status)
	}
	return out
}

// exchange sends a request that has its credentials, and reads the answer.
func (r *run) exchange(call context.Context, s *step, req *request) (*response, *fault.Fault) {
	// Set last, and covered by no signature: whoever is on the way may change it.
	if parent := trace.From(call); parent != "" && !req.to.other {
		req.set("Traceparent", string(parent))
	}
	transport, f := r.carrier(req.to)
	if f != nil {
		return nil, f
	}
	hr, f := req.http(call)
	if f != nil {
		return nil, f
	}
	sent, _ := hr.Body.(*streamBody)
	if sent != nil {
		defer sent.Close() //nolint:errcheck // it never fails
	}
	got, err := transport.RoundTrip(hr) //nolint:bodyclose // read closes it
	var resp *response
	if err == nil {
		resp, err = read(got, cmp.Or(req.limit, r.plan.maxResponse))
	}
	if f := sent.failure(call); f != nil { // whatever the backend made of a body that was cut off
		return nil, f
	}
	if guarded(err) {
		return nil, &fault.Fault{Reason: fault.BadResponse, Err: err, Message: fmt.Sprintf(
			"not sent: the host %s of allow_hosts has no public address; the operator may open its network with egress: {may_reach: […]}", req.to.host)}
	}
	if err != nil {
		f := r.plan.tls.handshakeFault(err)
		if f == nil {
			f = networkFault(r.outer, call, "the backend", err)
		}
		if resp != nil {
			f.Status = resp.status
			f.Message += " (while its answer was read)"
		}
		return nil, f
	}
	resp.conceal(req.secrets)
	f = r.plan.classify(s, resp)
	if f != nil && f.Status == http.StatusUnauthorized && req.oauth != nil {
		// The next attempt has another token. This one does not try again by itself: each
		// sending is an attempt, and those are counted and spaced.
		r.dropToken(req)
		f.Retry = !slices.Contains(r.plan.retry.NotOn, f.Status)
	}
	if f != nil && len(req.to.signed) >= minSecret {
		// Only what is said of a failure: a later step may need the same query.
		f.Message = strings.ReplaceAll(f.Message, req.to.signed, masked)
	}
	return resp, f
}

// tell writes a line about a call; its URL is not in it.
func (r *run) tell(ctx context.Context, s *step, req *request, resp *response, f *fault.Fault, began time.Time) {
	if !r.engine.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	out := outcomeOf(resp, f)
	r.engine.log.DebugContext(ctx, "call", "tracking_id", r.in.Tracking, "target", r.plan.Name, "step", s.name,
		"method", req.method, "status", out.Status, "reason", out.Reason, "duration_ms", time.Since(began).Milliseconds())
}
