package flow

import (
	"context"
	"sync"
	"testing"
	"time"

	"headgate/config/unit"
	"headgate/dispatch/target"
)

func limited(events, concurrency int) target.Limits {
	return target.Limits{Concurrency: concurrency, Rate: unit.Rate{Events: events, Per: time.Second}}
}

// Each task that is taken out costs a token, an empty look none.
func TestTokensAreUsedByTasks(t *testing.T) {
	store := &fakeStore{leases: []int{10}}
	_, v := newFlow(t, store, limited(100, 16))
	for range 10 {
		for range 3 {
			if !lets(t, v, false) {
				t.Fatal("not let through although there is a token")
			}
		}
		v.Took(false)
	}
	if lets(t, v, true) {
		t.Fatal("let through without a token")
	}
	if n := v.State().Waits[Rate]; n != 1 {
		t.Errorf("%d waits for the rate", n)
	}
}

// What an idle process has leased goes back.
func TestUnusedTokensGoBack(t *testing.T) {
	store := &fakeStore{leases: []int{10}}
	_, v := newFlow(t, store, limited(100, 16))
	if !lets(t, v, false) {
		t.Fatal("not let through")
	}
	v.Took(false)
	v.Empty(t.Context())
	v.Empty(t.Context())
	if store.given != 9 {
		t.Errorf("%d tokens given back, want 9", store.given)
	}
}

// A process with few free slots must not keep tokens that others could use.
func TestLotFitsFreeSlots(t *testing.T) {
	store := &fakeStore{leases: []int{100, 100}}
	_, v := newFlow(t, store, limited(1000, 3))
	for range 3 {
		if !lets(t, v, false) {
			t.Fatal("not let through")
		}
		v.Took(false)
	}
	v.Empty(t.Context())
	if store.given != 0 || len(store.leases) != 1 {
		t.Errorf("%d tokens were too many", store.given)
	}
}

// While the store is away nobody is let through, and stopping is immediate.
func TestRateWithoutStore(t *testing.T) {
	store := &fakeStore{}
	_, v := newFlow(t, store, limited(100, 16))
	store.with(func() { store.away = true })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan bool)
	go func() { ok, _ := v.Enter(ctx, true); done <- ok }()
	cancel()
	select {
	case ok := <-done:
		if ok {
			t.Error("let through")
		}
	case <-time.After(5 * time.Second):
		t.Fatal("still waiting")
	}
}

// A target with batches pays for what is sent, not for records that join, and records go
// on joining while the rate is used up.
func TestJoiningCostsNoTokens(t *testing.T) {
	store := &fakeStore{leases: []int{1}}
	f, v := newFlow(t, store, limited(1, 16))
	f.Configure(&target.Plan{Name: v.target, Breaker: unconfigured, Limits: limited(1, 16), Batch: &target.Batch{}})
	for range 50 {
		if !lets(t, v, false) {
			t.Fatal("a record may not join")
		}
		v.Took(false)
	}
	if !lets(t, v, true) {
		t.Fatal("the batch is held back although there is a token")
	}
	v.Took(true)
	if ok, again := v.Enter(t.Context(), true); ok || time.Until(again) < 59*time.Minute {
		t.Fatalf("a second batch, without a token: %t, again at %v; the next one is due in an hour", ok, again)
	}
	if !lets(t, v, false) {
		t.Fatal("a record may not join while batches wait")
	}
}

// What a lease says that was under way while a reload changed the rate is about the former rate:
// neither its tokens nor when its next one is due hold for the new one.
func TestLeaseOfAFormerRate(t *testing.T) {
	for name, leases := range map[string][]int{"none": {0, 1}, "some": {5, 0}} {
		t.Run(name, func(t *testing.T) {
			store := &fakeStore{leases: leases}
			f, v := newFlow(t, store, limited(1, 16))
			store.during = func() {
				store.during = nil
				f.Configure(&target.Plan{Name: "crm", Breaker: unconfigured, Limits: limited(100, 16)})
			}
			if ok, want := lets(t, v, true), leases[1] > 0; ok != want {
				t.Errorf("let through: %t, want %t: the new rate has %d tokens", ok, want, leases[1])
			}
		})
	}
}

// Every look at the files configures the targets anew, while tasks are being taken out. The
// race detector judges: batches that wait for the rate read how the target is configured.
func TestConfigureWhileTasksAreTakenOut(t *testing.T) {
	f, v := newFlow(t, &fakeStore{}, limited(100, 16))
	plan := &target.Plan{Name: "crm", Breaker: unconfigured, Limits: limited(100, 16), Batch: &target.Batch{}}
	f.Configure(plan)
	var both sync.WaitGroup
	both.Go(func() {
		for range 1000 {
			f.Configure(plan)
		}
	})
	both.Go(func() {
		for range 1000 {
			if ok, _ := v.Enter(t.Context(), true); ok {
				t.Error("let through although the rate has no token to give")
				return
			}
		}
	})
	both.Wait()
}

// A run that calls nobody has needed no token: another may have it.
func TestTokenOfARunThatCalledNobody(t *testing.T) {
	for name, tc := range map[string]struct {
		begun, calls, late, changed, back bool
		given                             int
	}{
		"called":                  {begun: true, calls: true},
		"called nobody":           {begun: true, back: true},
		"and took long":           {begun: true, late: true, back: true, given: 1},
		"and the rate is another": {begun: true, changed: true},
		"and took none":           {},
	} {
		t.Run(name, func(t *testing.T) {
			store := &fakeStore{leases: []int{1}}
			f, v := newFlow(t, store, limited(1, 16))
			plan := &target.Plan{Name: "crm", Breaker: unconfigured, Limits: limited(1, 16), Batch: &target.Batch{}}
			f.Configure(plan)
			if !lets(t, v, true) {
				t.Fatal("not let through")
			}
			v.Took(true)
			ctx, end := v.Begin(t.Context(), tc.begun)
			if tc.calls {
				Calls(ctx)
			}
			if tc.late {
				v.tokens.until = time.Now()
				store.leases = []int{1} // what was given back can be leased again
			}
			if tc.changed {
				plan.Limits = limited(2, 16)
				f.Configure(plan)
			}
			if back := end(); back != tc.back {
				t.Errorf("back: %t, want %t", back, tc.back)
			}
			if let := lets(t, v, true); let != tc.back || store.given != tc.given {
				t.Errorf("another is let through: %t; %d given back to the store, want %d", let, store.given, tc.given)
			}
		})
	}
}
