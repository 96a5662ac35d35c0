package trackingtest

import (
	"testing"
	"time"

	"headgate/dispatch/tracking"
)

var laneRules = map[string]func(*testing.T, tracking.Store){
	"a tenant beyond its share goes to bulk":      laneBeyondShare,
	"shares are a tenant's and a target's":        laneSharesApart,
	"without a share nothing goes to bulk":        laneNoShare,
	"accepting again gives the lane again":        laneAcceptAgain,
	"what has begun counts against no share":      laneBegun,
	"what has ended counts against no share":      laneEnded,
	"a take-over keeps the lane of what is new":   laneTakeOver,
	"what is replayed counts as new":              laneReplayed,
	"bulk rows are listed and touched":            laneRows,
	"open deliveries of a tenant are counted":     backlogCounted,
	"a lane outside of a queue breaks the record": laneInvalid,
}

// oneEach is a share of which each shard has one.
const oneEach = tracking.Shards

// crowd accepts requests of one tenant for one target that a store must count together:
// they lie in one shard.
type crowd struct {
	s              tracking.Store
	target, tenant string
	shard          string // an idempotency hash that picks it
}

func newCrowd(s tracking.Store) crowd {
	return crowd{s: s, target: unique("target"), tenant: unique("mobile/acme"), shard: unique("shard")}
}

func (c crowd) request(t testing.TB, share int) *tracking.Acceptance {
	t.Helper()
	a := acceptance(t, c.shard, c.target)
	a.Idem, a.Dispatch.IdemHash = nil, ""
	a.Dispatch.Tenant = c.tenant
	a.FairShare = map[string]int{c.target: share}
	return a
}

// add accepts one more and checks its lane, as told and as recorded.
func (c crowd) add(t testing.TB, share int, want tracking.Lane) tracking.Ref {
	t.Helper()
	d := accept(t, c.s, c.request(t, share))
	if got := d.Deliveries[c.target].Lane; got != want {
		t.Errorf("lane %q, want %q", got, want)
	}
	if got := load(t, c.s, d.ID).Deliveries[c.target]; got.Lane != want || got.Phase != tracking.Queued {
		t.Errorf("recorded in lane %q (phase %q), want %q", got.Lane, got.Phase, want)
	}
	return ref(d, c.target)
}

func laneBeyondShare(t *testing.T, s tracking.Store) {
	c := newCrowd(s)
	for range 3 {
		c.add(t, 2*oneEach+1, tracking.LaneNew) // a part of one counts whole
	}
	for range 3 {
		c.add(t, 2*oneEach+1, tracking.LaneBulk)
	}
}

func laneSharesApart(t *testing.T, s tracking.Store) {
	c := newCrowd(s)
	c.add(t, oneEach, tracking.LaneNew)
	for _, other := range []crowd{
		{s: s, target: c.target, tenant: unique("mobile/other"), shard: c.shard},
		{s: s, target: unique("target"), tenant: c.tenant, shard: c.shard},
	} {
		other.add(t, oneEach, tracking.LaneNew)
	}
	c.add(t, oneEach, tracking.LaneBulk)
}

func laneNoShare(t *testing.T, s tracking.Store) {
	c := newCrowd(s)
	for range 5 {
		c.add(t, 0, tracking.LaneNew)
	}
}

func laneAcceptAgain(t *testing.T, s tracking.Store) {
	c := newCrowd(s)
	for _, want := range []tracking.Lane{tracking.LaneNew, tracking.LaneBulk} {
		a := c.request(t, oneEach)
		for range 2 {
			accept(t, s, a)
			if got := a.Dispatch.Deliveries[c.target].Lane; got != want {
				t.Errorf("lane %q, want %q", got, want)
			}
		}
	}
}

func laneBegun(t *testing.T, s tracking.Store) {
	c := newCrowd(s)
	for _, e := range []tracking.Event{
		tracking.Advanced{Next: "finish"}, tracking.NotYet{After: time.Hour}, failedFor(time.Hour, false),
	} {
		r := c.add(t, oneEach, tracking.LaneNew)
		waits := c.add(t, oneEach, tracking.LaneBulk)
		for _, r := range []tracking.Ref{r, waits} {
			if next := step(t, s, r, e); next.Lane != tracking.LaneResume {
				t.Errorf("after %T: lane %q", e, next.Lane)
			}
		}
	}
	claim(t, s, c.add(t, oneEach, tracking.LaneNew), 1, "run", long)
	c.add(t, oneEach, tracking.LaneNew)
}

func laneEnded(t *testing.T, s tracking.Store) {
	c := newCrowd(s)
	for range 2 {
		for _, r := range []tracking.Ref{c.add(t, oneEach, tracking.LaneNew), c.add(t, oneEach, tracking.LaneBulk)} {
			if _, err := s.Cancel(t.Context(), r.Tracking, c.tenant); err != nil {
				t.Fatal(err)
			}
			if in := where(t, s, r); in != "" {
				t.Errorf("canceled, and in %q", in)
			}
		}
		step(t, s, c.add(t, oneEach, tracking.LaneNew), succeeded())
	}
}

