package app_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"headgate/config/yamlsrc"
	"headgate/dispatch/fault"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
	"headgate/internal/app"
	"headgate/internal/simulate"
	"headgate/policies"
)

// A process that dies between any two things that it does for the records of a recipe, from
// taking them on to the last clean-up, changes nothing of what becomes of each record. A call
// whose answer was lost is made once more, the very same; none is left out.
func TestRecipesThroughCrashes(t *testing.T) {
	setVendorSecrets(t)
	for _, name := range slices.Sorted(maps.Keys(uses())) {
		t.Run(name, func(t *testing.T) {
			used := func() use { return uses()[name] }
			plan := crashPlan(t, name, used())
			calm := crashedAt(t, plan, 0, used)
			for record, want := range used().records {
				if got := calm.ends[record].state; got != want {
					t.Errorf("without a crash %s ended as %s, want %s", record, got, want)
				}
			}
			points, again := 1, 0
			for ; ; points++ {
				got := crashedAt(t, plan, points, used)
				if got.crash == "" {
					break
				}
				again += got.compare(t, points, calm)
			}
			t.Logf("%d crash points; a call was made once more after %d of them", points-1, again)
		})
	}
}

// crashPlan compiles a recipe as its use has it, with a batch that is full with all records.
func crashPlan(t *testing.T, name string, u use) *target.Plan {
	t.Helper()
	recipe, _, _ := strings.Cut(name, "--")
	compile := func(more string) *target.Plan {
		dir := t.TempDir()
		for file, text := range map[string]string{
			"headgate.yaml": "admin: {listen: '127.0.0.1:0', token: {env: HEADGATE_ADMIN_TOKEN}}\nredis: {url: 'redis://127.0.0.1:6379'}\nroutes: [routes.yaml]\nroutes_may_read: {env: ['ATTACK_*']}\n",
			"routes.yaml": fmt.Sprintf("targets:\n  %s:\n    recipe: %s\n    %s\n%sroutes:\n  - {name: r, match: POST /r, auth: none, targets: {%s: }}\n",
				name, recipe, strings.ReplaceAll(u.target, "URL", "http://vendor.example"), more, name),
		} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var report yamlsrc.Report
		_, table := app.Load(filepath.Join(dir, "headgate.yaml"), policies.Deps{}, &report)
		if err := report.Err(); err != nil {
			t.Fatal(err)
		}
		defer table.Close()
		return table.Plans()[name]
	}
	if strings.Contains(u.target, "PORT") || strings.Contains(u.target, "BUCKET") {
		t.Skip("it needs a second server beside the vendor's")
	}
	plan := compile("")
	if plan.Batch == nil || strings.Contains(u.target, "batch:") {
		return plan
	}
	return compile(fmt.Sprintf("    batch: {max_records: %d, linger: 1m}\n", len(u.records)))
}

// crashEnd is how a record ended.
type crashEnd struct {
	state  tracking.State
	reason fault.Reason
}

// crashRun is what came of one run.
type crashRun struct {
	ends  map[string]crashEnd // by record
	all   []simulate.Request
	calls []simulate.Request // of these, those that changed something
	sets  int                // batches that the records went in; 0 without batches
	crash string             // before what it died; empty when it was over before
	trace []string           // what was done before that
}

// crashedAt sends the records of a recipe through a process that dies before the nth thing it
// does, 0: never, and through the one that takes over. make gives the use within the time of the run.
func crashedAt(t *testing.T, plan *target.Plan, n int, make func() use) (out *crashRun) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		u := make()
		w := newCrashWorld(plan, u.backend, n)
		defer w.stop()
		w.start()
		out = &crashRun{ends: map[string]crashEnd{}}
		ids := map[string]string{}
		for _, record := range slices.Sorted(maps.Keys(u.records)) {
			ids[record] = w.send(t, record)
		}
		w.finish(t)
		batches := map[string]bool{}
		for record, id := range ids {
			d, err := w.store.Load(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			end := d.Deliveries[plan.Name]
			out.ends[record] = crashEnd{end.State, end.Reason}
			if end.Batch != "" {
				batches[end.Batch] = true
			}
		}
		out.sets = len(batches)
		out.all = u.backend.Requests(0)
		for _, call := range out.all {
			if call.Method != http.MethodGet && call.Method != http.MethodHead && !strings.Contains(call.Path, "token") && call.Status < http.StatusBadRequest {
				out.calls = append(out.calls, call)
			}
		}
		out.crash, out.trace = w.crash, w.done
	})
	return out
}

// compare holds a run with a crash against the one without, and gives how many calls were
// made once more: the very same, for a call that differs in anything is another one.
func (got *crashRun) compare(t *testing.T, n int, calm *crashRun) (again int) {
	t.Helper()
	var problems []string
	// A batch whose member died on its way into it goes without that member, which goes with
	// the next one: so there may be more calls, and nothing is said against a record that was
	// said because of others beside it.
	apart := got.sets > calm.sets
	for record, want := range calm.ends {
		if end := got.ends[record]; end != want && !(apart && end.state == tracking.Succeeded) {
			problems = append(problems, fmt.Sprintf("%s ended as %v, want %v", record, end, want))
		}
	}
	different, usual := distinct(got.calls), distinct(calm.calls)
	if again = len(got.calls) - len(different) - len(calm.calls) + len(usual); again > 1 {
		problems = append(problems, fmt.Sprintf("%d calls were made once more: %v", again, shown(got.calls)))
	}
	whole := true
	for record := range calm.ends {
		taken, want, twins := holding(different, record), holding(usual, record), 0
		for other := range calm.ends {
			if plainOf(other) == plainOf(record) {
				twins++
			}
		}
		whole = whole && want > 0
		// What the backend had no room for, or wanted without others, goes again: then once more is right.
		if want > 0 && taken < twins || taken > want && (want == twins || taken > want+twins) {
			problems = append(problems, fmt.Sprintf("%s was sent %d times by different calls, want %d", record, taken, want))
		}
	}
	if !whole && !apart && !slices.Equal(shown(different), shown(usual)) {
		problems = append(problems, fmt.Sprintf("calls %v, want %v", shown(different), shown(usual)))
	}
	if len(problems) > 0 {
		t.Errorf("crash %d, before %q (after %s):\n%s", n, got.crash, strings.Join(got.trace, ", "), strings.Join(problems, "\n"))
	}
	return again
}

// distinct leaves out calls that are made again, with the same body and under the same key.
func distinct(calls []simulate.Request) (out []simulate.Request) {
	seen := map[string]bool{}
	for _, c := range calls {
		same := strings.Join([]string{c.Method, c.Path, c.Query, c.Header.Get("Idempotency-Key"), c.Header.Get("Webhook-Id"), string(c.Body)}, "\n")
		if !seen[same] {
			seen[same] = true
			out = append(out, c)
		}
	}
	return out
}

// digits are IDs within paths.
var digits = regexp.MustCompile(`[0-9]+`)

func shown(calls []simulate.Request) (out []string) {
	for _, c := range calls {
		out = append(out, c.Method+" "+digits.ReplaceAllString(c.Path, "#"))
	}
	slices.Sort(out)
	return out
}

// holding counts how often calls show a record as it is, with its keys in order.
func holding(calls []simulate.Request, record string) (n int) {
	for _, c := range calls {
		n += strings.Count(string(c.Body), plainOf(record))
	}
	return n
}

func plainOf(record string) string {
	var v any
	_ = json.Unmarshal([]byte(record), &v)
	plain, _ := json.Marshal(v)
	return string(plain)
}
