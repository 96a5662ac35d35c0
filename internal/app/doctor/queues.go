package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"headgate/internal/flow"
	"headgate/internal/queue"
	"headgate/internal/redisstore"
)

// old is from when on a task that waits is worth a word.
const old = 5 * time.Minute

// queues looks at asynq's queues, and for those that nobody serves.
func (e *exam) queues(ctx context.Context) (out []Finding) {
	list, err := e.queue.Look(ctx)
	if err != nil {
		return []Finding{{"", Warning, "not looked at: " + plainError(err), ""}}
	}
	open, err := e.openOf(ctx)
	if err != nil {
		return []Finding{{"", Warning, "not looked at: " + plainError(err), ""}}
	}
	tasks := 0
	for _, q := range list {
		tasks += q.Tasks()
		out = append(out, e.queueOf(q, open[q.Target()] > 0)...)
	}
	if e.table != nil {
		for _, target := range slices.Sorted(maps.Keys(open)) {
			if e.table.Plans()[target] == nil {
				out = append(out, Finding{"", Warning, fmt.Sprintf("target %s has left the files and has %s under way: workers finish them under the plan that was kept", target, count(open[target], "delivery")),
					"keep its secrets until they have ended; see: headgate find --state in_progress --target " + target})
			}
		}
	}
	if len(out) == 0 {
		out = append(out, Finding{"", OK, fmt.Sprintf("%s with %s: none paused in asynq, none orphaned, nothing waits for long", count(len(list), "queue"), count(tasks, "task")), ""})
	}
	return out
}

// openOf counts what is under way, by target.
func (e *exam) openOf(ctx context.Context) (map[string]int, error) {
	plans, err := e.store.OpenPlans(ctx)
	out := map[string]int{}
	for ref, n := range plans {
		if n > 0 {
			out[ref.Target] += n
		}
	}
	return out, err
}

// queueOf judges one queue.
func (e *exam) queueOf(q queue.Length, open bool) (out []Finding) {
	say := func(state State, do, format string, args ...any) {
		out = append(out, Finding{"", state, fmt.Sprintf("queue %s "+format, append([]any{q.Queue}, args...)...), do})
	}
	served := open || e.table == nil || e.table.Plans()[q.Target()] != nil
	if !served {
		if n := q.Tasks() + q.Archived; n > 0 {
			say(Warning, fmt.Sprintf("if another program has it, leave it; else: asynq queue rm --force %s, or write the target %s again", q.Queue, q.Target()),
				"belongs to no target and holds %s: nobody runs them", count(n, "task"))
		}
		return out
	}
	if q.Paused {
		say(Problem, fmt.Sprintf("asynq queue unpause %s, or %s DEL 'asynq:{%s}:paused'; to hold a target back: headgate pause %s", q.Queue, e.cli(""), q.Queue, q.Target()),
			"is paused in asynq, by hand: none of its %s is delivered, and Headgate does not show it as paused", count(q.Tasks(), "task"))
	}
	if q.Archived > 0 {
		say(Warning, "what is still to be delivered is queued anew; delete what is left in /asynqmon", "holds %s that was archived, by hand or after faults of asynq", count(q.Archived, "task"))
	}
	if q.Oldest > old && !q.Paused {
		say(Warning, "see whether the target is paused, its breaker open, its limits.rate too low, or too few workers run",
			"has a task that has waited for %s, and %d behind it", short(q.Oldest), q.Pending-1)
	}
	return out
}

// held looks for targets that are held back.
func (e *exam) held(ctx context.Context) (out []Finding) {
	fleet, err := redisstore.NewFlow(e.conn.Base).Look(ctx, "doctor", nil, 0)
	if err != nil {
		return []Finding{{"", Warning, "what holds targets back is not known: " + plainError(err), ""}}
	}
	open, err := e.openOf(ctx)
	if err != nil {
		return nil // said by queues
	}
	for _, target := range slices.Sorted(maps.Keys(fleet)) {
		out = append(out, heldBack(target, fleet[target], open[target])...)
	}
	return out
}

func heldBack(target string, f flow.Fleet, open int) (out []Finding) {
	waiting := count(open, "delivery") + " under way"
	if what := map[flow.Mode]string{flow.Halted: "nothing is delivered to it", flow.Draining: "requests that feed it are refused"}[f.Order.Mode]; what != "" {
		text := fmt.Sprintf("target %s is %s", target, f.Order.Mode)
		if why := strings.Join(slices.DeleteFunc([]string{oneLine(f.Order.By), oneLine(f.Order.Note)}, func(s string) bool { return s == "" }), ": "); why != "" {
			text += " (" + why + ")"
		}
		out = append(out, Finding{"", Warning, text + ": " + what + "; " + waiting, "if that was forgotten: headgate resume " + target})
	}
	if f.Open {
		out = append(out, Finding{"", Warning, "the breaker of target " + target + " is open: its calls failed in a row; " + waiting,
			"see whether its backend answers, under targets below; it closes by itself"})
	}
	return out
}

// dead counts the dead letters.
func (e *exam) dead(ctx context.Context) []Finding {
	n, err := e.store.DeadCount(ctx)
	switch {
	case err != nil:
		return []Finding{{"", Warning, "dead letters are not counted: " + plainError(err), ""}}
	case n > 0:
		return []Finding{{"", Warning, count(n, "delivery") + " gave up (dead letters)", "headgate deadletters list, and once the cause is mended: headgate deadletters replay --dry-run"}}
	}
	return []Finding{{"", OK, "no dead letters", ""}}
}
