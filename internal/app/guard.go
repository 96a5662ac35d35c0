package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"headgate/config"
	"headgate/config/unit"
	"headgate/dispatch/target"
	"headgate/internal/queue"
	"headgate/routes"
)

// What a worker asks of Redis besides a connection for each slot, which writes down what
// its run came to: a dequeue and a look at what is due for each target, and the rest of
// the process.
const (
	connsOfTarget  = 2
	connsOfProcess = 16
)

// The pool when the file says nothing: what the targets need, within these bounds.
// Connections are opened when they are needed.
const (
	leastPool = 64
	mostPool  = 1000
)

// connsNeeded is how many connections keep a worker from waiting for one: a pool that is
// too small makes commands queue without a word.
func connsNeeded(plans map[string]*target.Plan) int {
	need := connsOfProcess
	for _, p := range plans {
		need += p.Slots() + connsOfTarget
	}
	return need
}

// pool is the size of the pool for a role.
func pool(c *config.Config, role Role, plans map[string]*target.Plan) int {
	if c.Redis.PoolSize > 0 || role == RoleGateway {
		return c.Redis.PoolSize
	}
	return min(max(leastPool, connsNeeded(plans)), mostPool)
}

// Findings says, in words for an operator, which settings of the files do not go
// together and what to do. Empty: nothing was found. Under `strict` each is an error.
func Findings(c *config.Config, table *routes.Table, role Role) []string {
	if role == RoleGateway {
		return nil // it calls no backend and serves no queue
	}
	plans := table.Plans()
	var out []string
	// The emulation in memory is served by fewer connections than any worker's slots.
	if size, need := pool(c, role, plans), connsNeeded(plans); c.Redis.URL.Mode != config.Embedded && size < need {
		out = append(out, fmt.Sprintf("redis.pool_size is %d, but %s may use %d connections at a time: commands would wait for one another; raise redis.pool_size to %d or lower limits.concurrency of the targets",
			size, count(len(plans), "target"), need, need))
	}
	grace := queue.CallGrace(c.Limits.Shutdown.D())
	for _, name := range slices.Sorted(maps.Keys(plans)) {
		for _, o := range plans[name].Overlong(grace) {
			out = append(out, fmt.Sprintf("%s: %s: a call may take %s, but a worker that stops waits %s: the call would be cut off and sent again; raise limits.shutdown of the operator's file to %s, or lower the timeout",
				o.Pos, who(name, o.Step), unit.Duration(o.Timeout), unit.Duration(grace), unit.Duration(queue.ShutdownFor(o.Timeout))))
		}
		for _, h := range plans[name].Held(muchHeld) {
			out = append(out, fmt.Sprintf("%s: %s: an upload may have %s and is held in memory, a few times over while it is written and for each of limits.concurrency, since %s; write the body so that each record is written by itself, such as ndjson: ${{ .records }}, or lower max_bytes",
				h.Pos, who(name, h.Step), h.Most, h.Why))
		}
	}
	return out
}

// muchHeld is from which size on an upload that is held in memory is worth a word.
const muchHeld unit.Size = 16 << 20

// who names a step of a target; the step is empty where the target has no steps.
func who(target, step string) string {
	if step == "" {
		return "target " + target
	}
	return "target " + target + ", step " + step
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// judge refuses what was found when the file asks for that.
func judge(c *config.Config, found []string) error {
	if len(found) > 0 && c.Strict {
		return fmt.Errorf("refused (strict: true): %s", strings.Join(found, "; "))
	}
	return nil
}

// judgeFiles tells which settings do not go together; under `strict` that is an error.
func (a *App) judgeFiles(ctx context.Context, table *routes.Table) error {
	found := Findings(a.config, table, a.o.Role)
	if err := judge(a.config, found); err != nil {
		return err
	}
	for _, text := range found {
		a.log.WarnContext(ctx, "settings that do not go together", "finding", text)
	}
	return nil
}

// guard tells how Redis's settings break the promise; under `strict` that is an error.
func (a *App) guard(ctx context.Context) error {
	found, err := a.store.Guard(ctx)
	if err != nil {
		return err
	}
	if err := judge(a.config, found); err != nil {
		return err
	}
	for _, text := range found {
		a.log.WarnContext(ctx, "redis is not set up to keep what was acknowledged", "finding", text)
	}
	return nil
}
