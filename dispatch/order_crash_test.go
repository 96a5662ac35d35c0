package dispatch_test

import (
	"context"
	"testing"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
)

// The worker that ends a delivery dies before the line hears of it.
func TestALineHealsFromACrash(t *testing.T) {
	for name, lost := range map[string]string{"before leaving": "Leave", "before waking": "wake", "before it is told": "HasLeft"} {
		t.Run(name, func(t *testing.T) {
			w := newOrderWorld(t, "", "", succeeded())
			first, second := w.about(t, "a"), w.about(t, "a")
			w.run(t, second)
			claimed, err := w.store.Claim(t.Context(), first.Ref, first.Seq, "run", time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			end := tracking.Apply(claimed.Delivery, succeeded(), claimed.Now)
			if err := w.store.Apply(t.Context(), first.Ref, claimed.Delivery.Fence, end); err != nil {
				t.Fatal(err)
			}
			if lost != "Leave" {
				if _, err := w.store.Leave(t.Context(), end.Line, first.Tracking); err != nil {
					t.Fatal(err)
				}
			}
			if lost == "HasLeft" {
				d := w.delivery(t, second)
				if err := w.store.Apply(t.Context(), second.Ref, d.Fence, tracking.TakeOver(d)); err != nil {
					t.Fatal(err)
				}
			}
			w.clock.Add(tracking.LeaveGrace + 10*time.Second)
			w.queue.presence = dispatch.Enqueued
			w.look(t)
			w.drain(t)
			w.is(t, second, tracking.Succeeded)
			w.look(t)
			w.emptied(t)
		})
	}
}

// A record that is lost does not hold up its line for ever.
func TestALostRecordIsAHole(t *testing.T) {
	w := newOrderWorld(t, "", "", succeeded())
	first, second := w.about(t, "a"), w.about(t, "a")
	w.run(t, second)
	w.store.Lose(first.Tracking)
	w.clock.Add(15 * time.Minute)
	w.look(t)
	w.drain(t)
	w.is(t, second, tracking.Succeeded)
	w.emptied(t)
}

// overtaken is a store on which something happens right before a delivery parks.
type overtaken struct {
	tracking.Store
	before func()
}

func (o *overtaken) Apply(ctx context.Context, ref tracking.Ref, expect tracking.Fence, next tracking.Delivery) error {
	if before := o.before; next.Parked() && before != nil {
		o.before = nil
		before()
	}
	return o.Store.Apply(ctx, ref, expect, next)
}

// The first one leaves while the next is about to wait for it, and so finds nobody to wake.
func TestTheFirstLeavesWhileTheNextParks(t *testing.T) {
	w := newOrderWorld(t, "", "", succeeded())
	first, second := w.about(t, "a"), w.about(t, "a")
	store := &overtaken{Store: w.store}
	store.before = func() { w.run(t, first) }
	w.runner.Store = store
	w.run(t, second)
	w.drain(t)
	w.sentAre(t, first, second)
	w.emptied(t)
}

// The same with a hole behind the first one: whoever parks must know that it has to look after it.
func TestAHoleComesFirstWhileTheNextParks(t *testing.T) {
	w := newOrderWorld(t, "", "", succeeded())
	real := w.dispatcher
	first := w.about(t, "a")
	w.dispatcher = dispatch.NewDispatcher(refusing{w.store, tracking.ErrOutcomeUnknown}, w.queue)
	_, _ = w.tryAbout(t.Context(), "a")
	w.dispatcher = real
	third := w.about(t, "a")
	store := &overtaken{Store: w.store}
	store.before = func() { w.run(t, first) }
	w.runner.Store = store
	w.run(t, third)
	w.drain(t)
	w.clock.Add(tracking.HoleAfter)
	w.look(t)
	w.drain(t)
	w.sentAre(t, first, third)
	w.emptied(t)
}
