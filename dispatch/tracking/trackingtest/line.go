package trackingtest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"headgate/dispatch/tracking"
)

var lineRules = map[string]func(*testing.T, tracking.Store){
	"a line is entered at its end":             lineOrder,
	"a line is entered once":                   lineOnce,
	"a line is left from anywhere":             lineLeave,
	"a line tells of both of its ends":         lineEnds,
	"a line has a name":                        lineNames,
	"a line gives each its own place":          lineRace,
	"an accept may come too late":              acceptLate,
	"who ended and has not left is looked at":  leavingIsOverdue,
	"who is canceled leaves as well":           canceledLeaves,
	"who failed and holds others up stays":     holdingStays,
	"who is taken up again has one row":        revivedKeepsItsRow,
	"who waits in a line is looked at in time": parkedIsOverdue,
	"who is superseded says by which":          supersededSaysBy,
}

// newLine names a line that no other test uses.
func newLine() string { return tracking.LineOf("crm", "mobile/acme", unique("key")) }

// enter puts somebody new at the end of a line.
func enter(t *testing.T, s tracking.Store, line string) (id string, p tracking.Place) {
	t.Helper()
	id, err := tracking.NewID("")
	must(t, err)
	p, err = s.Enter(t.Context(), line, id)
	must(t, err)
	return id, p
}

func place(t *testing.T, s tracking.Store, line, id string) tracking.Place {
	t.Helper()
	p, err := s.Place(t.Context(), line, id)
	must(t, err)
	return p
}

// standing lists those in front.
func standing(p tracking.Place) (out []string) {
	for _, one := range p.Front {
		out = append(out, one.Tracking)
	}
	return out
}

func lineOrder(t *testing.T, s tracking.Store) {
	line := newLine()
	var ids []string
	for i := range 3 {
		id, p := enter(t, s, line)
		ids = append(ids, id)
		if p.Before != i || p.At.IsZero() || !slices.Equal(standing(p), ids) || p.Last[0] != id {
			t.Errorf("number %d stands at %+v", i, p)
		}
	}
	for i, id := range ids {
		if p := place(t, s, line, id); p.Before != i || len(p.Last) != 3 || p.Last[2] != ids[0] {
			t.Errorf("number %d stands at %+v", i, p)
		}
	}
	if p := place(t, s, newLine(), ids[0]); p.Before != -1 || len(p.Front) != 0 || len(p.Last) != 0 {
		t.Errorf("in another line: %+v", p)
	}
}

func lineOnce(t *testing.T, s tracking.Store) {
	line := newLine()
	first, p := enter(t, s, line)
	enter(t, s, line)
	again, err := s.Enter(t.Context(), line, first)
	must(t, err)
	if again.Before != 0 || len(again.Front) != 2 || again.At.After(p.At) {
		t.Errorf("entered again: %+v, before %+v", again, p)
	}
}

func lineLeave(t *testing.T, s tracking.Store) {
	line := newLine()
	var ids []string
	for range 3 {
		id, _ := enter(t, s, line)
		ids = append(ids, id)
	}
	for _, left := range []struct {
		who  int
		want []string
	}{{1, []string{ids[0], ids[2]}}, {1, []string{ids[0], ids[2]}}, {0, ids[2:]}, {2, nil}, {2, nil}} {
		p, err := s.Leave(t.Context(), line, ids[left.who])
		must(t, err)
		if p.Before != -1 || !slices.Equal(standing(p), left.want) || len(p.Last) != len(left.want) {
			t.Errorf("after %d left: %+v", left.who, p)
		}
	}
	if _, p := enter(t, s, line); p.Before != 0 {
		t.Errorf("the first one of an empty line stands at %+v", p)
	}
}

func lineEnds(t *testing.T, s tracking.Store) {
	line := newLine()
	var ids []string
	for range 200 {
		id, _ := enter(t, s, line)
		ids = append(ids, id)
	}
	p := place(t, s, line, ids[100])
	if p.Before != 100 || len(p.Front) < 2 || len(p.Front) > 100 || len(p.Last) < 2 || len(p.Last) > 100 {
		t.Fatalf("in the middle of 200: %+v", p)
	}
	for i, one := range p.Front {
		if one.Tracking != ids[i] || one.Age > patience {
			t.Errorf("number %d of the front: %+v", i, one)
		}
	}
	for i, id := range p.Last {
		if id != ids[199-i] {
			t.Errorf("number %d from the end: %s", i, id)
		}
	}
}

