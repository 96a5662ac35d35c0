package app

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"headgate/config"
	"headgate/dispatch"
	"headgate/dispatch/tracking"
	"headgate/internal/flow"
	"headgate/internal/obs"
	"headgate/internal/queue"
	"headgate/internal/redisstore"
)

// buildFigures says where the metrics come from that are asked for on each scrape: gateways
// and workers tell the same of the fleet.
func (a *App) buildFigures(tasks *queue.Client) {
	held, alive := redisstore.NewFlow(a.conn.Base), new(dispatch.Alive)
	sources := obs.Sources{
		Log:     a.log,
		Targets: func() []string { return slices.Collect(maps.Keys(a.table.Load().Plans())) },
		Counts:  a.store.Counts,
		Pending: func(ctx context.Context, targets []string) (map[string]tracking.Waiters, error) {
			return dispatch.PendingOf(ctx, tasks, a.store, targets)
		},
		Held: func(ctx context.Context) (map[string]obs.HeldState, error) {
			all, err := held.Fleet(ctx)
			out := make(map[string]obs.HeldState, len(all))
			for name, f := range all {
				out[name] = obs.HeldState{Paused: f.Order.Mode == flow.Halted, Draining: f.Order.Mode == flow.Draining}
			}
			return out, err
		},
		Workers: func(ctx context.Context) (int, error) {
			counts, err := a.store.Owners(ctx)
			if err != nil {
				alive.Stalled()
				return 0, err
			}
			return alive.Count(counts), nil
		},
		Memory: func(ctx context.Context) ([]obs.NodeMemory, error) {
			nodes, err := a.store.Memory(ctx, a.redisName())
			out := make([]obs.NodeMemory, len(nodes))
			for i, n := range nodes {
				out[i] = obs.NodeMemory{NodeMemory: n, Bound: a.config.Redis.MaxMemory.Of(n.Max)}
			}
			return out, err
		},
	}
	if a.o.Role != RoleGateway {
		sources.Local = a.workerStates
	}
	a.metrics.Fleet(obs.NewLooker(sources).Fleet)
	a.metrics.Pool(func() obs.Pool {
		s := a.conn.Pool()
		return obs.Pool{Idle: s.Idle, Used: s.Used, Timeouts: s.Timeouts, Waits: s.Waits}
	})
	a.metrics.Build(cmp.Or(a.o.Version, "dev"))
}

// redisName names the server where there is no cluster.
func (a *App) redisName() string {
	switch url := a.config.Redis.URL; url.Mode {
	case config.Embedded:
		return "embedded"
	case config.Sentinel:
		return url.Master
	default:
		return url.Addrs[0]
	}
}

// workerStates tells how targets stand in this worker.
func (a *App) workerStates() map[string]obs.WorkerState {
	states := a.flow.States()
	out := make(map[string]obs.WorkerState, len(states))
	for _, s := range states {
		waits := make(map[string]uint64, len(s.Waits))
		for reason, n := range s.Waits {
			waits[string(reason)] = n
		}
		out[s.Target] = obs.WorkerState{Breaker: int(s.Breaker), InFlight: s.Running, Slots: s.Slots, Waits: waits}
	}
	return out
}
