package trackingtest

import (
	"testing"

	"headgate/dispatch/tracking"
)

var ownerRules = map[string]func(*testing.T, tracking.Store){
	"signs of life count up until forgotten": func(t *testing.T, s tracking.Store) {
		owner := tracking.NewOwner()
		for want := int64(1); want <= 3; want++ {
			must(t, s.Beat(t.Context(), owner))
			owners, err := s.Owners(t.Context())
			must(t, err)
			if owners[owner] != want {
				t.Fatalf("%d signs of life, want %d", owners[owner], want)
			}
		}
		must(t, s.Forget(t.Context(), owner))
		owners, err := s.Owners(t.Context())
		must(t, err)
		if n, ok := owners[owner]; ok {
			t.Fatalf("forgotten, and yet %d", n)
		}
	},
	"a claim is listed with its owner until it ends": func(t *testing.T, s tracking.Store) {
		owner, other := tracking.NewOwner(), tracking.NewOwner()
		r := ref(accepted(t, s, "crm"), "crm")
		claim(t, s, r, 1, tracking.NewToken(owner), long)
		if rows := abandoned(t, s, other); len(rows) != 0 {
			t.Fatalf("another owner holds %+v", rows)
		}
		rows := abandoned(t, s, owner)
		if len(rows) != 1 || rows[0].Ref != r || rows[0].Delivery.Phase != tracking.Running {
			t.Fatalf("the owner holds %+v", rows)
		}
		must(t, s.Apply(t.Context(), r, rows[0].Delivery.Fence, tracking.TakeOver(rows[0].Delivery)))
		if rows := abandoned(t, s, owner); len(rows) != 0 {
			t.Fatalf("taken over, and yet the owner holds %+v", rows)
		}
	},
	"a claim that another took over is the other's": func(t *testing.T, s tracking.Store) {
		first, second := tracking.NewOwner(), tracking.NewOwner()
		r := ref(accepted(t, s, "crm"), "crm")
		claim(t, s, r, 1, tracking.NewToken(first), long)
		token := tracking.NewToken(second)
		d := load(t, s, r.Tracking).Deliveries["crm"]
		must(t, s.Apply(t.Context(), r, d.Fence, tracking.TakeOver(d)))
		claim(t, s, r, 2, token, long)
		if rows := abandoned(t, s, first); len(rows) != 0 {
			t.Fatalf("the first owner still holds %+v", rows)
		}
		if rows := abandoned(t, s, second); len(rows) != 1 || rows[0].Ref != r {
			t.Fatalf("the second owner holds %+v", rows)
		}
	},
}

func abandoned(t *testing.T, s tracking.Store, owner string) []tracking.Row {
	t.Helper()
	rows, err := s.Abandoned(t.Context(), owner, 10)
	must(t, err)
	return rows
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
