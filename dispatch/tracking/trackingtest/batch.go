package trackingtest

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"headgate/dispatch/tracking"
)

var batchRules = map[string]func(*testing.T, tracking.Store){
	"a batch begins with its first member":         batchBegins,
	"nobody joins a batch that is full":            batchFull,
	"a batch is full of bytes, too":                batchFullOfBytes,
	"joining twice is joining once":                batchJoinTwice,
	"nobody joins a sealed batch":                  batchSealed,
	"plans do not share a batch":                   batchPlans,
	"what is being sent cannot be canceled":        batchCancel,
	"a run that is joining is seen":                batchJoining,
	"a member that was taken over has left":        batchLeft,
	"members that are settled leave the list":      batchSettled,
	"members end together, each by its own fence":  batchEnds,
	"a batch that failed is no dead letter":        batchFails,
	"a delivery held by a batch cannot be claimed": batchHolds,
	"touch puts a member off for long":             batchTouch,
	"the ends of members are noted":                batchJudged,
	"as many batches begin as there is room for":   batchFlight,
	"who is sent again leaves its batch":           batchSentAgain,
	"a batch keeps the trace it began with":        batchTraces,
}

func gathering(t testing.TB, target string, full int) tracking.Gathering {
	t.Helper()
	id, err := tracking.NewBatchID(target)
	if err != nil {
		t.Fatal(err)
	}
	return tracking.Gathering{
		Candidate: id, Plan: unique("plan"), MaxRecords: full, Until: time.Now().Add(time.Hour), Retention: time.Hour,
	}
}

// again gives the gathering with another candidate, as the next caller would have it.
func again(t testing.TB, target string, g tracking.Gathering) tracking.Gathering {
	t.Helper()
	g.Candidate = gathering(t, target, 1).Candidate
	return g
}

// joined has a new delivery join, and end its run as a member.
func joined(t testing.TB, s tracking.Store, target string, g tracking.Gathering) (tracking.Ref, tracking.Joined) {
	t.Helper()
	r := ref(accepted(t, s, target), target)
	c := claim(t, s, r, 1, "run", long)
	j, err := s.Join(t.Context(), r, g)
	if err != nil {
		t.Fatal(err)
	}
	must(t, s.Apply(t.Context(), r, c.Delivery.Fence, tracking.Gather(c.Delivery, j)))
	return r, j
}

