package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"headgate/dispatch/tracking"
	"headgate/dispatch/tracking/memory"
)

// flaky is a store that can be made to refuse signs of life.
type flaky struct {
	tracking.Store
	down atomic.Bool
}

func (f *flaky) Beat(ctx context.Context, owner string) error {
	if f.down.Load() {
		return tracking.ErrUnavailable
	}
	return f.Store.Beat(ctx, owner)
}

// An owner that cannot show life ends its calls before anybody may take it for dead,
// and goes on when it can again.
func TestOwnerEndsItsCallsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &flaky{Store: memory.New(nil)}
		o := NewOwner(store, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { o.Run(ctx); close(ended) }()
		call, release, err := o.bind(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		time.Sleep(time.Minute) // of the bubble's clock: no time passes outside
		if call.Err() != nil {
			t.Fatal("a call ended although its owner shows life")
		}
		store.down.Store(true)
		began := time.Now()
		<-call.Done()
		if took := time.Since(began); took >= ownerTimeout || !errors.Is(context.Cause(call), errTermOver) {
			t.Fatalf("the call ended after %v: %v", took, context.Cause(call))
		}
		// No call may begin now: it would be cut short at once, and sent all the same.
		if _, _, err := o.bind(t.Context()); !errors.Is(err, errTermOver) {
			t.Fatalf("a call began without a term: %v", err)
		}
		store.down.Store(false)
		if err := o.await(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, release, err := o.bind(t.Context()); err != nil {
			t.Fatalf("no new term began: %v", err)
		} else {
			release()
		}
		cancel()
		<-ended
		if owners, err := store.Owners(t.Context()); err != nil || len(owners) != 0 {
			t.Fatalf("an owner that left is on the list: %v %v", owners, err)
		}
	})
}

func TestCensus(t *testing.T) {
	var c census
	start := time.Now()
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	const gap = 3 * time.Second
	beating := int64(0)
	for s := 0.0; s <= 20; s++ {
		beating++
		dead := c.dead(map[string]int64{"lives": beating, "killed": 7}, at(s), gap)
		if killed := s > ownerTimeout.Seconds(); killed != (len(dead) == 1) || (killed && dead[0] != "killed") {
			t.Fatalf("after %v s: dead are %v", s, dead)
		}
		if !c.alive("lives") || c.alive("nobody") || c.alive("killed") != (s <= ownerTimeout.Seconds()) {
			t.Fatalf("after %v s: who lives is wrong", s)
		}
	}
	// After a stall everybody looks dead; nobody may be taken for it.
	if dead := c.dead(map[string]int64{"lives": beating, "killed": 7}, at(60), gap); len(dead) != 0 {
		t.Fatalf("right after a stall: %v", dead)
	}
	c.reset()
	if dead := c.dead(map[string]int64{"killed": 7}, at(61), gap); len(dead) != 0 || !c.alive("killed") {
		t.Fatalf("right after the store was away: %v", dead)
	}
}

// A look that has much to repair takes long. While the store answers that is no stall,
// and the dead are found all the same.
func TestCensusThroughLongLooks(t *testing.T) {
	var c census
	start := time.Now()
	for s := 0; s <= 30; s += 10 {
		now := start.Add(time.Duration(s) * time.Second)
		dead := c.dead(map[string]int64{"killed": 7, "lives": int64(s)}, now, 3*time.Second)
		if found := len(dead) == 1 && dead[0] == "killed"; found != (s > 0) {
			t.Fatalf("after %d s: dead are %v", s, dead)
		}
		if !c.alive("lives") {
			t.Fatalf("after %d s: a living owner passes for dead", s)
		}
		c.answered = now.Add(9 * time.Second) // the end of that look
		if !c.alive("lives") {
			t.Fatalf("at the end of a long look from %d s: a living owner passes for dead", s)
		}
	}
}

// However seldom somebody looks, a process that died counts no longer once it has shown no life
// between two looks that are far enough apart.
func TestAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a Alive
		beats := map[string]int64{"lives": 1, "killed": 7}
		expect := func(when string, want int) {
			t.Helper()
			if n := a.Count(beats); n != want {
				t.Errorf("%s: %d, want %d", when, n, want)
			}
		}
		expect("nobody was looked at before", 2)
		time.Sleep(ownerTimeout / 2)
		beats["lives"]++
		expect("a moment later", 2)
		time.Sleep(ownerTimeout)
		beats["lives"]++
		expect("one has died", 1)
		beats["new"] = 1
		expect("one is new", 2)
		time.Sleep(time.Hour)
		beats["lives"]++
		expect("nobody looked for long", 1)
		a.Stalled()
		expect("the store was away", 3)
	})
}
