package app

import (
	"context"
	"errors"
	"slices"
	"time"

	"headgate/config"
	"headgate/config/yamlsrc"
	"headgate/dispatch"
	"headgate/gateway"
	"headgate/gateway/admin"
	"headgate/internal/queue"
	"headgate/internal/redisstore"
	"headgate/policies"
	"headgate/routes"
)

func (a *App) listen() string {
	if a.o.Listen != "" {
		return a.o.Listen
	}
	return a.config.Listen
}

func (a *App) adminListen() string {
	if a.o.AdminListen != "" {
		return a.o.AdminListen
	}
	return a.config.Admin.Listen
}

// Table gives the routes in force.
func (a *App) Table() *routes.Table { return a.table.Load() }

func (a *App) gatewayOptions(acceptor dispatch.Acceptor, limit, callbackLimit policies.Policy) gateway.Options {
	c := a.config
	return gateway.Options{
		Table: func() gateway.Table { return a.table.Load() }, Acceptor: acceptor, Operator: a.operator,
		Log: a.log, AccessSample: orOff(c.Telemetry.Log.AccessSample), Trace: a.o.Traces.Tracer(),
		PublicURL: c.PublicURL, TrustedProxies: c.Proxies(),
		MaxBody: int64(c.Limits.MaxBody), MaxHeader: int(c.Limits.HeaderSize),
		ReadTimeout: c.Limits.ReadTimeout.D(), WriteTimeout: c.Limits.WriteTimeout.D(), IdleTimeout: c.Limits.IdleTimeout.D(),
		MaxWait: orOff(c.Limits.MaxWait.D()), MaxWaiters: orOff(c.Tracking.MaxWaiters), Retention: c.Tracking.Retention.D(),
		TrackingLimit: limit, Observe: a.metrics.Request, ObserveAccept: a.metrics.Accepted,
		Callbacks: a.callbacks, CallbackLimit: callbackLimit, ObserveCallback: a.metrics.Callback,
	}
}

// orOff gives what the gateway takes for none: a zero in the file is meant, there it
// stands for the default.
func orOff[T int | float64 | time.Duration](n T) T {
	if n == 0 {
		return -1
	}
	return n
}

// limit builds a rate limit of the operator's file; nil when there is none.
func (a *App) limit(name string, node *yamlsrc.Node) (policies.Policy, error) {
	if node == nil {
		return nil, nil
	}
	var report yamlsrc.Report
	p := Builtin().BuildPolicy("rate_limit", node.Pos, policies.Build{
		Name: name, Node: node, Report: &report, Dir: a.config.Dir, Deps: a.deps,
	})
	return p, report.Err()
}

func (a *App) buildAdmin(client *queue.Client) error {
	dashboard, closeDashboard := queue.Dashboard(queue.DashboardOptions{
		Connect: a.conn.Another, RootPath: "/asynqmon", Write: a.config.Admin.Asynqmon == config.Write, Prometheus: a.config.Admin.Prometheus,
	})
	if a.config.Admin.Prometheus != "" {
		a.metrics.Register(queue.NewFigures(a.conn.Base, a.log))
	}
	a.onStop("dashboard", func(context.Context) error { return closeDashboard() })
	a.admin = admin.New(admin.Options{
		Token: a.force.token, Log: a.log, Ready: a.ready, Metrics: a.metrics.Handler(a.log), Asynqmon: dashboard, AsynqmonWrites: a.config.Admin.Asynqmon == config.Write, Redis: a.redisAnswers,
		DeadLetters: a.operator, Dispatches: a.store, Config: a.effective, Level: a.o.Level,
		Targets: &targets{app: a, flow: redisstore.NewFlow(a.conn.Base), queue: client}, Reloads: a.reloadState,
		Reload: func(ctx context.Context) admin.Reload {
			did, _ := a.ReloadBy(ctx, ByAPI) // it says why it was refused
			return did
		},
	})
	a.onStop("admin listener", a.admin.Stop)
	return nil
}

// redisAnswers is nil when every node of Redis does.
func (a *App) redisAnswers(ctx context.Context) error {
	partly, err := a.conn.Health(ctx)
	if err == nil && partly != "" {
		err = errors.New(partly)
	}
	return err
}

// ready tells what requests need and how it stands.
func (a *App) ready(ctx context.Context) []admin.Check {
	redis := admin.Check{Name: "redis", State: admin.OK}
	if partly, err := a.conn.Health(ctx); err != nil {
		redis.State, redis.Detail = admin.Failed, "redis does not answer"
		if said := redisstore.Said(err); said != "" { // such as MISCONF when its disk is full
			redis.Detail = "redis refuses: " + said
		}
		a.log.WarnContext(ctx, "redis cannot be used", "error", err)
	} else if partly != "" {
		// What the other nodes have goes on: taking this process out would stop that, too.
		redis.State, redis.Detail = admin.Warning, "a node of the cluster does not answer"
		a.log.WarnContext(ctx, "a node of the redis cluster does not answer", "error", partly)
	}
	checks := []admin.Check{redis}
	if found, err := a.store.Guard(ctx); err == nil {
		for _, text := range found {
			checks = append(checks, admin.Check{Name: "redis settings", State: admin.Warning, Detail: text})
		}
	}
	for _, text := range Findings(a.config, a.table.Load(), a.o.Role) {
		checks = append(checks, admin.Check{Name: "settings", State: admin.Warning, Detail: text})
	}
	if a.gateway != nil && !a.serving.Load() {
		checks = append(checks, admin.Check{Name: "listener", State: admin.Failed, Detail: "requests belong elsewhere: the process does not answer them yet, or is about to end"})
	}
	if a.redis != nil && !a.redis.Durable {
		checks = append(checks, admin.Check{Name: "persistence", State: admin.Warning, Detail: "redis is emulated in memory; nothing survives this process"})
	}
	health := a.table.Load().Health()
	names := make([]string, 0, len(health))
	for name := range health {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		check := admin.Check{Name: "auth " + name, State: admin.OK}
		if err := health[name]; err != nil {
			// Other authenticators go on working, so the process stays in service.
			check.State, check.Detail = admin.Warning, err.Error()
		}
		checks = append(checks, check)
	}
	checks = append(checks, a.secretChecks()...)
	checks = append(checks, a.roomChecks()...)
	return append(checks, a.targetChecks()...)
}
