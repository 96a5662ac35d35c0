// Package app wires the process: it makes every part, hands each what it needs, starts
// and stops them in order, and swaps the route table on reload. It holds no logic of
// its own.
package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"headgate/config"
	"headgate/dispatch"
	"headgate/dispatch/target"
	"headgate/gateway"
	"headgate/gateway/admin"
	"headgate/internal/embedded"
	"headgate/internal/flow"
	"headgate/internal/obs"
	"headgate/internal/queue"
	"headgate/internal/redisstore"
	"headgate/internal/watch"
	"headgate/policies"
	"headgate/routes"
)

// Role is what a process does.
type Role string

// The roles.
const (
	RoleAll     Role = "all"
	RoleGateway Role = "gateway"
	RoleWorker  Role = "worker"
)

// Roles lists the roles.
func Roles() []Role { return []Role{RoleAll, RoleGateway, RoleWorker} }

// Options of New.
type Options struct {
	ConfigPath string
	Role       Role
	Log        *slog.Logger // nil: none
	// Level changes what Log writes at run time, by an operator or by a reload that finds
	// another telemetry.log.level; nil: it cannot be changed.
	Level   *slog.LevelVar
	Version string // of the program, for metrics
	// Traces takes the spans, and is stopped with the process; nil: none are made.
	Traces *obs.Traces
	// Listen and AdminListen replace the configured addresses when they are not empty;
	// AdminListen may be config.Off.
	Listen, AdminListen string
	// Resolver finds the addresses of the hosts that are called; nil takes the system's.
	Resolver *net.Resolver
}

// App is one process.
type App struct {
	o       Options
	config  *config.Config // the start's; see Config
	log     *slog.Logger
	table   atomic.Pointer[routes.Table]
	deps    policies.Deps
	conn    *redisstore.Conn
	redis   *embedded.Server // nil unless embedded
	store   *redisstore.Store
	metrics *obs.Metrics

	gateway *gateway.Server
	room    *dispatch.Admission // nil in a worker
	serving atomic.Bool         // the gateway is to get requests
	admin   *admin.Server
	engine  *target.Engine
	worker  *queue.Worker
	flow    *flow.Flow // nil in a gateway
	owner   *dispatch.Owner
	// living is the owner's life, lifetime the goroutine that shows it.
	living   context.Context //nolint:containedctx // made before, ended after what it covers
	lifetime sync.WaitGroup
	plans    *dispatch.Plans
	operator *dispatch.Operator
	// callbacks names URLs in a worker and takes callbacks in a gateway.
	callbacks *dispatch.Callbacks

	reloading sync.Mutex
	force     inForce
	watcher   *watch.Watcher
	targets   sync.Mutex           // which are served is being changed
	parted    map[string]time.Time // targets that were given up, and when; by targets
	kick      chan struct{}        // they are to be looked at soon
	running   sync.WaitGroup
	cleanups  []cleanup // undone in reverse order
}

type cleanup struct {
	name string
	run  func(ctx context.Context) error
}

func (a *App) onStop(name string, run func(ctx context.Context) error) {
	a.cleanups = append(a.cleanups, cleanup{name, run})
}

// New reads the files and makes every part. On an error nothing is left behind. A
// *yamlsrc.ProblemsError tells what is wrong with the files.
func New(ctx context.Context, o Options) (*App, error) {
	a := &App{o: o, metrics: obs.New(), kick: make(chan struct{}, 1), parted: map[string]time.Time{}}
	if err := a.make(ctx); err != nil {
		return nil, errors.Join(err, a.cleanUp(ctx))
	}
	return a, nil
}

