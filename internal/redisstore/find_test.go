package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

// found follows the cursors of a query to its end and gives the IDs in the order of the pages.
func found(t *testing.T, s *Store, q tracking.FindQuery) (ids []string, pages []tracking.FindPage) {
	t.Helper()
	for range 10_000 {
		page, err := s.Find(t.Context(), q)
		if err != nil {
			t.Fatalf("%+v: %v", q, err)
		}
		pages = append(pages, page)
		for i, d := range page.Dispatches {
			ids = append(ids, d.ID)
			if i > 0 && d.AcceptedAt.After(page.Dispatches[i-1].AcceptedAt) {
				t.Errorf("a page is not sorted, newest first")
			}
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return ids, pages
		}
	}
	t.Fatalf("%+v: it does not end", q)
	return nil, nil
}

func sorted(ids []string) []string { out := slices.Clone(ids); slices.Sort(out); return out }

// population accepts dispatches of many kinds and gives the IDs of each.
func population(t *testing.T, s *Store, each int) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for i := range each {
		for _, kind := range []string{"open", "done", "failed", "partial", "other", "batch"} {
			a := request(t, "", "crm", "mail")
			id := a.Dispatch.ID
			switch kind {
			case "other":
				a = request(t, fmt.Sprintf("hash-%d", i), "crm")
				a.Dispatch.Route, a.Dispatch.Tenant, id = "order-placed", "mobile/other", a.Dispatch.ID
			case "batch":
				var err error
				if id, err = tracking.NewBatchID(fmt.Sprintf("target%d", i)); err != nil {
					t.Fatal(err)
				}
				a.Dispatch.ID = id
			}
			accept(t, s, a)
			switch kind {
			case "done":
				finish(t, s, id, "crm", tracking.Succeeded)
				finish(t, s, id, "mail", tracking.Succeeded)
			case "failed":
				finish(t, s, id, "crm", tracking.Failed)
				finish(t, s, id, "mail", tracking.Rejected)
			case "partial":
				finish(t, s, id, "crm", tracking.Failed)
				finish(t, s, id, "mail", tracking.Warned)
			case "other":
				finish(t, s, id, "crm", tracking.Succeeded)
			}
			out[kind] = append(out[kind], id)
		}
	}
	return out
}

// Each way of finding gives exactly what there is, whatever the size of the pages.
func TestFind(t *testing.T) {
	server := testenv.Redis(t)
	cluster := testenv.Cluster(t, false)
	for name, o := range map[string]Options{
		"redis":   {Network: "unix", Addr: server.Socket(), AutoPipeline: true},
		"cluster": {Cluster: cluster.Addrs()},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := open(t, o)
			p := population(t, s, 15)
			began := time.Now()
			for _, c := range []struct {
				q    tracking.FindQuery
				want [][]string
				by   tracking.FindBy
			}{
				{tracking.FindQuery{}, [][]string{p["open"], p["done"], p["failed"], p["partial"], p["other"]}, tracking.FindByScan},
				{tracking.FindQuery{Route: "order-placed"}, [][]string{p["other"]}, tracking.FindByScan},
				{tracking.FindQuery{Tenant: "mobile/acme", State: "succeeded"}, [][]string{p["done"]}, tracking.FindByScan},
				{tracking.FindQuery{State: "partial"}, [][]string{p["partial"]}, tracking.FindByScan},
				{tracking.FindQuery{State: "failed"}, [][]string{p["failed"]}, tracking.FindByScan},
				{tracking.FindQuery{State: "rejected"}, [][]string{p["failed"]}, tracking.FindByScan},
				{tracking.FindQuery{State: "succeeded", Target: "mail"}, [][]string{p["done"]}, tracking.FindByScan},
				{tracking.FindQuery{Since: began.Add(-time.Hour), Until: began.Add(time.Hour), Route: "order-placed"}, [][]string{p["other"]}, tracking.FindByScan},
				{tracking.FindQuery{Since: began.Add(time.Hour)}, nil, tracking.FindByScan},
				{tracking.FindQuery{Until: began.Add(-3 * time.Hour)}, nil, tracking.FindByScan},
				{tracking.FindQuery{State: "in_progress"}, [][]string{p["open"]}, tracking.FindByDue},
				{tracking.FindQuery{State: "pending"}, [][]string{p["open"]}, tracking.FindByDue},
				{tracking.FindQuery{State: "in_progress", Target: "mail"}, [][]string{p["open"]}, tracking.FindByDue},
				{tracking.FindQuery{State: "waiting"}, nil, tracking.FindByDue},
				{tracking.FindQuery{State: "failed", Target: "crm"}, [][]string{p["failed"], p["partial"]}, tracking.FindByDead},
				{tracking.FindQuery{IdemHash: "hash-7"}, [][]string{p["other"][7:8]}, tracking.FindByKey},
				{tracking.FindQuery{IdemHash: "hash-7", Route: "profile-changed"}, nil, tracking.FindByScan},
				{tracking.FindQuery{IdemHash: "nobody's"}, nil, tracking.FindByScan},
			} {
				for _, limit := range []int{0, 2, 7, 1000} {
					c.q.Limit = limit
					ids, pages := found(t, s, c.q)
					if want := sorted(slices.Concat(c.want...)); !slices.Equal(sorted(ids), want) {
						t.Errorf("%+v: %d dispatches in %d pages, want %d", c.q, len(ids), len(pages), len(want))
					}
					for _, page := range pages {
						// A SCAN of one key may give the few that share a bucket.
						if most := c.q.Size() + 8; len(page.Dispatches) > most || page.By != c.by {
							t.Errorf("%+v: a page of %d by %s, want at most %d by %s", c.q, len(page.Dispatches), page.By, most, c.by)
						}
					}
				}
			}
		})
	}
}

