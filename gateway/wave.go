package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"

	"headgate/dispatch"
	"headgate/gateway/wire"
	"headgate/policies"
	"headgate/routes"
)

// stages are a route's policies by when they run.
type stages struct {
	first   []policies.Policy // Identify and Authorize
	admit   []policies.Policy
	content []policies.Policy
}

// split cuts a route's policies into stages, without a copy: routes puts them into order.
func split(r *routes.Route) stages {
	list := r.Policies
	if !slices.IsSortedFunc(list, byStage) {
		list = slices.SortedStableFunc(slices.Values(list), byStage)
	}
	admit, content := 0, 0 // where these begin
	for _, p := range list {
		switch p.Stage() {
		case policies.Identify, policies.Authorize:
			admit++
			content++
		case policies.Admit:
			content++
		case policies.Content:
		default:
			// Not to run it would let requests pass that it wants to refuse.
			panic(fmt.Sprintf("gateway: policy %s has no known stage", p.Name()))
		}
	}
	return stages{first: list[:admit], admit: list[admit:content], content: list[content:]}
}

func byStage(a, b policies.Policy) int { return int(a.Stage()) - int(b.Stage()) }

// wave is what came of the part of a request that is one wave of round trips.
type wave struct {
	stages stages

	admitted []policies.Decision // in the order of stages.admit

	content *answer // the first content policy's refusal
	notJSON bool    // a target wants the body as it is, which is not JSON
	mapped  dispatch.Mapped
	faults  []*dispatch.MappingError
}

// wave asks the limits, each in a goroutine and so in one wave of round trips, while this
// goroutine checks and maps the body. All have ended when it returns.
func (s *Server) wave(ctx context.Context, c *call, r *routes.Route, st stages) *wave {
	w := &wave{stages: st, admitted: make([]policies.Decision, len(st.admit))}
	var group sync.WaitGroup
	defer group.Wait()
	// Content policies write into the request meanwhile: the others read a copy.
	before := *c.req
	for i, p := range st.admit {
		group.Go(func() {
			defer s.recovered(ctx, func() { w.admitted[i] = policies.Deny(internalError, "panic") })
			w.admitted[i] = p.Check(ctx, &before)
		})
	}
	if w.content = c.ask(ctx, st.content...); w.content != nil {
		return w
	}
	w.mapped, w.faults, w.notJSON = MapBody(c.req, r.Fanout)
	return w
}

var internalError = policies.Problem{Status: 500, Type: "internal", Detail: "The request could not be handled."}

// recovered keeps a panic in a goroutine from ending the process.
func (s *Server) recovered(ctx context.Context, then func()) {
	if value := recover(); value != nil {
		s.o.Log.ErrorContext(ctx, "panic", "panic", wire.PanicText(value), "stack", string(debug.Stack()))
		then()
	}
}

// MapBody makes each target's payload. A target without a mapping gets the body's very
// bytes, which must be JSON even when no policy of the route has looked at them: notJSON
// tells that they are not, for which the request is refused with 400.
func MapBody(r *policies.Request, f *dispatch.Fanout) (mapped dispatch.Mapped, faults []*dispatch.MappingError, notJSON bool) {
	body := json.RawMessage(r.Body)
	if len(body) == 0 {
		body = emptyBody
	}
	mapped, faults = f.Map(scopeFor(f, r), body)
	if r.HasJSON {
		return mapped, faults, false
	}
	for _, b := range f.Bindings {
		if b.Transform == nil && !mapped.Skipped[b.Plan.Name] && !json.Valid(body) {
			return mapped, faults, true
		}
	}
	return mapped, faults, false
}