func lineNames(t *testing.T, s tracking.Store) {
	for _, line := range []string{"", "x", "64" + newLine()[2:], "-1" + newLine()[2:], newLine() + "x", "0!" + newLine()[2:]} {
		_, err := s.Enter(t.Context(), line, "x")
		wantErr(t, "Enter "+line, err, tracking.ErrInvalid)
		_, err = s.Place(t.Context(), line, "x")
		wantErr(t, "Place "+line, err, tracking.ErrInvalid)
		_, err = s.Leave(t.Context(), line, "x")
		wantErr(t, "Leave "+line, err, tracking.ErrInvalid)
	}
}

func lineRace(t *testing.T, s tracking.Store) {
	line := newLine()
	var wave sync.WaitGroup
	places := make([]int, 100)
	for i := range places {
		wave.Go(func() {
			p, err := s.Enter(context.WithoutCancel(t.Context()), line, fmt.Sprint("id", i))
			if err != nil {
				t.Error(err)
			}
			places[i] = p.Before
		})
	}
	wave.Wait()
	for i, before := range places {
		if p := place(t, s, line, fmt.Sprint("id", i)); p.Before != before {
			t.Errorf("%d stood at %d and stands at %d", i, before, p.Before)
		}
	}
	slices.Sort(places)
	for i, before := range places {
		if i != before {
			t.Fatalf("the places are %v", places)
		}
	}
}

func acceptLate(t *testing.T, s tracking.Store) {
	_, p := enter(t, s, newLine())
	late := acceptance(t, unique("idem"), "crm")
	late.Until = p.At.Add(-time.Millisecond)
	taken, err := s.Accept(t.Context(), late)
	wantErr(t, "a late accept", err, tracking.ErrUnavailable)
	_, loadErr := s.Load(t.Context(), late.Dispatch.ID)
	wantErr(t, "its record", loadErr, tracking.ErrNotFound)
	if row, err := s.Idem(t.Context(), late.Dispatch.IdemHash); taken != nil || row != nil || err != nil {
		t.Errorf("its key: %+v, %+v, %v", taken, row, err)
	}
	late.Until = p.At.Add(time.Hour)
	accept(t, s, late)
	late.Until = p.At.Add(-time.Millisecond)
	accept(t, s, late) // it is recorded already
}

// inLine accepts a delivery that stands in a line, and claims it.
func inLine(t *testing.T, s tracking.Store, blocks bool) (tracking.Ref, *tracking.Claimed) {
	t.Helper()
	target := unique("crm")
	a := acceptance(t, "", target)
	d := a.Dispatch.Deliveries[target]
	d.Line, d.Blocks = newLine(), blocks
	a.Dispatch.Deliveries[target] = d
	r := ref(accept(t, s, a), target)
	_, err := s.Enter(t.Context(), d.Line, r.Tracking)
	must(t, err)
	c := claim(t, s, r, 1, "run", long)
	if c.Delivery.Line != d.Line || c.Delivery.Blocks != blocks {
		t.Fatalf("it came back as %+v", c.Delivery)
	}
	return r, c
}

// listed finds the row of a delivery among those that are overdue after so long.
func listed(t *testing.T, s tracking.Store, r tracking.Ref, after time.Duration) *tracking.Row {
	t.Helper()
	rows, err := s.Overdue(t.Context(), -after, 10000)
	must(t, err)
	for i := range rows {
		if rows[i].Ref == r {
			return &rows[i]
		}
	}
	return nil
}

func leavingIsOverdue(t *testing.T, s tracking.Store) {
	r, c := inLine(t, s, false)
	apply(t, s, r, c.Delivery, succeeded(), c.Now)
	if listed(t, s, r, 0) != nil {
		t.Error("looked at while its run may still see to it")
	}
	row := listed(t, s, r, tracking.LeaveGrace)
	if row == nil || row.Delivery.State != tracking.Succeeded || !row.Delivery.Leaves() {
		t.Fatalf("its row is %+v", row)
	}
	must(t, s.HasLeft(t.Context(), r))
	must(t, s.HasLeft(t.Context(), r))
	if row := listed(t, s, r, long); row != nil {
		t.Errorf("it has left and has a row: %+v", row)
	}
	if got := load(t, s, r.Tracking).Deliveries[r.Target]; got.State != tracking.Succeeded {
		t.Errorf("it is %+v", got)
	}
}

