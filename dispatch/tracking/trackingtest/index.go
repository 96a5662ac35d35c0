package trackingtest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"headgate/dispatch/tracking"
)

var indexRules = map[string]func(*testing.T, tracking.Store){
	"rows move with the delivery":      rowsMove,
	"overdue counts from the hold":     overdueHold,
	"overdue counts from the schedule": overdueSchedule,
	"lists stop at their limit":        listsStop,
	"queued rows come oldest first":    queuedOrder,
	"touch moves a queued row":         touchQueued,
	"touch moves a due row":            touchDue,
	"touch leaves a changed row":       touchChanged,
	"open deliveries are counted":      openCounted,
	"plans are kept":                   plansKept,
}

// manyRows is a limit that the rows of other tests do not reach.
const manyRows = 100000

func hasRow(rows []tracking.Row, r tracking.Ref) bool {
	return slices.ContainsFunc(rows, func(row tracking.Row) bool { return row.Ref == r })
}

// where tells in which lists a delivery stands: "", "due", "queued" or both. A negative
// age lists rows whose time is still to come.
func where(t testing.TB, s tracking.Store, r tracking.Ref) (out string) {
	t.Helper()
	due, err := s.Overdue(t.Context(), -1000*time.Hour, manyRows)
	if err != nil {
		t.Fatal(err)
	}
	queued, err := s.QueuedSince(t.Context(), r.Target, -1000*time.Hour, manyRows)
	if err != nil {
		t.Fatal(err)
	}
	if hasRow(due, r) {
		out += "due"
	}
	if hasRow(queued, r) {
		out += "queued"
	}
	return out
}

func rowsMove(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm", "mail?")
	r := ref(d, "crm")
	check := func(when, want string) {
		t.Helper()
		if got := where(t, s, r); got != want {
			t.Errorf("%s: in %q, want %q", when, got, want)
		}
	}
	check("accepted", "queued")
	if got := where(t, s, ref(d, "mail")); got != "" {
		t.Errorf("skipped: in %q, want none", got)
	}
	for _, c := range []struct {
		name string
		e    tracking.Event
		want string
	}{
		{"advanced", tracking.Advanced{Next: "finish"}, "queued"},
		{"not yet", tracking.NotYet{After: time.Hour}, "due"},
		{"failed once", failedFor(time.Hour, false), "due"},
		{"advanced again", tracking.Advanced{Next: "more"}, "queued"},
		{"succeeded", succeeded(), ""},
	} {
		claimed := claim(t, s, r, load(t, s, d.ID).Deliveries["crm"].Seq, "run", long)
		check("claimed before "+c.name, "due")
		next := apply(t, s, r, claimed.Delivery, c.e, claimed.Now)
		check(c.name, c.want)
		if next.Phase == tracking.Scheduled {
			taken := tracking.TakeOver(next)
			if err := s.Apply(t.Context(), r, next.Fence, taken); err != nil {
				t.Fatal(err)
			}
			check(c.name+", taken over", "queued")
		}
	}
}

func overdueHold(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm", "mail")
	c := claim(t, s, ref(d, "crm"), 1, "run", short)
	claim(t, s, ref(d, "mail"), 1, "run", long)
	var row tracking.Row
	eventually(t, "the end of the hold", func() bool {
		rows, err := s.Overdue(t.Context(), short, manyRows)
		if err != nil {
			t.Fatal(err)
		}
		if hasRow(rows, ref(d, "mail")) {
			t.Fatal("a delivery within its hold is overdue")
		}
		i := slices.IndexFunc(rows, func(row tracking.Row) bool { return row.Ref == ref(d, "crm") })
		if i >= 0 {
			row = rows[i]
		}
		return i >= 0
	})
	if row.Delivery.Fence != c.Delivery.Fence || row.Delivery.Phase != tracking.Running {
		t.Errorf("row of %+v, want the claimed delivery", row.Delivery)
	}
	if row.Since < short || row.Now.Sub(c.Now) < 2*short || row.Since > row.Now.Sub(c.Now) {
		t.Errorf("overdue for %v at %v, claimed at %v for %v", row.Since, row.Now, c.Now, short)
	}
}

func overdueSchedule(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "past", "future")
	step(t, s, ref(d, "past"), failedFor(-time.Minute, false))
	step(t, s, ref(d, "future"), failedFor(time.Minute, false))
	for _, c := range []struct {
		grace        time.Duration
		past, future bool
	}{{0, true, false}, {50 * time.Second, true, false}, {time.Hour, false, false}, {-2 * time.Minute, true, true}} {
		rows, err := s.Overdue(t.Context(), c.grace, manyRows)
		if err != nil {
			t.Fatal(err)
		}
		past, future := hasRow(rows, ref(d, "past")), hasRow(rows, ref(d, "future"))
		if past != c.past || future != c.future {
			t.Errorf("grace %v: past %v, future %v; want %v, %v", c.grace, past, future, c.past, c.future)
		}
	}
}

func listsStop(t *testing.T, s tracking.Store) {
	target := unique("target")
	for range 12 {
		d := accepted(t, s, target, "other")
		step(t, s, ref(d, "other"), failedFor(-time.Minute, false))
	}
	for _, limit := range []int{1, 5, 12, 100} {
		queued, err := s.QueuedSince(t.Context(), target, 0, limit)
		if want := min(limit, 12); err != nil || len(queued) != want {
			t.Errorf("limit %d: %d queued rows (%v), want %d", limit, len(queued), err, want)
		}
		due, err := s.Overdue(t.Context(), 0, limit)
		if err != nil || len(due) > limit || len(due) < min(limit, 12) {
			t.Errorf("limit %d: %d due rows (%v)", limit, len(due), err)
		}
	}
}

