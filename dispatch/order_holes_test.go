package dispatch_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
)

// refusing is a store that refuses to accept.
type refusing struct {
	tracking.Store
	err error
}

func (r refusing) Accept(context.Context, *tracking.Acceptance) (*tracking.IdemRow, error) {
	return nil, r.err
}

func TestARefusedAcceptGivesItsPlaceBack(t *testing.T) {
	w := newOrderWorld(t, "", "", succeeded())
	w.dispatcher = dispatch.NewDispatcher(refusing{w.store, tracking.ErrUnavailable}, w.queue)
	if _, err := w.tryAbout(t.Context(), "a"); !errors.Is(err, tracking.ErrUnavailable) {
		t.Fatal(err)
	}
	w.emptied(t)
}

// What may have been recorded keeps its place for a while; then it is a hole that nobody waits for.
func TestAHoleCloses(t *testing.T) {
	w := newOrderWorld(t, "", "", succeeded())
	real := w.dispatcher
	w.dispatcher = dispatch.NewDispatcher(refusing{w.store, tracking.ErrOutcomeUnknown}, w.queue)
	var unknown *dispatch.OutcomeUnknownError
	if _, err := w.tryAbout(t.Context(), "a"); !errors.As(err, &unknown) {
		t.Fatal(err)
	}
	w.dispatcher = real
	second, third := w.about(t, "a"), w.about(t, "a")
	w.finish(t, second, third)
	w.clock.Add(tracking.HoleAfter - time.Second)
	w.look(t)
	w.drain(t)
	w.is(t, second, tracking.Pending)
	w.clock.Add(time.Second)
	w.look(t)
	w.drain(t)
	w.sentAre(t, second, third)
	w.emptied(t)
}

// A hole behind one that ends: whoever stands behind it is told to see to it.
func TestAHoleBehindSomebodyCloses(t *testing.T) {
	w := newOrderWorld(t, "", "", succeeded())
	real := w.dispatcher
	first := w.about(t, "a")
	w.dispatcher = dispatch.NewDispatcher(refusing{w.store, tracking.ErrOutcomeUnknown}, w.queue)
	for range 9 { // as when Redis is away for a moment
		_, _ = w.tryAbout(t.Context(), "a")
	}
	w.dispatcher = real
	third := w.about(t, "a")
	w.finish(t, third, first)
	w.is(t, third, tracking.Pending)
	w.clock.Add(tracking.HoleAfter)
	w.look(t)
	w.drain(t)
	w.sentAre(t, first, third)
	w.emptied(t)
}

// slow is a store whose accept takes its time.
type slow struct {
	tracking.Store
	clock *clock
}

func (s slow) Accept(ctx context.Context, a *tracking.Acceptance) (*tracking.IdemRow, error) {
	s.clock.Add(tracking.AcceptWithin + time.Second)
	return s.Store.Accept(ctx, a)
}

func TestALateAcceptIsRefused(t *testing.T) {
	w := newOrderWorld(t, "", "", succeeded())
	w.dispatcher = dispatch.NewDispatcher(slow{w.store, w.clock}, w.queue)
	if _, err := w.tryAbout(t.Context(), "a"); !errors.Is(err, tracking.ErrUnavailable) {
		t.Fatal(err)
	}
	w.emptied(t)
}