// Whatever phase a delivery is in, its dispatch is found once as under way.
func TestFindUnderWay(t *testing.T) {
	server := testenv.Redis(t)
	s, _ := open(t, Options{Network: "unix", Addr: server.Socket()})
	var want []string
	for i := range 60 {
		a := request(t, "", "crm", "mail", "old")
		accept(t, s, a)
		id := a.Dispatch.ID
		want = append(want, id)
		finish(t, s, id, "old", tracking.Succeeded)
		for _, target := range []string{"crm", "mail"}[:i%3] {
			ref := tracking.Ref{Tracking: id, Target: target}
			c, err := s.Claim(t.Context(), ref, 1, "run", time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 {
				continue // it runs
			}
			next := tracking.Apply(c.Delivery, tracking.NotYet{After: time.Hour}, c.Now)
			if err := s.Apply(t.Context(), ref, c.Delivery.Fence, next); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, limit := range []int{1, 13, 1000} {
		if ids, _ := found(t, s, tracking.FindQuery{State: "in_progress", Limit: limit}); !slices.Equal(sorted(ids), sorted(want)) {
			t.Errorf("limit %d: %d, want %d", limit, len(ids), len(want))
		}
	}
	for state, n := range map[string]int{"delivering": 20, "waiting": 20, "pending": 60} {
		if ids, _ := found(t, s, tracking.FindQuery{State: state, Limit: 9}); len(ids) != n && state != "pending" {
			t.Errorf("%s: %d, want %d", state, len(ids), n)
		}
	}
	if ids, _ := found(t, s, tracking.FindQuery{State: "waiting", Target: "mail"}); len(ids) != 10 {
		t.Errorf("waiting for mail: %d, want 10", len(ids))
	}
}

// A key that was forgotten before its record is still found, by the record.
func TestFindForgottenKey(t *testing.T) {
	server := testenv.Redis(t)
	s, conn := open(t, Options{Network: "unix", Addr: server.Socket()})
	p := population(t, s, 5)
	if n := conn.Base.Del(t.Context(), idemKey(shardPrefix[tracking.IdemShard("hash-3")], "hash-3")).Val(); n != 1 {
		t.Fatal("there was no row")
	}
	page, err := s.Find(t.Context(), tracking.FindQuery{IdemHash: "hash-3"})
	if err != nil || len(page.Dispatches) != 1 || page.Dispatches[0].ID != p["other"][3] || page.By != tracking.FindByScan {
		t.Errorf("%+v, %v", page, err)
	}
}

// Wrong queries and cursors are refused, with the reason.
func TestFindRefuses(t *testing.T) {
	server := testenv.Redis(t)
	s, _ := open(t, Options{Network: "unix", Addr: server.Socket()})
	population(t, s, 4)
	page, err := s.Find(t.Context(), tracking.FindQuery{Limit: 1})
	if err != nil || page.Next == "" {
		t.Fatalf("%+v, %v", page, err)
	}
	now := time.Now()
	for text, q := range map[string]tracking.FindQuery{
		`"fine" is none of [in_progress succeeded partial`: {State: "fine"},
		"leave the target out":                             {State: "partial", Target: "crm"},
		"since is not before until":                        {Since: now, Until: now},
		"1 to 1000":                                        {Limit: 1001},
		"not one of ours":                                  {Cursor: "%%%"},
		"another search":                                   {Cursor: page.Next, State: "in_progress"},
		"is not one of ours":                               {Cursor: makeCursor(tracking.FindByScan, "1 2 3")},
		"cursor is not one of ours":                        {Cursor: makeCursor(tracking.FindByDue, "64 due 0 0 "), State: "in_progress"},
	} {
		if _, err := s.Find(t.Context(), q); !errors.Is(err, tracking.ErrInvalid) || !strings.Contains(err.Error(), text) {
			t.Errorf("%+v: %v, want %q", q, err, text)
		}
	}
}

// Going on after a fail-over, or at a server that has restarted, hides nothing: its cursors
// are another's.
func TestFindOverAFailover(t *testing.T) {
	server := testenv.Redis(t, testenv.WithAOF())
	s, conn := open(t, Options{Network: "unix", Addr: server.Socket()})
	p := population(t, s, 60)
	page, err := s.Find(t.Context(), tracking.FindQuery{State: "succeeded", Limit: 40})
	if err != nil || page.Next == "" {
		t.Fatalf("%+v, %v", page, err)
	}
	server.Restart()
	awaitUp(t, conn)
	rest, _ := found(t, s, tracking.FindQuery{State: "succeeded", Limit: 40, Cursor: page.Next})
	for _, d := range page.Dispatches {
		rest = append(rest, d.ID)
	}
	slices.Sort(rest)
	if want := sorted(slices.Concat(p["done"], p["other"])); !slices.Equal(slices.Compact(rest), want) {
		t.Errorf("%d, want %d", len(rest), len(want))
	}
}

// A slot that moves to another master while its server is gone through is gone through there.
func TestFindWhileASlotMoves(t *testing.T) {
	cluster := testenv.Cluster(t, false)
	s, conn := open(t, Options{Cluster: cluster.Addrs()})
	p := population(t, s, 60)
	want := sorted(slices.Concat(p["open"], p["done"], p["failed"], p["partial"], p["other"]))
	page, err := s.Find(t.Context(), tracking.FindQuery{Limit: 20})
	if err != nil || page.Next == "" {
		t.Fatalf("%+v, %v", page, err)
	}
	// Shard 0 is the first to be looked for, so its server is the one at hand.
	from, err := conn.Base.(*redis.ClusterClient).MasterForKey(t.Context(), shardPrefix[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range cluster.Masters {
		if m.Addr() != from.Options().Addr {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := cluster.MoveSlot(ctx, shardPrefix[0], m); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	rest, _ := found(t, s, tracking.FindQuery{Limit: 20, Cursor: page.Next})
	for _, d := range page.Dispatches {
		rest = append(rest, d.ID)
	}
	slices.Sort(rest)
	if got := slices.Compact(rest); !slices.Equal(got, want) {
		t.Errorf("%d, want %d", len(got), len(want))
	}
}

// With Redis away it is ErrUnavailable, and a cursor from before is still good.
func TestFindAway(t *testing.T) {
	server := testenv.Redis(t, testenv.WithAOF())
	s, conn := open(t, Options{Network: "unix", Addr: server.Socket()})
	population(t, s, 10)
	server.Kill()
	for _, q := range []tracking.FindQuery{{}, {State: "in_progress"}, {State: "failed", Target: "crm"}, {IdemHash: "hash-1"}} {
		if _, err := s.Find(t.Context(), q); !errors.Is(err, tracking.ErrUnavailable) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	server.Restart()
	awaitUp(t, conn)
	if ids, _ := found(t, s, tracking.FindQuery{}); len(ids) != 50 {
		t.Errorf("%d, want 50", len(ids))
	}
}
