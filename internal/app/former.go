package app

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"headgate/dispatch/target"
	"headgate/gateway/admin"
)

// How often a worker looks for deliveries of targets and plans that have left the files: soon
// after a start or a reload, then less and less often, and more often while there are any.
const (
	firstLook     = time.Second
	drainInterval = 5 * time.Second
	formerLook    = 30 * time.Second
)

// keepSeries is for how long the metrics tell what was counted of a target that was given up:
// long enough for what its last deliveries came to to be scraped.
const keepSeries = 10 * time.Minute

// lookSoon makes the looks for former targets begin anew.
func (a *App) lookSoon() {
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// followTargets serves targets as long as they have deliveries under way, until ctx ends.
func (a *App) followTargets(ctx context.Context) {
	pause := firstLook
	for {
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-a.kick:
			timer.Stop()
			pause = firstLook
			continue
		case <-timer.C:
		}
		longest := formerLook
		if a.serveTargets(ctx) > 0 {
			longest = drainInterval
		}
		pause = min(2*pause, longest)
	}
}

// serveTargets serves every target of the files, and those that have left the files but
// still have deliveries under way; of the latter it gives the number. The others are given up.
func (a *App) serveTargets(ctx context.Context) (former int) {
	a.targets.Lock()
	defer a.targets.Unlock()
	live := a.table.Load().Plans()
	for name, plan := range live {
		if err := a.serve(plan); err != nil {
			a.log.ErrorContext(ctx, "target is not served; trying again", "target", name, "error", err)
		}
	}
	open, err := a.store.OpenPlans(ctx)
	if err != nil {
		a.log.WarnContext(ctx, "looking for deliveries of former targets did not work; trying again", "error", err)
		return 0
	}
	busy, gone := map[string]bool{}, map[string]*target.Plan{}
	for ref := range open {
		busy[ref.Target] = true
		if err := a.plans.Renew(ctx, ref.Hash); err != nil {
			a.log.WarnContext(ctx, "a plan in use is not renewed; trying again", "target", ref.Target, "error", err)
		}
		plan, err := a.plans.Find(ctx, ref.Target, ref.Hash)
		if err != nil {
			a.log.WarnContext(ctx, "deliveries without a plan", "target", ref.Target, "error", err)
			continue
		}
		if live[ref.Target] == nil {
			gone[ref.Target] = careful(gone[ref.Target], plan)
		}
	}
	for name, plan := range gone {
		if err := a.serve(plan); err != nil {
			a.log.ErrorContext(ctx, "former target is not served; trying again", "target", name, "error", err)
		}
	}
	for _, name := range a.worker.Targets() {
		switch {
		case live[name] != nil:
		case busy[name]:
			former++
		default:
			a.giveUp(ctx, name)
		}
	}
	a.forgetSeries()
	removed, err := a.worker.RemoveDeserted(ctx, func(name string) bool { return live[name] != nil || busy[name] })
	if err != nil {
		a.log.WarnContext(ctx, "looking for queues of former targets did not work; trying again", "error", err)
	}
	for _, name := range removed {
		a.log.InfoContext(ctx, "the queues of a former target that nobody served are removed", "target", name)
	}
	return former
}

// forgetSeries drops what was counted of targets that were given up a while ago.
func (a *App) forgetSeries() {
	served := a.worker.Targets()
	for name, since := range a.parted {
		switch {
		case slices.Contains(served, name):
			delete(a.parted, name)
		case time.Since(since) >= keepSeries:
			a.metrics.Forget(name)
			delete(a.parted, name)
		}
	}
}

// careful gives the one of two plans by which a former target is served that has deliveries under
// both: the one with fewer slots. It is the same at each look: otherwise its server would be
// replaced each time, and what the former ones still run would come on top. x may be nil.
func careful(x, y *target.Plan) *target.Plan {
	if x == nil || cmp.Or(cmp.Compare(y.Slots(), x.Slots()), cmp.Compare(y.Hash, x.Hash)) < 0 {
		return y
	}
	return x
}

// giveUp stops serving a target that has left the files and whose deliveries have all ended.
// Should another process that has older files still accept one, it is found and served again.
func (a *App) giveUp(ctx context.Context, name string) {
	gone, err := a.worker.Release(name)
	switch {
	case err != nil:
		a.log.WarnContext(ctx, "the queues of a former target are not given up; trying again", "target", name, "error", err)
	case gone:
		a.flow.Forget(name)
		a.parted[name] = time.Now()
		a.log.InfoContext(ctx, "former target is drained: its deliveries have ended and its queues are given up", "target", name)
	}
}

// formerWithin bounds the look at what is under way when somebody asks for it.
const formerWithin = 3 * time.Second

// former tells which deliveries are under way that the files say something else about.
func (a *App) former(ctx context.Context) (draining []admin.Drained, flows []admin.FormerFlow, err error) {
	ctx, cancel := context.WithTimeout(ctx, formerWithin)
	defer cancel()
	open, err := a.store.OpenPlans(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("look for deliveries under former plans: %w", err)
	}
	live := a.table.Load().Plans()
	gone := map[string]int{}
	for ref, n := range open {
		now := live[ref.Target]
		if now == nil {
			gone[ref.Target] += n
		}
		if now == nil || now.Hash == ref.Hash {
			continue
		}
		flow := admin.FormerFlow{Target: ref.Target, Plan: ref.Hash, Deliveries: n, StepsNow: now.StepNames()}
		if was, err := a.plans.Find(ctx, ref.Target, ref.Hash); err == nil {
			if was.SameFlow(now) {
				continue
			}
			flow.Steps = was.StepNames()
		}
		flows = append(flows, flow)
	}
	for _, name := range slices.Sorted(maps.Keys(gone)) {
		draining = append(draining, admin.Drained{Target: name, Deliveries: gone[name]})
	}
	slices.SortFunc(flows, func(x, y admin.FormerFlow) int {
		return cmp.Or(cmp.Compare(x.Target, y.Target), cmp.Compare(x.Plan, y.Plan))
	})
	return draining, flows, nil
}
