package target

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/transform"
)

// setupTime is how long it takes at most until a call has what it needs from setups.
func (p *Plan) setupTime(s *step) (most time.Duration) {
	for _, setup := range p.setups {
		if s.wants[setup.name] {
			most += setup.timeout
		}
	}
	return most
}

// usedSetup is what a run has used of a setup.
type usedSetup struct {
	id    string
	found accessToken
}

// prepare fills the scope for the expressions of the step, and finds out what is to be
// found out for them.
func (r *run) prepare(ctx context.Context) *fault.Fault {
	var err error
	if r.scope, err = r.step.scope(r.in); err != nil {
		return &fault.Fault{Reason: fault.Internal, Message: err.Error(), Err: err}
	}
	found := map[string]any{}
	for _, s := range r.plan.setups {
		if !r.step.wants[s.name] {
			continue
		}
		values, f := r.setup(ctx, s, found)
		if f != nil {
			f = aside(f)
			f.Status = 0 // it is not the answer to the step's call
			f.Message = fmt.Sprintf("not sent, since setup %s did not work: %s", s.name, f.Message)
			return f
		}
		maps.Copy(found, values)
	}
	r.scope["setup"] = found
	return nil
}

// setup gives what one setup has found: of this process, of the fleet, or by its call.
func (r *run) setup(ctx context.Context, s *step, before map[string]any) (map[string]any, *fault.Fault) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	k := &errand{
		what:   strings.Join([]string{"setup", r.plan.Name, r.plan.Hash, s.name}, "\n"),
		atMost: s.timeout,
		late: func(outer, ctx context.Context) *fault.Fault {
			return networkFault(outer, ctx, "the backend", ctx.Err())
		},
	}
	k.id = k.what
	if s.auth != nil {
		var f *fault.Fault
		if k.secrets, f = readAll(s.auth.refs, r.engine.secrets); f != nil {
			return nil, f
		}
	}
	k.fetch = func(_, ctx context.Context, _ *source, v *vault) (accessToken, *fault.Fault) {
		return r.discover(ctx, s, before, v)
	}
	found, f := r.engine.setups.share(r.outer, ctx, k)
	if f != nil {
		return nil, f
	}
	values, err := decodeJSON([]byte(found.text))
	object, ok := values.(map[string]any)
	if err != nil || !ok {
		return nil, &fault.Fault{Reason: fault.Internal, Err: err, Message: "what it had found cannot be read"}
	}
	r.setups = append(r.setups, usedSetup{k.id, found})
	return object, nil
}

// discover makes the call of a setup. Nothing in it is of the delivery that happens to
// need it first.
func (r *run) discover(ctx context.Context, s *step, before map[string]any, v *vault) (accessToken, *fault.Fault) {
	began := time.Now()
	one := &run{engine: r.engine, plan: r.plan, step: s, in: &Input{Tracking: r.in.Tracking, Now: r.in.Now}, outer: r.outer, began: r.began, home: r.plan.home,
		scope: transform.Scope{"setup": before}}
	resp, f := one.ask(ctx, s)
	if f != nil {
		return accessToken{}, f
	}
	saved, _, f := one.saved(s.save, resp)
	if f != nil {
		return accessToken{}, f
	}
	text, err := json.Marshal(saved)
	if err != nil {
		return accessToken{}, &fault.Fault{Reason: fault.Internal, Err: err, Message: err.Error()}
	}
	t := accessToken{text: string(text), name: v.name, until: began.Add(s.ttl)}
	plain, err := t.pack()
	if err == nil {
		t.sealed, err = v.seal(v.name, plain)
	}
	if err != nil {
		return accessToken{}, &fault.Fault{Reason: fault.Internal, Err: err, Message: "what it found cannot be encrypted"}
	}
	return t, nil
}

// forget drops what setups have found of what this run used, here and for all workers.
func (r *run) forget() {
	for _, used := range r.setups {
		r.engine.setups.refused(r.outer, used.id, used.found)
	}
}