func (a *App) make(ctx context.Context) (err error) {
	o := a.o
	a.onStop("traces", func(ctx context.Context) error { o.Traces.Stop(ctx); return nil })
	limiter := &lateLimiter{}
	a.log = slog.New(slog.DiscardHandler)
	if o.Log != nil {
		a.log = o.Log
	}
	a.deps = policies.Deps{Limit: limiter.Limit, HTTP: &http.Client{Timeout: 10 * time.Second}, Log: a.log, Kept: &sync.Map{}}
	read, err := a.read()
	if err != nil {
		return err
	}
	c, table := read.config, read.table
	a.config, a.force.config, a.force.token, a.force.look, a.force.since = c, c, read.token, read.look, time.Now()
	a.watcher = a.newWatcher()
	a.metrics.Reloaded(true)
	a.table.Store(table)
	a.onStop("routes", func(context.Context) error { a.table.Load().Close(); return nil })
	if c.Redis.URL.Mode == config.Embedded && o.Role != RoleAll {
		return fmt.Errorf("redis.url: embedded serves one process only; role %s needs a Redis that all processes reach", o.Role)
	}
	if a.conn, a.redis, err = openRedis(ctx, c, pool(c, o.Role, table.Plans()), a.metrics.Redis, a.log); err != nil {
		return err
	}
	if a.redis != nil {
		a.onStop("embedded redis", func(context.Context) error { return a.redis.Stop() })
	}
	a.onStop("redis connections", func(context.Context) error { return a.conn.Close() })
	if err := limiter.use(a.conn.Shared); err != nil {
		return err
	}
	a.store = redisstore.New(a.conn.Shared, a.conn.Base)
	a.store.OnEnd(a.metrics.Ended)
	a.store.OnSeal(a.metrics.Sealed)
	if ack := c.Redis.Ack; ack.Replicas > 0 && o.Role != RoleWorker {
		own := a.conn.Another(ackPool)
		a.onStop("connections that wait for replicas", func(context.Context) error { return own.Close() })
		a.store.Acknowledge(own, redisstore.Ack{Replicas: ack.Replicas, Timeout: ack.Timeout.D()})
	}
	a.store.KeepDeadLetters(c.DeadLetters.Retention.D())
	a.onStop("subscriptions", func(context.Context) error { return a.store.Close() })
	return a.build()
}

func (a *App) build() error {
	client := queue.NewClient(a.conn.Shared, a.conn.Base, a.log)
	a.onStop("queueing", client.Close)
	a.plans = dispatch.NewPlans(func() map[string]*target.Plan { return a.table.Load().Plans() }, a.store)
	a.operator = &dispatch.Operator{Store: a.store, Queue: client, Plans: a.plans, Log: a.log}
	a.buildFigures(client)
	a.callbacks = &dispatch.Callbacks{Store: a.store, Queue: client, PublicURL: a.config.PublicURL, Log: a.log}
	// First, so that it answers until everything else has stopped.
	if a.config.Admin.Enabled() {
		if err := a.buildAdmin(client); err != nil {
			return err
		}
	}
	if a.o.Role != RoleWorker {
		limit, err := a.limit("tracking", a.config.Tracking.RateLimit)
		if err != nil {
			return err
		}
		callbackLimit, err := a.limit("callbacks", cmp.Or(a.config.Callbacks.RateLimit, defaultCallbackLimit()))
		if err != nil {
			return err
		}
		a.buildAdmission()
		a.gateway = gateway.New(a.gatewayOptions(dispatch.NewDispatcher(a.store, client).Admit(a.room).Trace(a.o.Traces.Tracer()), limit, callbackLimit))
	}
	if a.o.Role != RoleGateway {
		a.buildFlow()
		a.engine = target.NewEngine(target.Outgoing{
			Resolver: a.o.Resolver, MayReach: a.config.Egress.Networks(), Tokens: redisstore.NewTokens(a.conn.Shared),
			Trace: a.o.Traces.Tracer(),
		}, a.log)
		a.onStop("outgoing connections", func(context.Context) error { a.engine.Close(); return nil })
		a.owner = dispatch.NewOwner(a.store, a.log)
		ripening := &dispatch.Ripening{Store: a.store, Queue: client}
		a.onStop("batches", func(context.Context) error { ripening.Stop(); return nil })
		runner := &dispatch.Runner{
			Store: a.store, Queue: client, Plans: a.plans, Engine: calling{a.engine}, Owner: a.owner, Log: a.log, Observe: a.observe,
			Ripening: ripening, Callbacks: a.callbacks, Trace: a.o.Traces.Tracer(),
		}
		// Signs of life go on until the worker has stopped: nobody may take over what it
		// is still finishing.
		living, die := context.WithCancel(context.Background())
		a.living = living
		a.onStop("signs of life", func(context.Context) error { die(); a.lifetime.Wait(); return nil })
		a.worker = queue.NewWorker(queue.Options{
			Redis: a.conn.Base, Shared: a.conn.Shared, Handler: runner.Run, Valve: a.valve, Log: a.log, Grace: a.config.Limits.Shutdown.D(),
		})
		a.onStop("worker", func(context.Context) error { a.worker.Stop(); return nil })
	}
	return nil
}

