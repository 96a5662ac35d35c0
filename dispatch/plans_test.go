package dispatch_test

import (
	"context"
	"errors"
	"testing"

	"headgate/dispatch"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
)

// asked counts how often the store is asked for a plan.
type asked struct {
	tracking.Store
	times int
}

func (a *asked) PlanSource(ctx context.Context, hash string) ([]byte, error) {
	a.times++
	return a.Store.PlanSource(ctx, hash)
}

func TestRenewAsksOnceADay(t *testing.T) {
	w := newWorld(t)
	w.one(t) // accepting keeps the plan
	store := &asked{Store: w.store}
	plans := dispatch.NewPlans(func() map[string]*target.Plan { return w.live }, store)
	for range 3 {
		if err := plans.Renew(t.Context(), w.live["crm"].Hash); err != nil {
			t.Fatal(err)
		}
	}
	if store.times != 1 {
		t.Fatalf("the store was asked %d times", store.times)
	}
	if err := plans.Renew(t.Context(), "0000000000000000"); !errors.Is(err, dispatch.ErrPlanGone) {
		t.Fatalf("a plan nobody knows: %v", err)
	}
}

// A plan of a later version has a key that this one does not know. What it would mean is
// not guessed.
func TestPlanOfALaterVersionIsGone(t *testing.T) {
	w := newWorld(t)
	const hash = "5f2b6a7c0d9e4f1a"
	for source, readable := range map[string]bool{
		`{"url":"https://crm.example.com","post":"/"}`:                   true,
		`{"url":"https://crm.example.com","post":"/","teleport":"fast"}`: false,
	} {
		if err := w.store.SavePlan(t.Context(), hash, []byte(source)); err != nil {
			t.Fatal(err)
		}
		plans := dispatch.NewPlans(func() map[string]*target.Plan { return w.live }, w.store)
		if _, err := plans.Find(t.Context(), "crm", hash); errors.Is(err, dispatch.ErrPlanGone) == readable || readable && err != nil {
			t.Errorf("%s: %v", source, err)
		}
	}
}