func canceledLeaves(t *testing.T, s tracking.Store) {
	r, c := inLine(t, s, true)
	parked := tracking.Park(c.Delivery, c.Now.Add(time.Hour))
	must(t, s.Apply(t.Context(), r, c.Delivery.Fence, parked))
	d, err := s.Cancel(t.Context(), r.Tracking, "mobile/acme")
	must(t, err)
	if got := d.Deliveries[r.Target]; got.State != tracking.Canceled || !got.Leaves() {
		t.Errorf("canceled: %+v", got)
	}
	if row := listed(t, s, r, tracking.LeaveGrace); row == nil || row.Delivery.State != tracking.Canceled {
		t.Errorf("its row is %+v", row)
	}
	must(t, s.HasLeft(t.Context(), r))
	if row := listed(t, s, r, 2*time.Hour); row != nil {
		t.Errorf("it has left and has a row: %+v", row)
	}
}

func holdingStays(t *testing.T, s tracking.Store) {
	for blocks, rows := range map[bool]bool{true: false, false: true} {
		r, c := inLine(t, s, blocks)
		next := apply(t, s, r, c.Delivery, failedFor(0, true), c.Now)
		if row := listed(t, s, r, long); next.Holds() != blocks || (row != nil) != rows {
			t.Errorf("blocks %v: holds %v, row %+v", blocks, next.Holds(), row)
		}
	}
}

func revivedKeepsItsRow(t *testing.T, s tracking.Store) {
	r, c := inLine(t, s, false)
	dead := apply(t, s, r, c.Delivery, failedFor(0, true), c.Now)
	next := tracking.Revive(dead, tracking.Revival{}, c.Now)
	must(t, s.Revive(t.Context(), r, dead.Fence, next, nil))
	if row := listed(t, s, r, long); row != nil {
		t.Errorf("it is queued and has a row of one that is leaving: %+v", row)
	}
	again := claim(t, s, r, next.Seq, "again", long)
	must(t, s.Apply(t.Context(), r, again.Delivery.Fence, tracking.Park(again.Delivery, again.Now.Add(time.Second))))
	must(t, s.HasLeft(t.Context(), r)) // late, from the first time
	if row := listed(t, s, r, long); row == nil || !row.Delivery.Parked() || row.Delivery.Line != c.Delivery.Line {
		t.Errorf("waiting again, its row is %+v", row)
	}
}

func parkedIsOverdue(t *testing.T, s tracking.Store) {
	r, c := inLine(t, s, false)
	parked := tracking.Park(c.Delivery, c.Now.Add(time.Hour))
	must(t, s.Apply(t.Context(), r, c.Delivery.Fence, parked))
	if row := listed(t, s, r, long); row != nil {
		t.Errorf("looked at before its time: %+v", row)
	}
	row := listed(t, s, r, 2*time.Hour)
	if row == nil || !row.Delivery.Parked() || row.Delivery.State != tracking.Pending {
		t.Fatalf("its row is %+v", row)
	}
	woken := tracking.TakeOver(row.Delivery)
	must(t, s.Apply(t.Context(), r, row.Delivery.Fence, woken))
	claim(t, s, r, woken.Seq, "run2", long)
}

func supersededSaysBy(t *testing.T, s tracking.Store) {
	r, c := inLine(t, s, false)
	must(t, s.Apply(t.Context(), r, c.Delivery.Fence, tracking.Supersede(c.Delivery, "trk_newer", false, c.Now)))
	l, err := s.Letter(t.Context(), r)
	must(t, err)
	if l.Delivery.State != tracking.Superseded || l.Delivery.SupersededBy != "trk_newer" || l.Dead || l.Payload != nil {
		t.Errorf("it is %+v", l)
	}
	if row := listed(t, s, r, tracking.LeaveGrace); row == nil {
		t.Error("nobody sees to its leaving")
	}
}
