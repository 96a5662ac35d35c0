package app

import (
	"cmp"
	"fmt"
	"slices"

	"headgate/config/unit"
	"headgate/dispatch"
	"headgate/gateway/admin"
	"headgate/internal/redisstore"
)

// buildAdmission makes what refuses requests when there is no room; only gateways take
// requests.
func (a *App) buildAdmission() {
	a.room = &dispatch.Admission{
		Store: a.store, Memory: a.config.Redis.MaxMemory, Log: a.log,
		Drained: redisstore.NewFlow(a.conn.Base).Draining,
		Refused: func(target string, what dispatch.Full) { a.metrics.Refused(target, string(what)) },
	}
}

// roomChecks tells how full the backlogs are that have a limit, and Redis. The process
// stays in service: routes that do not feed a full target go on, and so do replays.
func (a *App) roomChecks() []admin.Check {
	if a.room == nil {
		return nil
	}
	backlogs, memory, bound := a.room.State()
	open := make(map[string]int, len(backlogs))
	for _, b := range backlogs {
		open[b.Target] = b.Open
	}
	var out []admin.Check
	for name, plan := range a.table.Load().Plans() {
		limit := plan.Limits.Backlog
		if limit == 0 {
			continue
		}
		check := admin.Check{Name: "backlog " + name, State: admin.OK, Detail: fmt.Sprintf("%d of %d deliveries are under way", open[name], limit)}
		if open[name] >= limit {
			check.State = admin.Warning
			check.Detail += "; requests that feed the target are refused"
		}
		out = append(out, check)
	}
	slices.SortFunc(out, func(x, y admin.Check) int { return cmp.Compare(x.Name, y.Name) })
	if memory.Used == 0 {
		return out
	}
	check := admin.Check{Name: "redis memory", State: admin.OK, Detail: fmt.Sprintf("%s used", megabytes(memory.Used))}
	switch {
	case bound == 0:
		check.Detail += ", without a limit: redis has no maxmemory"
	case memory.Used >= bound:
		check.State = admin.Warning
		check.Detail += fmt.Sprintf(" of %s (redis.max_memory); requests are refused", megabytes(bound))
	default:
		check.Detail += fmt.Sprintf(" of %s (redis.max_memory)", megabytes(bound))
	}
	return append(out, check)
}

func megabytes(bytes int64) string { return unit.Size((bytes + 1<<19) >> 20 << 20).String() }
