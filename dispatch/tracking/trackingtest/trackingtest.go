// Package trackingtest owns the rules of tracking.Store as tests, which every store
// runs. It knows no store.
package trackingtest

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// Run checks that the stores that open gives keep the rules. open is called once for
// each rule and may give the same store again: no rule looks at the records of another.
func Run(t *testing.T, open func(t *testing.T) tracking.Store) {
	t.Helper()
	for _, group := range []map[string]func(*testing.T, tracking.Store){
		acceptRules, claimRules, applyRules, indexRules, changedRules, cancelRules, deadRules, ownerRules, laneRules, batchRules, callbackRules, lineRules,
	} {
		for _, name := range slices.Sorted(maps.Keys(group)) {
			t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) { group[name](t, open(t)) })
		}
	}
}

// patience is how long something may take on a busy machine before it counts as not
// happening; short is a hold that is meant to run out.
const (
	patience = 20 * time.Second
	long     = time.Minute
	short    = 30 * time.Millisecond
)

// unique gives a name that no other test uses.
func unique(prefix string) string { return prefix + "-" + uuid.NewString()[:13] }

// acceptance builds a request for the targets, all pending; a name that ends in "?" is
// skipped. With idem, it has an idempotency key.
func acceptance(t testing.TB, idem string, targets ...string) *tracking.Acceptance {
	t.Helper()
	id, err := tracking.NewID(idem)
	if err != nil {
		t.Fatal(err)
	}
	d := &tracking.Dispatch{
		ID: id, Route: "profile-changed", Tenant: "mobile/acme", Rule: tracking.DoneAll, IdemHash: idem,
		Params: map[string]string{"id": "42"}, TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		Deliveries: map[string]tracking.Delivery{},
	}
	a := &tracking.Acceptance{
		Dispatch: d, Payloads: map[string]json.RawMessage{}, IdemTTL: time.Hour, Retention: time.Hour,
	}
	plan := unique("plan")
	first := map[string]tracking.State{}
	for _, name := range targets {
		name, skipped := strings.CutSuffix(name, "?")
		delivery := tracking.Delivery{Fence: tracking.Fence{Seq: 1}, Phase: tracking.Queued, State: tracking.Pending, Plan: plan}
		if skipped {
			delivery.Phase, delivery.State, delivery.Plan = tracking.Ended, tracking.Skipped, ""
		} else {
			a.Payloads[name] = json.RawMessage(`{"for":` + quote(name) + `}`)
		}
		first[name] = delivery.State
		d.Targets = append(d.Targets, tracking.TargetRef{Name: name})
		d.Deliveries[name] = delivery
	}
	if idem != "" {
		a.Idem = &tracking.IdemRow{Fingerprint: "fp", ID: id, First: first}
	}
	return a
}

func quote(s string) string {
	out, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always has a JSON form
	}
	return string(out)
}

// accept records the request and fails when it is not recorded.
func accept(t testing.TB, s tracking.Store, a *tracking.Acceptance) *tracking.Dispatch {
	t.Helper()
	taken, err := s.Accept(t.Context(), a)
	if err != nil || taken != nil {
		t.Fatalf("Accept = %+v, %v; want it recorded", taken, err)
	}
	return a.Dispatch
}

// accepted records a new request for the targets.
func accepted(t testing.TB, s tracking.Store, targets ...string) *tracking.Dispatch {
	t.Helper()
	return accept(t, s, acceptance(t, "", targets...))
}

func ref(d *tracking.Dispatch, target string) tracking.Ref {
	return tracking.Ref{Tracking: d.ID, Target: target}
}

func claim(t testing.TB, s tracking.Store, r tracking.Ref, seq int, token string, hold time.Duration) *tracking.Claimed {
	t.Helper()
	c, err := s.Claim(t.Context(), r, seq, token, hold)
	if err != nil {
		t.Fatalf("Claim %s seq %d as %s: %v", r.Target, seq, token, err)
	}
	return c
}

func apply(t testing.TB, s tracking.Store, r tracking.Ref, from tracking.Delivery, e tracking.Event, now time.Time) tracking.Delivery {
	t.Helper()
	next := tracking.Apply(from, e, now)
	if err := s.Apply(t.Context(), r, from.Fence, next); err != nil {
		t.Fatalf("Apply %T to %s: %v", e, r.Target, err)
	}
	return next
}

// step claims the delivery as it stands and applies e.
func step(t testing.TB, s tracking.Store, r tracking.Ref, e tracking.Event) tracking.Delivery {
	t.Helper()
	token := unique("run")
	c := claim(t, s, r, load(t, s, r.Tracking).Deliveries[r.Target].Seq, token, long)
	return apply(t, s, r, c.Delivery, e, c.Now)
}

func load(t testing.TB, s tracking.Store, id string) *tracking.Dispatch {
	t.Helper()
	d, err := s.Load(t.Context(), id)
	if err != nil {
		t.Fatalf("Load %s: %v", id, err)
	}
	return d
}

// wantErr checks the error of a call against the one it should wrap.
func wantErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// eventually asks until cond holds.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for !cond() {
		select {
		case <-look.C:
		case <-deadline.C:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func succeeded() tracking.Event {
	return tracking.Concluded{Answer: tracking.Answer{HTTPStatus: 200}, State: tracking.Succeeded}
}

func failedFor(after time.Duration, final bool) tracking.Event {
	return tracking.AttemptFailed{
		Fault: &fault.Fault{Reason: fault.ServerError, Message: "it said 500", Status: 500, Retry: true},
		After: after, Final: final,
	}
}
