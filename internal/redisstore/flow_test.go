package redisstore

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"headgate/internal/flow"
	"headgate/internal/testenv"
)

const right = 5 * time.Second

func lookAt(t *testing.T, f *Flow, worker string, probing ...string) map[string]flow.Fleet {
	t.Helper()
	got, err := f.Look(t.Context(), worker, probing, right)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// One breaker for all: it opens once, one worker probes, a failed probe opens it for
// longer, within bounds, and a successful one closes it.
func TestFlowBreaker(t *testing.T) {
	rdb := testenv.Redis(t).Client(t)
	f := NewFlow(rdb)
	if got := lookAt(t, f, "a", "crm"); len(got) != 0 {
		t.Fatalf("at first: %+v", got)
	}
	trip := func(worker string) {
		must(t, f.Trip(t.Context(), "crm", worker, 200*time.Millisecond, 300*time.Millisecond))
	}
	trip("a")
	trip("b") // it is open already
	got := lookAt(t, f, "b", "crm")["crm"]
	if !got.Open || got.OpenFor <= 0 || got.OpenFor > 200*time.Millisecond || got.Mine {
		t.Fatalf("open: %+v", got)
	}
	halfOpen := func() {
		testenv.Eventually(t, 5*time.Second, func() bool { return lookAt(t, f, "c")["crm"].OpenFor == 0 }, "the breaker's time did not end")
	}
	halfOpen()
	if a, b := lookAt(t, f, "a", "crm")["crm"], lookAt(t, f, "b", "crm")["crm"]; !a.Mine || b.Mine {
		t.Fatalf("a %+v, b %+v; want only a to probe", a, b)
	}
	trip("b") // a call from before: it has no right to decide
	if got := lookAt(t, f, "a", "crm")["crm"]; got.OpenFor != 0 || !got.Mine {
		t.Fatalf("after somebody else's failure: %+v", got)
	}
	trip("a")
	if got := lookAt(t, f, "a", "crm")["crm"]; got.OpenFor <= 200*time.Millisecond || got.OpenFor > 300*time.Millisecond || got.Mine {
		t.Fatalf("after a failed probe: %+v, want open for 300ms", got)
	}
	must(t, f.Reset(t.Context(), "crm"))
	if got := lookAt(t, f, "a")["crm"]; !got.Open {
		t.Fatal("an open breaker was closed by a late success")
	}
	halfOpen()
	if got := lookAt(t, f, "b", "crm")["crm"]; !got.Mine {
		t.Fatalf("b may not probe: %+v", got)
	}
	must(t, f.Reset(t.Context(), "crm"))
	if left := rdb.HGetAll(t.Context(), flowKey).Val(); len(left) != 0 {
		t.Fatalf("left: %v", left)
	}
}

// The right of a worker that was killed ends by itself.
func TestFlowRightEnds(t *testing.T) {
	f := NewFlow(testenv.Redis(t).Client(t))
	must(t, f.Trip(t.Context(), "crm", "a", time.Millisecond, time.Millisecond))
	mine := func(worker string) bool {
		got, err := f.Look(t.Context(), worker, []string{"crm"}, 300*time.Millisecond)
		must(t, err)
		return got["crm"].Mine
	}
	testenv.Eventually(t, 5*time.Second, func() bool { return mine("a") }, "a does not get the right")
	if mine("b") {
		t.Fatal("b has the right, too")
	}
	testenv.Eventually(t, 5*time.Second, func() bool { return mine("b") }, "the right does not end")
}

func TestFlowHoldAndPause(t *testing.T) {
	f := NewFlow(testenv.Redis(t).Client(t))
	changes, end := f.Changes(t.Context())
	defer end()
	changed := func() {
		t.Helper()
		select {
		case <-changes:
		case <-time.After(5 * time.Second):
			t.Fatal("no message")
		}
	}
	// The subscription stands when a message arrives; until then messages get lost.
	testenv.Eventually(t, 5*time.Second, func() bool {
		must(t, f.Order(t.Context(), "billing", flow.Order{Mode: flow.Halted, Note: "again"})) // a note is news each time
		select {
		case <-changes:
			return true
		default:
			return false
		}
	}, "no message of a pause")
	must(t, f.Hold(t.Context(), "crm", time.Minute))
	changed()
	must(t, f.Hold(t.Context(), "crm", time.Second)) // shorter than what holds
	must(t, f.Order(t.Context(), "crm:b", flow.Order{Mode: flow.Halted, By: "alice", Note: "maintenance until noon"}))
	changed()
	got := lookAt(t, f, "a")
	if held := got["crm"].Held; held < 50*time.Second || held > time.Minute {
		t.Errorf("held for %v", held)
	}
	if o := got["crm:b"].Order; o.Mode != flow.Halted || o.By != "alice" || o.Note != "maintenance until noon" {
		t.Errorf("paused: %+v", o)
	}
	must(t, f.Order(t.Context(), "crm:b", flow.Order{}))
	must(t, f.Order(t.Context(), "crm:b", flow.Order{}))
	if got := lookAt(t, f, "a"); got["crm:b"].Order.Mode != flow.Active || got["billing"].Order.Mode != flow.Halted {
		t.Errorf("after resuming: %+v", got)
	}
}

// A target has one order. Repeated, it holds since it was first given, and says what was
// said last.
func TestFlowOrders(t *testing.T) {
	rdb := testenv.Redis(t).Client(t)
	f := NewFlow(rdb)
	order := func(o flow.Order) flow.Order {
		t.Helper()
		must(t, f.Order(t.Context(), "crm", o))
		fleet, err := f.Fleet(t.Context())
		must(t, err)
		return fleet["crm"].Order
	}
	first := order(flow.Order{Mode: flow.Draining, By: "alice", Note: "moves"})
	if first.Mode != flow.Draining || first.By != "alice" || first.Note != "moves" || time.Since(first.Since).Abs() > time.Minute {
		t.Fatalf("draining: %+v", first)
	}
	if again := order(flow.Order{Mode: flow.Draining, By: "bob"}); again != first {
		t.Errorf("repeated without a note: %+v, want %+v", again, first)
	}
	noted := order(flow.Order{Mode: flow.Draining, By: "bob", Note: "moves on Monday"})
	if noted.Since != first.Since || noted.By != "bob" || noted.Note != "moves on Monday" {
		t.Errorf("repeated with a note: %+v, want since %v", noted, first.Since)
	}
	if names, err := f.Draining(t.Context()); err != nil || len(names) != 1 || names[0] != "crm" {
		t.Errorf("draining: %v, %v", names, err)
	}
	if paused := order(flow.Order{Mode: flow.Halted, By: "bob"}); paused.Mode != flow.Halted || paused.Note != "" {
		t.Errorf("paused: %+v", paused)
	}
	if names, err := f.Draining(t.Context()); err != nil || len(names) != 0 {
		t.Errorf("paused, and draining: %v, %v", names, err)
	}
	order(flow.Order{})
	if left := rdb.HGetAll(t.Context(), flowKey).Val(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// However many lease at once, no more tokens are given than the span allows.
func TestRateOfTheFleet(t *testing.T) {
	f := NewFlow(testenv.Redis(t).Client(t))
	const every, burst, span = 10 * time.Millisecond, 5, time.Second
	began := time.Now()
	var mu sync.Mutex
	var workers sync.WaitGroup
	total := 0
	for range 4 {
		workers.Go(func() {
			for time.Since(began) < span {
				got, wait, err := f.Lease(t.Context(), "crm", every, burst, 3)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				total += got
				mu.Unlock()
				if got == 0 {
					<-time.After(wait)
				}
			}
		})
	}
	workers.Wait()
	most := int(time.Since(began)/every) + burst
	if total > most || total < most*7/10 {
		t.Errorf("%d tokens, want at most %d and hardly less", total, most)
	}
}

func TestRateReturn(t *testing.T) {
	f := NewFlow(testenv.Redis(t).Client(t))
	lease := func(want int) string {
		t.Helper()
		got, wait, err := f.Lease(t.Context(), "crm", time.Minute, 3, want)
		must(t, err)
		if got == 0 && (wait < 30*time.Second || wait > time.Minute) {
			t.Errorf("the next token is due in %v", wait)
		}
		return fmt.Sprint(got)
	}
	give := func(n int) { t.Helper(); must(t, f.Return(t.Context(), "crm", time.Minute, n)) }
	said := lease(5) + lease(1)
	give(2)
	said += lease(3) + lease(1)
	give(50) // more than were ever leased: no more are kept than the burst
	said += lease(50)
	if said != "30203" {
		t.Errorf("leased %s, want 3, 0, 2, 0, 3", said)
	}
}

// A rate that a reload has raised holds at once: the token that is next by the former one may be
// due in hours.
func TestRateIsRaised(t *testing.T) {
	f := NewFlow(testenv.Redis(t).Client(t))
	if got, _, err := f.Lease(t.Context(), "crm", time.Hour, 1, 1); got != 1 || err != nil {
		t.Fatalf("%d tokens, %v", got, err)
	}
	got, wait, err := f.Lease(t.Context(), "crm", time.Second, 1, 1)
	if got != 0 || wait > time.Second || err != nil {
		t.Errorf("%d tokens, the next in %v, %v; want none, and one within a second", got, wait, err)
	}
}