func board(t testing.TB, s tracking.Store, batch tracking.Ref, send bool) []tracking.Member {
	t.Helper()
	ids, err := s.Seal(t.Context(), batch, 0)
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Board(t.Context(), batch, ids, send)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func standings(members []tracking.Member) (out []tracking.Standing) {
	for _, m := range members {
		out = append(out, m.Stands)
	}
	return out
}

func batchBegins(t *testing.T, s tracking.Store) {
	target := unique("mail")
	g := gathering(t, target, 10)
	r, j := joined(t, s, target, g)
	if j.Batch.Tracking != g.Candidate || !j.Began || j.Full || j.Seq != 2 {
		t.Errorf("joined %+v, want the candidate begun at seq 2", j)
	}
	batch := load(t, s, j.Batch.Tracking)
	d := batch.Deliveries[target]
	if d.State != tracking.Collecting || d.Phase != tracking.Scheduled || d.Plan != g.Plan || d.NextAt.UnixMilli() != g.Until.UnixMilli() {
		t.Errorf("the batch is %+v", d)
	}
	if got := where(t, s, j.Batch); got != "due" {
		t.Errorf("the batch stands in %q, want due", got)
	}
	member := load(t, s, r.Tracking).Deliveries[target]
	if member.State != tracking.Collecting || member.Batch != g.Candidate || member.Phase != tracking.Gathered {
		t.Errorf("the member is %+v", member)
	}
	if got := where(t, s, r); got != "due" {
		t.Errorf("the member stands in %q, want due", got)
	}
	open, err := s.OpenPlans(t.Context())
	if n := open[tracking.PlanRef{Target: target, Hash: g.Plan}]; err != nil || n != 1 {
		t.Errorf("the batch counts %d times as open (%v), want once", n, err)
	}
	_, second := joined(t, s, target, again(t, target, g))
	if second.Batch != j.Batch || second.Began {
		t.Errorf("the second joined %+v, want the same batch", second)
	}
}

func batchFull(t *testing.T, s tracking.Store) {
	target := unique("mail")
	g := gathering(t, target, 3)
	for i := range 3 {
		_, j := joined(t, s, target, again(t, target, g))
		if j.Began != (i == 0) || j.Full != (i == 2) {
			t.Fatalf("number %d joined %+v", i+1, j)
		}
		// It is sent early by whoever made it full; should that one die, at its time.
		if d := load(t, s, j.Batch.Tracking).Deliveries[target]; d.Phase != tracking.Scheduled || d.Seq != j.Seq {
			t.Errorf("the batch is %+v after %+v", d, j)
		}
	}
	if _, j := joined(t, s, target, again(t, target, g)); !j.Began {
		t.Errorf("the fourth joined %+v, want a new batch", j)
	}
}

func batchFullOfBytes(t *testing.T, s tracking.Store) {
	target := unique("mail")
	g := gathering(t, target, 100)
	g.Size, g.MaxBytes = 40, 100
	for i := range 3 {
		if _, j := joined(t, s, target, again(t, target, g)); j.Began != (i == 0) || j.Full != (i == 2) {
			t.Fatalf("number %d joined %+v", i+1, j)
		}
	}
	if _, j := joined(t, s, target, again(t, target, g)); !j.Began {
		t.Errorf("the fourth joined %+v, want a new batch", j)
	}
}

func batchJoinTwice(t *testing.T, s tracking.Store) {
	target := unique("mail")
	g := gathering(t, target, 10)
	r, j := joined(t, s, target, g)
	for range 3 {
		repeated, err := s.Join(t.Context(), r, again(t, target, g))
		if err != nil || repeated.Batch != j.Batch || repeated.Began || repeated.Full {
			t.Errorf("joined again: %+v, %v", repeated, err)
		}
	}
	if members := board(t, s, j.Batch, false); len(members) != 1 {
		t.Errorf("%d members, want one", len(members))
	}
}

func batchSealed(t *testing.T, s tracking.Store) {
	target := unique("mail")
	g := gathering(t, target, 10)
	var want []string
	var batch tracking.Ref
	for range 5 {
		r, j := joined(t, s, target, again(t, target, g))
		want, batch = append(want, r.Tracking), j.Batch
		if j.Place != len(want) {
			t.Errorf("joined at place %d, want %d", j.Place, len(want))
		}
	}
	for _, last := range []int{0, 0, 2, 5, 9} {
		got, err := s.Seal(t.Context(), batch, last)
		if n := min(cmp.Or(last, 5), 5); err != nil || !slices.Equal(got, want[:n]) {
			t.Fatalf("sealed %v (%v) up to %d, want %v in the order of joining", got, err, last, want[:n])
		}
	}
	// Who has left the list does not change the places of the others.
	must(t, s.Settled(t.Context(), batch, want[:1]))
	if got, err := s.Seal(t.Context(), batch, 2); err != nil || !slices.Equal(got, want[1:2]) {
		t.Fatalf("sealed %v (%v) after the first had left, want %v", got, err, want[1:2])
	}
	want = want[1:]
	if _, j := joined(t, s, target, again(t, target, g)); j.Batch == batch || !j.Began {
		t.Errorf("joined %+v after the seal", j)
	}
	members := board(t, s, batch, true)
	for i, m := range members {
		if m.Tracking != want[i] || m.Stands != tracking.Aboard || string(m.Payload) != `{"for":`+quote(target)+`}` {
			t.Errorf("member %d is %+v", i, m)
		}
	}
}

func batchPlans(t *testing.T, s tracking.Store) {
	target := unique("mail")
	_, one := joined(t, s, target, gathering(t, target, 10))
	_, two := joined(t, s, target, gathering(t, target, 10))
	if one.Batch == two.Batch || !two.Began {
		t.Errorf("%+v and %+v share a batch", one, two)
	}
}

func batchCancel(t *testing.T, s tracking.Store) {
	target := unique("mail")
	g := gathering(t, target, 10)
	early, j := joined(t, s, target, g)
	late, _ := joined(t, s, target, again(t, target, g))
	if _, err := s.Cancel(t.Context(), early.Tracking, "mobile/acme"); err != nil {
		t.Fatal(err)
	}
	if d := load(t, s, early.Tracking).Deliveries[target]; d.State != tracking.Canceled || where(t, s, early) != "" {
		t.Errorf("canceled while collecting: %+v in %q", d, where(t, s, early))
	}
	members := board(t, s, j.Batch, true)
	if got := standings(members); !slices.Equal(got, []tracking.Standing{tracking.Left, tracking.Aboard}) {
		t.Fatalf("standings %v, want the canceled one to have left", got)
	}
	if _, err := s.Cancel(t.Context(), late.Tracking, "mobile/acme"); err != nil {
		t.Fatal(err)
	}
	if d := load(t, s, late.Tracking).Deliveries[target]; d.State.Final() || d.Phase != tracking.Running {
		t.Errorf("canceled while it was sent: %+v", d)
	}
	if again := board(t, s, j.Batch, true); len(again) != 2 || again[1].Stands != tracking.Aboard || len(again[1].Payload) == 0 {
		t.Errorf("boarded again: %+v", again)
	}
}

func batchJoining(t *testing.T, s tracking.Store) {
	target := unique("mail")
	g := gathering(t, target, 10)
	r := ref(accepted(t, s, target), target)
	c := claim(t, s, r, 1, "run", long)
	j, err := s.Join(t.Context(), r, g)
	must(t, err)
	if got := standings(board(t, s, j.Batch, true)); !slices.Equal(got, []tracking.Standing{tracking.Joining}) {
		t.Fatalf("standings %v, want joining", got)
	}
	must(t, s.Apply(t.Context(), r, c.Delivery.Fence, tracking.Gather(c.Delivery, j)))
	if got := standings(board(t, s, j.Batch, true)); !slices.Equal(got, []tracking.Standing{tracking.Aboard}) {
		t.Fatalf("standings %v, want aboard", got)
	}
}

func batchLeft(t *testing.T, s tracking.Store) {
	target := unique("mail")
	g := gathering(t, target, 10)
	r, j := joined(t, s, target, g)
	member := load(t, s, r.Tracking).Deliveries[target]
	next := tracking.TakeOver(member)
	if next.State != tracking.Pending || next.Batch != "" {
		t.Errorf("taken over: %+v", next)
	}
	must(t, s.Apply(t.Context(), r, member.Fence, next))
	other, err := s.Join(t.Context(), r, again(t, target, g))
	must(t, err)
	if other.Batch != j.Batch || other.Place != j.Place || j.Place != 1 {
		t.Errorf("joined %+v, want to stand on the same list, at its first place", other)
	}
	if got := standings(board(t, s, j.Batch, true)); !slices.Equal(got, []tracking.Standing{tracking.Left}) {
		t.Errorf("standings %v, want left", got)
	}
	end := tracking.MemberEnd(member, tracking.Delivery{Verdict: tracking.Succeeded}, tracking.End{}, time.Now())
	wantErr(t, "Apply", s.Apply(t.Context(), r, member.Fence, end), tracking.ErrFenced)
}

func batchSettled(t *testing.T, s tracking.Store) {
	target := unique("mail")
	g := gathering(t, target, 3)
	var ids []string
	var batch tracking.Joined
	for range 3 {
		r, j := joined(t, s, target, again(t, target, g))
		ids, batch = append(ids, r.Tracking), j
	}
	c := claim(t, s, batch.Batch, batch.Seq, "run", long)
	members := board(t, s, batch.Batch, true)
	settling := tracking.Settling(tracking.Apply(c.Delivery, succeeded(), c.Now))
	must(t, s.Apply(t.Context(), batch.Batch, c.Delivery.Fence, settling))
	if settling.State.Final() || settling.Verdict != tracking.Succeeded || where(t, s, batch.Batch) != "queued" {
		t.Errorf("settling: %+v in %q", settling, where(t, s, batch.Batch))
	}
	for i, m := range members {
		for range 2 { // as by two runs of which the first was killed
			end := tracking.MemberEnd(m.Delivery, settling, tracking.End{}, c.Now)
			must(t, s.Apply(t.Context(), m.Ref, m.Delivery.Fence, end))
		}
		must(t, s.Settled(t.Context(), batch.Batch, []string{m.Tracking}))
		left, err := s.Seal(t.Context(), batch.Batch, 0)
		if err != nil || !slices.Equal(left, ids[i+1:]) {
			t.Fatalf("left on the list %v (%v), want %v", left, err, ids[i+1:])
		}
		d := load(t, s, m.Tracking).Deliveries[target]
		if d.State != tracking.Succeeded || d.Batch != batch.Batch.Tracking || d.Attempts != 1 || d.HTTPStatus != 200 {
			t.Errorf("member %d ended as %+v", i, d)
		}
	}
	c = claim(t, s, batch.Batch, settling.Seq, "run", long)
	must(t, s.Apply(t.Context(), batch.Batch, c.Delivery.Fence, tracking.Settled(c.Delivery, c.Now)))
	if d := load(t, s, batch.Batch.Tracking).Deliveries[target]; d.State != tracking.Succeeded || where(t, s, batch.Batch) != "" {
		t.Errorf("the batch ended as %+v in %q", d, where(t, s, batch.Batch))
	}
}

func batchEnds(t *testing.T, s tracking.Store) {
	target := unique("mail")
	g := gathering(t, target, 1000)
	var batch tracking.Ref
	for range 150 {
		_, j := joined(t, s, target, again(t, target, g))
		batch = j.Batch
	}
	members := board(t, s, batch, true)
	must(t, s.Apply(t.Context(), members[7].Ref, members[7].Delivery.Fence, tracking.TakeOver(members[7].Delivery)))
	end := tracking.Delivery{Verdict: tracking.Failed, Message: "no"}
	changes := make([]tracking.Change, len(members))
	for i, m := range members {
		changes[i] = tracking.Change{Tracking: m.Tracking, Expect: m.Delivery.Fence, Next: tracking.MemberEnd(m.Delivery, end, tracking.End{}, time.Now())}
	}
	for range 2 { // repeated, it changes nothing
		must(t, s.ApplyAll(t.Context(), target, changes))
	}
	for i, m := range members {
		d := load(t, s, m.Tracking).Deliveries[target]
		if want := i != 7; d.State.Final() != want || (d.Message == "no") != want || (where(t, s, m.Ref) == "") != want {
			t.Errorf("member %d is %+v in %q", i, d, where(t, s, m.Ref))
		}
	}
}

func batchFails(t *testing.T, s tracking.Store) {
	target := unique("mail")
	_, j := joined(t, s, target, gathering(t, target, 10))
	c := claim(t, s, j.Batch, j.Seq, "run", long)
	settling := tracking.Settling(tracking.Apply(c.Delivery, failedFor(0, true), c.Now))
	must(t, s.Apply(t.Context(), j.Batch, c.Delivery.Fence, settling))
	m := board(t, s, j.Batch, false)[0]
	must(t, s.Apply(t.Context(), m.Ref, m.Delivery.Fence, tracking.MemberEnd(m.Delivery, settling, tracking.End{}, c.Now)))
	c = claim(t, s, j.Batch, settling.Seq, "run", long)
	must(t, s.Apply(t.Context(), j.Batch, c.Delivery.Fence, tracking.Settled(c.Delivery, c.Now)))
	page, err := s.DeadLetters(t.Context(), tracking.DeadQuery{Target: target})
	if err != nil || len(page.Letters) != 1 || page.Letters[0].Ref != m.Ref {
		t.Errorf("dead letters %+v (%v), want the member alone", page.Letters, err)
	}
}

func batchHolds(t *testing.T, s tracking.Store) {
	target := unique("mail")
	r, j := joined(t, s, target, gathering(t, target, 10))
	seq := load(t, s, r.Tracking).Deliveries[target].Seq
	_, err := s.Claim(t.Context(), r, seq, "run", long)
	wantErr(t, "Claim of one that collects", err, tracking.ErrHeld)
	board(t, s, j.Batch, true)
	_, err = s.Claim(t.Context(), r, seq, "run", long)
	wantErr(t, "Claim of one that is sent", err, tracking.ErrHeld)
}

func batchTouch(t *testing.T, s tracking.Store) {
	target := unique("mail")
	r, j := joined(t, s, target, gathering(t, target, 10))
	for _, send := range []bool{false, true} {
		board(t, s, j.Batch, send)
		rows, err := s.Overdue(t.Context(), -2*tracking.BatchLook, manyRows)
		must(t, err)
		i := slices.IndexFunc(rows, func(row tracking.Row) bool { return row.Ref == r })
		if i < 0 || rows[i].Since > -tracking.BatchLook+patience {
			t.Fatalf("send %v: row %d of %d: %+v, want it due in %s", send, i, len(rows), rows, tracking.BatchLook)
		}
		row := rows[i]
		row.Now = row.Now.Add(time.Minute)
		must(t, s.Touch(t.Context(), row))
		if rows, err = s.Overdue(t.Context(), -tracking.BatchLook-30*time.Second, manyRows); err != nil || hasRow(rows, r) {
			t.Errorf("send %v: touched, it is still due that early (%v)", send, err)
		}
	}
}

func batchTraces(t *testing.T, s tracking.Store) {
	target := unique("mail")
	g := gathering(t, target, 3)
	g.TraceParent = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	first, j := joined(t, s, target, g)
	late := again(t, target, g)
	late.TraceParent = "00-2af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	if _, j := joined(t, s, target, late); j.Began {
		t.Fatal("another batch began")
	}
	if c := claim(t, s, j.Batch, j.Seq, "run", long); c.Dispatch.TraceParent != g.TraceParent {
		t.Errorf("the batch has %q, want %q", c.Dispatch.TraceParent, g.TraceParent)
	}
	without := gathering(t, unique("mail"), 3)
	_, other := joined(t, s, unique("mail"), without)
	own, err := s.Load(t.Context(), first.Tracking)
	must(t, err)
	unknown, err := tracking.NewID("")
	must(t, err)
	want := []string{own.TraceParent, "", g.TraceParent, "", ""}
	got, err := s.TraceParents(t.Context(), []string{first.Tracking, unknown, j.Batch.Tracking, "none of ours", other.Batch.Tracking})
	if must(t, err); !slices.Equal(got, want) {
		t.Errorf("traces %q, want %q", got, want)
	}
	if got, err := s.TraceParents(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("of nobody: %q, %v", got, err)
	}
}
