package redisstore

import (
	"testing"
	"time"

	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

// TestRecordsWithoutTenant: a record that names no tenant goes its way, is replayed, and
// never changes a tenant's count: none gets below zero by it, and none is raised.
func TestRecordsWithoutTenant(t *testing.T) {
	server := testenv.Redis(t)
	s, conn := open(t, Options{Network: "tcp", Addr: server.Addr()})
	old, counted := request(t, "", "crm", "mail"), request(t, "", "crm")
	shard, err := keysOf(old.Dispatch.ID)
	if err != nil {
		t.Fatal(err)
	}
	accept(t, s, old)
	conn.Base.HDel(t.Context(), recordKey(shard, old.Dispatch.ID), "n")
	conn.Base.Del(t.Context(), tenantsKey(shard))
	accept(t, s, counted)
	who := tracking.TenantRef{Target: "crm", Tenant: counted.Dispatch.Tenant}
	check := func(when string, want int) {
		t.Helper()
		if b, err := s.Backlog(t.Context(), []tracking.TenantRef{who}); err != nil || b.Tenants[who] != want {
			t.Errorf("%s: %d counted (%v), want %d", when, b.Tenants[who], err, want)
		}
	}

	ref := tracking.Ref{Tracking: old.Dispatch.ID, Target: "crm"}
	finish(t, s, ref.Tracking, "crm", tracking.Failed)
	check("ended", 1)
	d, err := s.Load(t.Context(), ref.Tracking)
	if err != nil {
		t.Fatal(err)
	}
	end := d.Deliveries["crm"]
	if err := s.Revive(t.Context(), ref, end.Fence, tracking.Revive(end, tracking.Revival{}, time.Now()), nil); err != nil {
		t.Fatal(err)
	}
	check("replayed", 1)
	if _, err := s.Cancel(t.Context(), ref.Tracking, ""); err != nil {
		t.Fatal(err)
	}
	check("canceled", 1)
	finish(t, s, counted.Dispatch.ID, "crm", tracking.Succeeded)
	check("nothing is left", 0)
	for _, glob := range []string{"hg:*:tenants", "hg:*:queued:*", "hg:*:due"} {
		if left := conn.Base.Keys(t.Context(), glob).Val(); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	}
}