func laneTakeOver(t *testing.T, s tracking.Store) {
	c := newCrowd(s)
	for _, want := range []tracking.Lane{tracking.LaneNew, tracking.LaneBulk} {
		r := c.add(t, oneEach, want)
		old := load(t, s, r.Tracking).Deliveries[c.target]
		next := tracking.TakeOver(old)
		if err := s.Apply(t.Context(), r, old.Fence, next); err != nil {
			t.Fatal(err)
		}
		if got := load(t, s, r.Tracking).Deliveries[c.target]; got.Lane != want || got.Seq != old.Seq+1 || where(t, s, r) != "queued" {
			t.Errorf("taken over: lane %q, seq %d, in %q; want lane %q", got.Lane, got.Seq, where(t, s, r), want)
		}
	}
	c.add(t, oneEach, tracking.LaneBulk) // both still count
}

func laneReplayed(t *testing.T, s tracking.Store) {
	c := newCrowd(s)
	for _, mass := range []bool{false, true} {
		r := c.add(t, oneEach, tracking.LaneNew)
		end := step(t, s, r, failedFor(0, true))
		next := tracking.Revive(end, tracking.Revival{Mass: mass}, time.Now())
		if err := s.Revive(t.Context(), r, end.Fence, next, nil); err != nil {
			t.Fatal(err)
		}
		want := tracking.LaneNew
		if mass {
			want = tracking.LaneBulk
		}
		if got := load(t, s, r.Tracking).Deliveries[c.target]; got.Lane != want || where(t, s, r) != "queued" {
			t.Errorf("replayed: lane %q, in %q; want lane %q", got.Lane, where(t, s, r), want)
		}
		c.add(t, 2*oneEach, tracking.LaneNew)
		c.add(t, 2*oneEach, tracking.LaneBulk)
		rows, err := s.QueuedSince(t.Context(), c.target, -time.Hour, manyRows)
		if err != nil || len(rows) != 3 {
			t.Fatalf("%d rows (%v), want 3", len(rows), err)
		}
		for _, row := range rows {
			step(t, s, row.Ref, succeeded())
		}
	}
}

func laneRows(t *testing.T, s tracking.Store) {
	c := newCrowd(s)
	refs := []tracking.Ref{c.add(t, oneEach, tracking.LaneNew), c.add(t, oneEach, tracking.LaneBulk), c.add(t, oneEach, tracking.LaneBulk)}
	rows, err := s.QueuedSince(t.Context(), c.target, -time.Hour, manyRows)
	if err != nil || len(rows) != len(refs) {
		t.Fatalf("%d rows (%v), want %d", len(rows), err, len(refs))
	}
	later := rows[0].Now.Add(time.Minute)
	for _, row := range rows {
		row.Now = later
		if err := s.Touch(t.Context(), row); err != nil {
			t.Fatal(err)
		}
	}
	if rows, err = s.QueuedSince(t.Context(), c.target, 0, manyRows); err != nil || len(rows) != 0 {
		t.Errorf("touched, and %d rows are listed (%v)", len(rows), err)
	}
}

func backlogCounted(t *testing.T, s tracking.Store) {
	c, other := newCrowd(s), newCrowd(s)
	mine, nobody := tracking.TenantRef{Target: c.target, Tenant: c.tenant}, tracking.TenantRef{Target: c.target, Tenant: other.tenant}
	check := func(when string, want int) {
		t.Helper()
		b, err := s.Backlog(t.Context(), []tracking.TenantRef{mine, nobody})
		if err != nil || b.Targets[c.target] != want || b.Tenants[mine] != want || b.Tenants[nobody] != 0 {
			t.Errorf("%s: %d of the target, %d of the tenant, %d of another (%v); want %d, %d and 0",
				when, b.Targets[c.target], b.Tenants[mine], b.Tenants[nobody], err, want, want)
		}
	}
	check("at first", 0)
	refs := []tracking.Ref{c.add(t, oneEach, tracking.LaneNew), c.add(t, oneEach, tracking.LaneBulk), c.add(t, oneEach, tracking.LaneBulk)}
	check("accepted", 3)
	step(t, s, refs[0], tracking.NotYet{After: time.Hour})
	check("begun", 3)
	end := step(t, s, refs[1], failedFor(0, true))
	check("one failed", 2)
	if err := s.Revive(t.Context(), refs[1], end.Fence, tracking.Revive(end, tracking.Revival{}, time.Now()), nil); err != nil {
		t.Fatal(err)
	}
	check("replayed", 3)
	for _, r := range refs {
		if _, err := s.Cancel(t.Context(), r.Tracking, c.tenant); err != nil {
			t.Fatal(err)
		}
	}
	check("canceled", 0)
}

func laneInvalid(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm")
	c := claim(t, s, ref(d, "crm"), 1, "run", long)
	next := tracking.Apply(c.Delivery, failedFor(time.Hour, false), c.Now)
	next.Lane = tracking.LaneBulk
	wantErr(t, "Apply with a lane", s.Apply(t.Context(), ref(d, "crm"), c.Delivery.Fence, next), tracking.ErrInvalid)
}