func queuedOrder(t *testing.T, s tracking.Store) {
	target := unique("target")
	base := load(t, s, accepted(t, s, "other").ID).AcceptedAt
	for i := range 10 {
		d := accepted(t, s, target)
		row := tracking.Row{Ref: ref(d, target), Delivery: d.Deliveries[target], Now: base.Add(time.Duration(10-i) * time.Minute)}
		if err := s.Touch(t.Context(), row); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := s.QueuedSince(t.Context(), target, -time.Hour, manyRows)
	if err != nil || len(rows) != 10 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if !slices.IsSortedFunc(rows, func(a, b tracking.Row) int { return int(b.Since - a.Since) }) {
		t.Errorf("not oldest first: %v", rows)
	}
}

// touched gives the delivery's row after it was touched at its own time plus d.
func touched(t *testing.T, s tracking.Store, list func() ([]tracking.Row, error), r tracking.Ref, d time.Duration) (before, after tracking.Row) {
	t.Helper()
	find := func() tracking.Row {
		rows, err := list()
		i := slices.IndexFunc(rows, func(row tracking.Row) bool { return row.Ref == r })
		if err != nil || i < 0 {
			t.Fatalf("no row of %v among %d (%v)", r, len(rows), err)
		}
		return rows[i]
	}
	before = find()
	at := before
	at.Now = before.Now.Add(-before.Since).Add(d)
	if err := s.Touch(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	return before, find()
}

func touchQueued(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm")
	r := ref(d, "crm")
	list := func() ([]tracking.Row, error) { return s.QueuedSince(t.Context(), "crm", -2*time.Hour, manyRows) }
	before, after := touched(t, s, list, r, time.Hour)
	if moved := after.Now.Add(-after.Since).Sub(before.Now.Add(-before.Since)); moved != time.Hour {
		t.Errorf("moved by %v, want an hour", moved)
	}
	before, after = touched(t, s, list, r, -time.Minute)
	if moved := after.Now.Add(-after.Since).Sub(before.Now.Add(-before.Since)); moved != 0 {
		t.Errorf("moved by %v: a touch never makes a row older", moved)
	}
}

func touchDue(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm")
	r := ref(d, "crm")
	step(t, s, r, tracking.NotYet{After: -time.Minute})
	list := func() ([]tracking.Row, error) { return s.Overdue(t.Context(), -2*time.Hour, manyRows) }
	before, after := touched(t, s, list, r, time.Minute)
	if moved := after.Now.Add(-after.Since).Sub(before.Now.Add(-before.Since)); moved != time.Minute {
		t.Errorf("moved by %v, want a minute", moved)
	}
}

func touchChanged(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm")
	r := ref(d, "crm")
	rows, err := s.QueuedSince(t.Context(), "crm", 0, manyRows)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(rows, func(row tracking.Row) bool { return row.Ref == r })
	if i < 0 {
		t.Fatal("no row")
	}
	old := rows[i]
	c := claim(t, s, r, 1, "run", long)
	for range 2 { // once while it is claimed, once after its end
		if err := s.Touch(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		_, err = s.Claim(t.Context(), r, 1, "run-2", long)
		if err == nil {
			t.Fatal("a touch ended the hold")
		}
		if got := where(t, s, r); got == "queued" || got == "duequeued" {
			t.Fatalf("a touch brought the row back: in %q", got)
		}
		if load(t, s, d.ID).Deliveries["crm"].Phase == tracking.Running {
			apply(t, s, r, c.Delivery, succeeded(), c.Now)
		}
	}
	if err := s.Touch(t.Context(), tracking.Row{Ref: tracking.Ref{Tracking: "trk_", Target: "crm"}}); err == nil {
		t.Error("a malformed ID was touched")
	}
}

func openCounted(t *testing.T, s tracking.Store) {
	var all []*tracking.Dispatch
	plan := unique("plan")
	count := func() string {
		t.Helper()
		open, err := s.OpenPlans(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		crm, crmThere := open[tracking.PlanRef{Target: "crm", Hash: plan}]
		mail, mailThere := open[tracking.PlanRef{Target: "mail:box", Hash: plan}]
		return fmt.Sprint(crm, crmThere, mail, mailThere)
	}
	for range 5 {
		a := acceptance(t, "", "crm", "mail:box")
		for name, d := range a.Dispatch.Deliveries {
			d.Plan = plan
			a.Dispatch.Deliveries[name] = d
		}
		all = append(all, accept(t, s, a))
	}
	if got := count(); got != "5 true 5 true" {
		t.Errorf("accepted: %s", got)
	}
	for i, d := range all {
		step(t, s, ref(d, "crm"), tracking.NotYet{After: time.Hour})
		step(t, s, ref(d, "crm"), failedFor(0, i%2 == 0))
		step(t, s, ref(d, "mail:box"), succeeded())
	}
	if got := count(); got != "2 true 0 false" {
		t.Errorf("three and five ended: %s", got)
	}
	for _, i := range []int{1, 3} {
		step(t, s, ref(all[i], "crm"), succeeded())
	}
	if got := count(); got != "0 false 0 false" {
		t.Errorf("all ended: %s", got)
	}
}

func plansKept(t *testing.T, s tracking.Store) {
	hash := unique("plan")
	_, err := s.PlanSource(t.Context(), hash)
	wantErr(t, "PlanSource", err, tracking.ErrNotFound)
	source := "url: ${CRM_URL}\n\x00ü"
	for range 2 {
		if err := s.SavePlan(t.Context(), hash, []byte(source)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.PlanSource(t.Context(), hash); err != nil || string(got) != source {
		t.Errorf("PlanSource = %q, %v", got, err)
	}
}
