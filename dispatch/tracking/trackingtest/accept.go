package trackingtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/dispatch/tracking"
)

var acceptRules = map[string]func(*testing.T, tracking.Store){
	"accept records everything":                   acceptRecordsEverything,
	"accept is idempotent on the ID":              acceptTwice,
	"accept does not undo what has happened":      acceptAgainAfterProgress,
	"accept finds the idempotency key taken":      acceptTaken,
	"accept has one winner per idempotency key":   acceptOneWinner,
	"accept with all targets skipped is final":    acceptSkippedOnly,
	"accept refuses what breaks the record":       acceptInvalid,
	"accept refuses a record that is too large":   acceptTooLarge,
	"accept with an ended context writes nothing": acceptEndedContext,
	"accept takes any data":                       acceptAnyData,
	"accept takes a hundred targets":              acceptManyTargets,
	"unknown records are not found":               unknownRecords,
}

func acceptRecordsEverything(t *testing.T, s tracking.Store) {
	before := time.Now()
	a := acceptance(t, unique("idem"), "crm", "mail?", "stats")
	a.Dispatch.Targets[2].Optional = true
	a.Dispatch.Rule = tracking.DoneAny
	want := accept(t, s, a)
	got := load(t, s, want.ID)
	// The store's clock decides, and it may differ from ours by what a clock drifts.
	if d := got.AcceptedAt.Sub(before); d < -time.Second || d > patience {
		t.Errorf("accepted at %v, want about %v", got.AcceptedAt, before)
	}
	got.AcceptedAt = want.AcceptedAt
	if !reflect.DeepEqual(got, want) {
		t.Errorf("loaded\n%+v, want\n%+v", got, want)
	}
	row, err := s.Idem(t.Context(), want.IdemHash)
	if err != nil || !reflect.DeepEqual(row, a.Idem) {
		t.Errorf("Idem = %+v, %v; want %+v", row, err, a.Idem)
	}
	if row, err := s.Idem(t.Context(), unique("idem")); row != nil || err != nil {
		t.Errorf("Idem of a new key = %+v, %v; want none", row, err)
	}
}

func acceptTwice(t *testing.T, s tracking.Store) {
	a := acceptance(t, unique("idem"), "crm")
	accept(t, s, a)
	accept(t, s, a)
	plan := tracking.PlanRef{Target: "crm", Hash: a.Dispatch.Deliveries["crm"].Plan}
	open, err := s.OpenPlans(t.Context())
	if err != nil || open[plan] != 1 {
		t.Errorf("OpenPlans = %d, %v; want the delivery counted once", open[plan], err)
	}
}

func acceptAgainAfterProgress(t *testing.T, s tracking.Store) {
	a := acceptance(t, "", "crm")
	d := accept(t, s, a)
	step(t, s, ref(d, "crm"), succeeded())
	accept(t, s, a)
	if got := load(t, s, d.ID); got.Status() != tracking.DispatchSucceeded {
		t.Errorf("sent again after its end the record is %s", got.Status())
	}
}

func acceptTaken(t *testing.T, s tracking.Store) {
	hash := unique("idem")
	first := acceptance(t, hash, "crm", "mail?")
	accept(t, s, first)
	second := acceptance(t, hash, "crm")
	second.Idem.Fingerprint = "another"
	taken, err := s.Accept(t.Context(), second)
	if err != nil || !reflect.DeepEqual(taken, first.Idem) {
		t.Fatalf("Accept = %+v, %v; want the first row %+v", taken, err, first.Idem)
	}
	_, err = s.Load(t.Context(), second.Dispatch.ID)
	wantErr(t, "Load of the second", err, tracking.ErrNotFound)
	open, err := s.OpenPlans(t.Context())
	if n := open[tracking.PlanRef{Target: "crm", Hash: second.Dispatch.Deliveries["crm"].Plan}]; err != nil || n != 0 {
		t.Errorf("the second counts as open %d times (%v)", n, err)
	}
}

