package flow

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"headgate/internal/testenv"
)

// While the store is away what was known last holds; when it is back the workers are in
// step again within a look, and stopping is immediate in any case.
func TestRunWithoutStore(t *testing.T) {
	store := &fakeStore{fleet: map[string]Fleet{"crm": {Order: Order{Mode: Halted}}}}
	timing := Defaults()
	timing.Look = 10 * time.Millisecond
	f := New(Options{Store: store, Worker: "w", Log: slog.New(slog.DiscardHandler), Timing: timing})
	v := f.Valve("crm")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	testenv.Eventually(t, 5*time.Second, func() bool { return v.State().Order.Mode == Halted }, "the pause is not seen")
	store.with(func() { store.away, store.fleet = true, nil })
	if lets(t, v, true) || v.State().Order.Mode != Halted {
		t.Error("let through since the store is away")
	}
	store.with(func() { store.away = false })
	testenv.Eventually(t, 5*time.Second, func() bool { return v.State().Order.Mode != Halted }, "the end of the pause is not seen")
	cancel()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("still running")
	}
}

// One look serves all targets.
func TestOneLookForAll(t *testing.T) {
	store := &fakeStore{}
	f := New(Options{Store: store, Log: slog.New(slog.DiscardHandler)})
	for _, name := range []string{"crm", "billing", "analytics"} {
		f.Valve(name)
	}
	agree(t, f)
	if store.looks != 1 || len(f.States()) != 3 {
		t.Fatalf("%d looks for %d targets", store.looks, len(f.States()))
	}
}
