package redisstore

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

// TestLinesShareTheSlotsOfRecords: a line lies in one of the shards, and all shards get some.
func TestLinesShareTheSlotsOfRecords(t *testing.T) {
	used := map[int]bool{}
	for i := range 2000 {
		line := tracking.LineOf("crm", "mobile/acme", fmt.Sprint(i))
		key, ok := lineKey(line)
		shard, known := tracking.LineShard(line)
		if !ok || !known || slot(key) != slot(shardPrefix[shard]) {
			t.Fatalf("the line %s has the key %s, %v", line, key, ok)
		}
		used[shard] = true
	}
	if len(used) != tracking.Shards {
		t.Errorf("lines lie in %d shards", len(used))
	}
	if key, ok := lineKey("../" + tracking.LineOf("crm", "t", "k")[3:]); ok {
		t.Errorf("what is no line has the key %s", key)
	}
}

// TestManyLinesAreSmall: a hundred thousand keys with something under way take some tens of megabytes, and
// none of them is there once all have left.
func TestManyLinesAreSmall(t *testing.T) {
	server := testenv.Redis(t)
	s, conn := open(t, Options{Network: "tcp", Addr: server.Addr(), AutoPipeline: true})
	lines := make([]string, 100_000)
	ids := make([]string, len(lines))
	for i := range lines {
		lines[i], ids[i] = tracking.LineOf("crm", "mobile/acme", fmt.Sprint(i)), newID(t, "")
	}
	all := func(what func(line, id string) error) {
		var wave sync.WaitGroup
		for part := range 64 {
			wave.Go(func() {
				for i := part; i < len(lines); i += 64 {
					if err := what(lines[i], ids[i]); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wave.Wait()
	}
	before := memoryUsed(t, conn.Base)
	all(func(line, id string) error { _, err := s.Enter(t.Context(), line, id); return err })
	if each := (memoryUsed(t, conn.Base) - before) / int64(len(lines)); each > 400 {
		t.Errorf("a line takes %d bytes", each)
	}
	key, _ := lineKey(lines[0])
	if left := conn.Base.PTTL(t.Context(), key).Val(); left < lineTTL-time.Minute || left > lineTTL {
		t.Errorf("what is forgotten goes after %v", left)
	}
	all(func(line, id string) error { _, err := s.Leave(t.Context(), line, id); return err })
	if n := conn.Base.DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d keys are left", n)
	}
}

// TestFullRedisKeepsOrder: what was accepted finds its place, waits, is woken and leaves also when no memory
// is left for anything new.
func TestFullRedisKeepsOrder(t *testing.T) {
	server := testenv.Redis(t)
	s, conn := open(t, Options{Network: "tcp", Addr: server.Addr()})
	if err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := request(t, "", "crm")
	d := a.Dispatch.Deliveries["crm"]
	d.Line = tracking.LineOf("crm", "mobile/acme", "k")
	a.Dispatch.Deliveries["crm"] = d
	accept(t, s, a)
	ctx, ref := t.Context(), tracking.Ref{Tracking: a.Dispatch.ID, Target: "crm"}
	if err := conn.Base.ConfigSet(ctx, "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if p, err := s.Enter(ctx, d.Line, ref.Tracking); err != nil || p.Before != 0 {
		t.Fatalf("enter: %+v, %v", p, err)
	}
	c, err := s.Claim(ctx, ref, 1, "run", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	parked := tracking.Park(c.Delivery, c.Now.Add(time.Hour))
	if err := s.Apply(ctx, ref, c.Delivery.Fence, parked); err != nil {
		t.Fatalf("park: %v", err)
	}
	woken := tracking.TakeOver(parked)
	if err := s.Apply(ctx, ref, parked.Fence, woken); err != nil {
		t.Fatalf("wake: %v", err)
	}
	if c, err = s.Claim(ctx, ref, woken.Seq, "again", time.Minute); err != nil {
		t.Fatal(err)
	}
	end := tracking.Apply(c.Delivery, tracking.Concluded{State: tracking.Succeeded}, c.Now)
	if err := s.Apply(ctx, ref, c.Delivery.Fence, end); err != nil {
		t.Fatalf("end: %v", err)
	}
	if p, err := s.Leave(ctx, d.Line, ref.Tracking); err != nil || len(p.Front) != 0 {
		t.Fatalf("leave: %+v, %v", p, err)
	}
	if err := s.HasLeft(ctx, ref); err != nil {
		t.Fatal(err)
	}
}
