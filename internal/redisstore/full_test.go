package redisstore

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

// TestFullRedis: a Redis that has reached its maxmemory takes nothing new, but what is
// queued can be begun, kept, ended and so freed, and its workers stay alive.
func TestFullRedis(t *testing.T) {
	for name, auto := range map[string]bool{"plain": false, "auto-pipeline": true} {
		t.Run(name, func(t *testing.T) {
			server := testenv.Redis(t)
			s, conn := open(t, Options{Network: "tcp", Addr: server.Addr(), AutoPipeline: auto})
			if err := s.Prepare(t.Context()); err != nil {
				t.Fatal(err)
			}
			ctx := t.Context()
			a := request(t, "hash", "begun", "failing", "waiting", "new", "lost")
			accept(t, s, a)
			ref := func(target string) tracking.Ref { return tracking.Ref{Tracking: a.Dispatch.ID, Target: target} }
			claimed := map[string]*tracking.Claimed{}
			for _, target := range []string{"begun", "failing", "waiting", "lost"} {
				c, err := s.Claim(ctx, ref(target), 1, "run", time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				claimed[target] = c
			}
			before := keyspace(t, conn.Base, a)
			if err := conn.Base.ConfigSet(ctx, "maxmemory", "1").Err(); err != nil {
				t.Fatal(err)
			}

			refusedOne := request(t, "other", "begun")
			if _, err := s.Accept(ctx, refusedOne); !errors.Is(err, tracking.ErrUnavailable) || !strings.Contains(err.Error(), "OOM") {
				t.Errorf("Accept: %v, want ErrUnavailable", err)
			}
			accept(t, s, a) // known already: the answer needs no memory
			if taken, err := s.Accept(ctx, request(t, "hash", "begun")); err != nil || taken == nil || taken.ID != a.Dispatch.ID {
				t.Errorf("Accept of a known key: %+v, %v; want its row", taken, err)
			}
			if after := keyspace(t, conn.Base, a); !slices.Equal(before, after) {
				t.Errorf("a refused accept left %v, there was %v", after, before)
			}
			if err := s.Beat(ctx, "worker"); err != nil {
				t.Errorf("a worker cannot show life: %v", err)
			}
			fresh, err := s.Claim(ctx, ref("new"), 1, "run", time.Minute)
			if err != nil {
				t.Fatalf("a new claim: %v", err)
			}
			claimed["new"] = fresh
			if _, err := s.Claim(ctx, ref("begun"), 1, "run", time.Hour); err != nil {
				t.Errorf("a claim that is held cannot be kept: %v", err)
			}
			for target, e := range map[string]tracking.Event{
				"begun":   tracking.Concluded{State: tracking.Succeeded, Result: map[string]json.RawMessage{"id": json.RawMessage(`"c-1"`)}},
				"failing": failed(false),
				"waiting": tracking.NotYet{After: time.Minute},
				"new":     tracking.Concluded{State: tracking.Succeeded},
			} {
				c := claimed[target]
				next := tracking.Apply(c.Delivery, e, c.Now)
				if err := s.Apply(ctx, ref(target), c.Delivery.Fence, next); err != nil {
					t.Errorf("apply %T: %v", e, err)
				}
			}
			lost := claimed["lost"].Delivery
			if err := s.Apply(ctx, ref("lost"), lost.Fence, tracking.TakeOver(lost)); err != nil {
				t.Errorf("take over: %v", err)
			}
			d, err := s.Load(ctx, a.Dispatch.ID)
			if err != nil {
				t.Fatal(err)
			}
			for target, want := range map[string]tracking.State{
				"begun": tracking.Succeeded, "failing": tracking.Retrying, "waiting": tracking.Waiting, "new": tracking.Succeeded, "lost": tracking.Pending,
			} {
				if got := d.Deliveries[target].State; got != want {
					t.Errorf("%s is %s, want %s", target, got, want)
				}
			}
			// With room again everything goes on.
			if err := conn.Base.ConfigSet(ctx, "maxmemory", "0").Err(); err != nil {
				t.Fatal(err)
			}
			accept(t, s, refusedOne)
		})
	}
}