func acceptOneWinner(t *testing.T, s tracking.Store) {
	const callers = 16
	hash := unique("idem")
	rows := make([]*tracking.IdemRow, callers)
	ids := make([]string, callers)
	var all sync.WaitGroup
	for i := range callers {
		a := acceptance(t, hash, "crm")
		ids[i] = a.Dispatch.ID
		all.Go(func() {
			var err error
			if rows[i], err = s.Accept(t.Context(), a); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	winner := ""
	for i, row := range rows {
		if row == nil {
			if winner != "" {
				t.Fatalf("both %s and %s were recorded", winner, ids[i])
			}
			winner = ids[i]
		}
	}
	for i, row := range rows {
		if row != nil && row.ID != winner {
			t.Errorf("caller %d was told of %s, the winner is %q", i, row.ID, winner)
		}
		if _, err := s.Load(t.Context(), ids[i]); (err == nil) != (ids[i] == winner) {
			t.Errorf("record of caller %d: %v; won: %v", i, err, ids[i] == winner)
		}
	}
}

func acceptSkippedOnly(t *testing.T, s tracking.Store) {
	d := accepted(t, s, "crm?", "mail?")
	got := load(t, s, d.ID)
	if got.Status() != tracking.DispatchSucceeded || got.EndedAt().IsZero() {
		t.Errorf("status %s, ended %v; want it final at once", got.Status(), got.EndedAt())
	}
	c, err := s.Claim(t.Context(), ref(d, "crm"), 1, "run", long)
	wantErr(t, "Claim of a skipped delivery", err, tracking.ErrStale)
	if c == nil || c.Delivery.State != tracking.Skipped {
		t.Errorf("Claim gave %+v, want the delivery", c)
	}
}

func acceptInvalid(t *testing.T, s tracking.Store) {
	for name, spoil := range map[string]func(*tracking.Acceptance){
		"id":            func(a *tracking.Acceptance) { a.Dispatch.ID = "trk_1" },
		"no delivery":   func(a *tracking.Acceptance) { delete(a.Dispatch.Deliveries, "crm") },
		"no target":     func(a *tracking.Acceptance) { a.Dispatch.Targets = a.Dispatch.Targets[:1] },
		"twice":         func(a *tracking.Acceptance) { a.Dispatch.Targets[1] = a.Dispatch.Targets[0] },
		"no phase":      spoilCRM(func(d *tracking.Delivery) { d.Phase = 0 }),
		"no state":      spoilCRM(func(d *tracking.Delivery) { d.State = "" }),
		"running":       spoilCRM(func(d *tracking.Delivery) { d.Phase = tracking.Running }),
		"scheduled":     spoilCRM(func(d *tracking.Delivery) { d.Phase = tracking.Scheduled }),
		"half final":    spoilCRM(func(d *tracking.Delivery) { d.State = tracking.Failed }),
		"claimed":       spoilCRM(func(d *tracking.Delivery) { d.Token = "run" }),
		"negative seq":  spoilCRM(func(d *tracking.Delivery) { d.Seq = -1 }),
		"foreign row":   func(a *tracking.Acceptance) { a.Idem.ID = "trk_other" },
		"no hash":       func(a *tracking.Acceptance) { a.Dispatch.IdemHash = "" },
		"foreign shard": func(a *tracking.Acceptance) { a.Dispatch.IdemHash = otherShard(a.Dispatch.IdemHash) },
	} {
		a := acceptance(t, unique("idem"), "crm", "mail")
		hash, id := a.Dispatch.IdemHash, a.Dispatch.ID
		spoil(a)
		_, err := s.Accept(t.Context(), a)
		wantErr(t, name, err, tracking.ErrInvalid)
		if _, err := s.Load(t.Context(), id); err == nil {
			t.Errorf("%s: it was recorded", name)
		}
		if row, _ := s.Idem(t.Context(), hash); row != nil {
			t.Errorf("%s: its idempotency row was recorded", name)
		}
	}
}

func spoilCRM(f func(*tracking.Delivery)) func(*tracking.Acceptance) {
	return func(a *tracking.Acceptance) {
		d := a.Dispatch.Deliveries["crm"]
		f(&d)
		a.Dispatch.Deliveries["crm"] = d
	}
}

func otherShard(hash string) string {
	for other := hash + "x"; ; other += "x" {
		if tracking.IdemShard(other) != tracking.IdemShard(hash) {
			return other
		}
	}
}

func acceptTooLarge(t *testing.T, s tracking.Store) {
	a := acceptance(t, "", "crm")
	a.Payloads["crm"] = json.RawMessage(`"` + strings.Repeat("x", 33<<20) + `"`)
	_, err := s.Accept(t.Context(), a)
	wantErr(t, "33 MB", err, tracking.ErrTooLarge)
}

func acceptEndedContext(t *testing.T, s tracking.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := acceptance(t, "", "crm")
	_, err := s.Accept(ctx, a)
	wantErr(t, "Accept", err, tracking.ErrUnavailable)
	_, err = s.Load(t.Context(), a.Dispatch.ID)
	wantErr(t, "Load", err, tracking.ErrNotFound)
}

func acceptAnyData(t *testing.T, s tracking.Store) {
	bin := "\x00\x01\xff\xfe\r\n*3\r\n$-1\r\n"
	names := []string{"crm", "zürich", "日本:ガ {7}", "with space", "t:crm", "%d%s%%", `quo"te`, "-"}
	a := acceptance(t, "", names...)
	a.Dispatch.Route, a.Dispatch.Tenant = "маршрут", "a b:c{d}"
	a.Dispatch.Params = map[string]string{"ключ ": "v\u0000\n" + `\"`}
	for _, n := range names {
		a.Payloads[n] = json.RawMessage(bin + n + bin)
	}
	d := accept(t, s, a)
	got := load(t, s, d.ID)
	if got.Route != d.Route || got.Tenant != d.Tenant || !maps.Equal(got.Params, d.Params) {
		t.Errorf("loaded %+v, want %+v", got, d)
	}
	saved := map[string]json.RawMessage{"big": json.RawMessage(`12345678901234567890.10`), "ü": json.RawMessage(`"\u0000 \ud83d\ude00"`)}
	for _, n := range names {
		c := claim(t, s, ref(d, n), 1, "run", long)
		if !bytes.Equal(c.Payload, a.Payloads[n]) {
			t.Errorf("target %q: payload %q, want %q", n, c.Payload, a.Payloads[n])
		}
		if c.Dispatch == nil || c.Dispatch.ID != d.ID || c.Dispatch.Deliveries != nil {
			t.Errorf("target %q: claimed with %+v", n, c.Dispatch)
		}
		next := apply(t, s, ref(d, n), c.Delivery, tracking.Advanced{Next: "two words\n", Saved: saved}, c.Now)
		if got := load(t, s, d.ID).Deliveries[n]; !reflect.DeepEqual(got, next) {
			t.Errorf("target %q:\n%+v, want\n%+v", n, got, next)
		}
		rows, err := s.QueuedSince(t.Context(), n, 0, 1000)
		if err != nil || !hasRow(rows, ref(d, n)) {
			t.Errorf("target %q is not listed as queued: %v", n, err)
		}
		step(t, s, ref(d, n), succeeded())
	}
	if got := load(t, s, d.ID); got.Status() != tracking.DispatchSucceeded {
		t.Errorf("status %s, counts %v", got.Status(), got.Counts())
	}
}

func acceptManyTargets(t *testing.T, s tracking.Store) {
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("%s-%02d", unique("target"), i))
	}
	d := accepted(t, s, names...)
	got := load(t, s, d.ID)
	if len(got.Deliveries) != 100 || got.Counts()[tracking.Pending] != 100 {
		t.Fatalf("%d deliveries, %v", len(got.Deliveries), got.Counts())
	}
	for i, n := range names {
		c := claim(t, s, ref(d, n), 1, "run", long)
		if string(c.Payload) != `{"for":"`+n+`"}` {
			t.Errorf("target %d has the payload %s", i, c.Payload)
		}
		apply(t, s, ref(d, n), c.Delivery, succeeded(), c.Now)
	}
	if got := load(t, s, d.ID); got.Status() != tracking.DispatchSucceeded {
		t.Errorf("status %s, counts %v", got.Status(), got.Counts())
	}
}

func unknownRecords(t *testing.T, s tracking.Store) {
	never, err := tracking.NewID("")
	if err != nil {
		t.Fatal(err)
	}
	known := accepted(t, s, "crm").ID
	next := tracking.Delivery{Fence: tracking.Fence{Seq: 2}, Phase: tracking.Queued, State: tracking.Delivering}
	for _, r := range []tracking.Ref{
		{Tracking: "", Target: "crm"}, {Tracking: "trk_", Target: "crm"}, {Tracking: "trk_99" + never[6:], Target: "crm"},
		{Tracking: never + "0", Target: "crm"}, {Tracking: "hg:{00}:due", Target: "crm"},
		{Tracking: never, Target: "crm"}, {Tracking: known, Target: "no-such-target"},
	} {
		if r.Tracking != known {
			_, err := s.Load(t.Context(), r.Tracking)
			wantErr(t, fmt.Sprintf("Load %q", r), err, tracking.ErrNotFound)
		}
		_, err := s.Claim(t.Context(), r, 1, "run", long)
		wantErr(t, fmt.Sprintf("Claim %q", r), err, tracking.ErrNotFound)
		err = s.Apply(t.Context(), r, tracking.Fence{Seq: 1}, next)
		wantErr(t, fmt.Sprintf("Apply %q", r), err, tracking.ErrNotFound)
		if _, stop := s.Changed(t.Context(), r.Tracking); stop != nil {
			stop()
		}
	}
}