// Start opens the listeners and begins to work. It returns when requests are answered.
func (a *App) Start(ctx context.Context) error {
	if err := a.judgeFiles(ctx, a.table.Load()); err != nil {
		return err
	}
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	a.onStop("background", func(context.Context) error { cancel(); a.running.Wait(); return nil })
	if err := a.store.Prepare(ctx); err != nil {
		a.log.WarnContext(ctx, "redis does not answer yet; starting all the same", "error", err)
	} else if err := a.guard(ctx); err != nil {
		return err
	}
	if a.worker != nil {
		a.startWorking(background)
	}
	if a.admin != nil {
		if err := a.admin.Start(ctx, a.adminListen()); err != nil {
			return fmt.Errorf("admin listener: %w", err)
		}
	}
	if a.gateway != nil {
		if err := a.room.Read(ctx); err != nil {
			a.log.WarnContext(ctx, "the backlog could not be read; trying again", "error", err)
		}
		a.running.Go(func() { a.room.Run(background) })
		if err := a.gateway.Start(ctx, a.listen()); err != nil {
			return fmt.Errorf("listener: %w", err)
		}
		a.serving.Store(true)
		a.onStop("listener", func(ctx context.Context) error {
			a.serving.Store(false)
			a.gateway.Drain()
			return a.gateway.Stop(ctx)
		})
	}
	a.running.Go(func() { a.watcher.Run(background) })
	a.warnOfSecrets(ctx)
	a.log.InfoContext(ctx, "headgate is up", "role", a.o.Role, "listen", a.Addr(), "admin", a.AdminAddr(), "redis", a.Redis(),
		"routes", len(a.table.Load().Routes()), "targets", len(a.table.Load().Plans()))
	return nil
}

func (a *App) startWorking(ctx context.Context) {
	a.lifetime.Go(func() { a.owner.Run(a.living) })
	a.serveTargets(ctx)
	reconciler := &dispatch.Reconciler{
		Store: a.store, Queue: queue.NewClient(a.conn.Shared, a.conn.Base, a.log), Log: a.log, Owner: a.owner,
		Targets: func() []string { t := a.worker.Targets(); slices.Sort(t); return t }, Repaired: a.metrics.Repair,
	}
	a.running.Go(func() { a.flow.Run(ctx) })
	a.running.Go(func() { reconciler.Run(ctx) })
	a.running.Go(func() { a.operator.Run(ctx) })
	a.running.Go(func() { a.followTargets(ctx) })
}

// Drain says at /readyz that requests belong elsewhere, and goes on taking those that come all
// the same for limits.drain, or until ctx ends: each answer ends its connection. Stop follows.
func (a *App) Drain(ctx context.Context) {
	pause := a.config.Limits.Drain.D()
	if a.gateway == nil || pause <= 0 || !a.serving.CompareAndSwap(true, false) {
		return
	}
	a.log.InfoContext(ctx, "draining: not ready any longer, and still taking requests", "for", pause.String())
	a.gateway.Drain()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Stop ends everything in reverse order of its start: first no new requests, then the
// steps in flight, last the connections. It can be called more than once.
func (a *App) Stop(ctx context.Context) error { return a.cleanUp(ctx) }

func (a *App) cleanUp(ctx context.Context) error {
	var errs []error
	for len(a.cleanups) > 0 {
		last := a.cleanups[len(a.cleanups)-1]
		a.cleanups = a.cleanups[:len(a.cleanups)-1]
		if err := last.run(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", last.name, err))
		}
	}
	return errors.Join(errs...)
}

// Addr is where clients are answered; empty for a worker.
func (a *App) Addr() string {
	if a.gateway == nil {
		return ""
	}
	return a.gateway.Addr()
}

// AdminAddr is where the admin listener answers; empty when it is off.
func (a *App) AdminAddr() string {
	if a.admin == nil {
		return ""
	}
	return a.admin.Addr()
}

// Redis says which Redis is used.
func (a *App) Redis() string {
	switch {
	case a.redis == nil:
		return a.config.Redis.URL.String()
	case a.redis.Durable:
		return "a private redis-server with an append-only file"
	}
	return "an emulation in memory"
}

// Banner is what an operator must be told about the embedded Redis; usually empty.
func (a *App) Banner() string {
	if a.redis == nil {
		return ""
	}
	return a.redis.Banner()
}
