package redisstore

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

// TestRowsGoInAnyOrder: rows are kept in the order of their queue, and one that goes out
// of turn takes its own away and no other.
func TestRowsGoInAnyOrder(t *testing.T) {
	server := testenv.Redis(t)
	s, conn := open(t, Options{Network: "tcp", Addr: server.Addr(), AutoPipeline: true})
	var ids []string
	for i := range 400 {
		a := request(t, "hash", "crm") // all in one shard
		a.Idem, a.Dispatch.IdemHash = nil, ""
		a.FairShare = map[string]int{"crm": 64 * 200}
		accept(t, s, a)
		ids = append(ids, a.Dispatch.ID)
		if i%2 == 0 { // older than what is looked for at the end of its rows
			shard, _ := keysOf(a.Dispatch.ID)
			conn.Base.HIncrBy(t.Context(), recordKey(shard, a.Dispatch.ID), "a", -time.Minute.Milliseconds())
		}
	}
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	for i, id := range ids {
		ref := tracking.Ref{Tracking: id, Target: "crm"}
		d, err := s.Load(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		old := d.Deliveries["crm"]
		switch i % 4 {
		case 0:
			_, err = s.Cancel(t.Context(), id, d.Tenant)
		case 1:
			err = s.Apply(t.Context(), ref, old.Fence, tracking.TakeOver(old))
		case 2:
			err = s.Touch(t.Context(), tracking.Row{Ref: ref, Delivery: old, Now: time.Now()})
		default:
			_, err = s.Claim(t.Context(), ref, old.Seq, "run", time.Minute)
		}
		if err != nil {
			t.Fatal(err)
		}
		if i%40 == 0 {
			checkRows(t, s, ids, i+1)
		}
	}
	checkRows(t, s, ids, len(ids))
}

// checkRows compares the queued rows with what became of the first n of ids.
func checkRows(t *testing.T, s *Store, ids []string, n int) {
	t.Helper()
	var want, got []string
	for i, id := range ids {
		if i >= n || i%4 == 1 || i%4 == 2 {
			want = append(want, id)
		}
	}
	rows, err := s.QueuedSince(t.Context(), "crm", -time.Hour, 10000)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		got = append(got, row.Tracking)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Fatalf("after %d: %d rows, want %d", n, len(got), len(want))
	}
}

// TestRowsOfAClockThatWasSetBack: a row from the future does not hide those behind it.
func TestRowsOfAClockThatWasSetBack(t *testing.T) {
	server := testenv.Redis(t)
	s, conn := open(t, Options{Network: "tcp", Addr: server.Addr()})
	var ids []string
	for range 100 {
		a := request(t, "hash", "crm") // all in one shard
		a.Idem, a.Dispatch.IdemHash = nil, ""
		accept(t, s, a)
		ids = append(ids, a.Dispatch.ID)
	}
	shard, _ := keysOf(ids[0])
	for i, id := range ids {
		by := -time.Minute
		if i < 90 {
			by = time.Hour
		}
		conn.Base.HIncrBy(t.Context(), recordKey(shard, id), "a", by.Milliseconds())
	}
	for _, limit := range []int{4, 100} {
		rows, err := s.QueuedSince(t.Context(), "crm", 30*time.Second, limit)
		if err != nil || len(rows) != min(limit, 10) || rows[0].Since < 59*time.Second {
			t.Errorf("limit %d: %d rows, %v", limit, len(rows), err)
		}
	}
}
