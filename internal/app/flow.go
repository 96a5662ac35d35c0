package app

import (
	"context"
	"crypto/rand"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
	"headgate/gateway/admin"
	"headgate/internal/flow"
	"headgate/internal/queue"
	"headgate/internal/redisstore"
)

// buildFlow makes what holds targets back; only workers take tasks.
func (a *App) buildFlow() {
	a.flow = flow.New(flow.Options{Store: redisstore.NewFlow(a.conn.Base), Worker: rand.Text()[:12], Log: a.log})
}

func (a *App) valve(target string) queue.Valve { return a.flow.Valve(target) }

func (a *App) observe(at dispatch.Attempt) {
	a.metrics.Run(at)
	a.flow.Observe(at)
}

// calling tells the flow of the runs that call a backend.
type calling struct{ dispatch.Stepper }

// Run implements dispatch.Stepper.
func (c calling) Run(ctx context.Context, p *target.Plan, in target.Input) tracking.Event {
	flow.Calls(ctx)
	return c.Stepper.Run(ctx, p, in)
}

// CleanUp implements dispatch.Stepper.
func (c calling) CleanUp(ctx context.Context, p *target.Plan, in target.Input) {
	flow.Calls(ctx)
	c.Stepper.CleanUp(ctx, p, in)
}

// serve serves a target as its plan says.
func (a *App) serve(p *target.Plan) error {
	a.flow.Configure(p)
	return a.worker.Serve(p.Name, p.Slots())
}

// targetChecks warns of targets that nothing is delivered to. The process stays in
// service: other targets and the gateway do not depend on them.
func (a *App) targetChecks() []admin.Check {
	if a.flow == nil {
		return nil
	}
	var out []admin.Check
	for _, s := range a.flow.States() {
		check := admin.Check{Name: "target " + s.Target, State: admin.Warning}
		switch {
		case s.Order.Mode == flow.Halted:
			check.Detail = "paused"
		case s.Order.Mode == flow.Draining:
			check.Detail = "draining: requests that feed it are refused"
		case s.Breaker == flow.Open && s.OpenFor > 0:
			check.Detail = "breaker open; a probe in " + s.OpenFor.Round(time.Second).String()
		case s.Breaker != flow.Closed:
			check.Detail = "breaker half-open: waiting for a probe's outcome"
		default:
			continue
		}
		out = append(out, check)
	}
	return out
}
