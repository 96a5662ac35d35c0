package redisstore

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
)

// patience is how long something may take on a busy machine before it counts as not
// happening.
const patience = 20 * time.Second

func newID(t testing.TB, idem string) string {
	t.Helper()
	id, err := tracking.NewID(idem)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// request builds an acceptance for the targets, all pending.
func request(t testing.TB, idem string, targets ...string) *tracking.Acceptance {
	t.Helper()
	id := newID(t, idem)
	a := &tracking.Acceptance{
		Dispatch: &tracking.Dispatch{
			ID: id, Route: "profile-changed", Tenant: "mobile/acme", Rule: tracking.DoneAll, IdemHash: idem,
			Deliveries: map[string]tracking.Delivery{},
		},
		Payloads: map[string]json.RawMessage{}, IdemTTL: time.Hour, Retention: 10 * time.Minute,
	}
	for _, name := range targets {
		a.Dispatch.Targets = append(a.Dispatch.Targets, tracking.TargetRef{Name: name})
		a.Dispatch.Deliveries[name] = tracking.Delivery{
			Fence: tracking.Fence{Seq: 1}, Phase: tracking.Queued, State: tracking.Pending,
			Plan: "5f2b6a7c0d9e4f1a8b3c2d1e0f9a8b7c",
		}
		a.Payloads[name] = json.RawMessage(`{"email":"someone@example.com","name":"Some One"}`)
	}
	if idem != "" {
		a.Idem = &tracking.IdemRow{Fingerprint: "fp", ID: id}
	}
	return a
}

func accept(t testing.TB, s *Store, a *tracking.Acceptance) {
	t.Helper()
	if taken, err := s.Accept(t.Context(), a); taken != nil || err != nil {
		t.Fatalf("Accept = %+v, %v", taken, err)
	}
}

// finish claims a delivery and concludes it.
func finish(t testing.TB, s *Store, id, target string, state tracking.State) {
	t.Helper()
	ref := tracking.Ref{Tracking: id, Target: target}
	c, err := s.Claim(t.Context(), ref, 1, "run", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	next := tracking.Apply(c.Delivery, tracking.Concluded{State: state}, c.Now)
	if err := s.Apply(t.Context(), ref, c.Delivery.Fence, next); err != nil {
		t.Fatal(err)
	}
}

// keyspace lists all keys, sorted, with the ID and the key's hash left out.
func keyspace(t testing.TB, rdb redis.UniversalClient, a *tracking.Acceptance) []string {
	t.Helper()
	keys, err := rdb.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range keys {
		_, k, _ = strings.Cut(k, "}:")
		k = strings.ReplaceAll(k, a.Dispatch.ID, "ID")
		if a.Dispatch.IdemHash != "" {
			k = strings.ReplaceAll(k, a.Dispatch.IdemHash, "HASH")
		}
		keys[i] = k
	}
	slices.Sort(keys)
	return keys
}
