package redisstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

// kept is how long the tests keep dead letters; a record is kept for ten minutes.
const kept = 5 * time.Hour

// clocks reads the times to live of a record's keys.
func clocks(t *testing.T, conn *Conn, id string) (rec, pay, idem time.Duration) {
	t.Helper()
	shard, err := keysOf(id)
	if err != nil {
		t.Fatal(err)
	}
	return ttl(t, conn.Base, recordKey(shard, id)), ttl(t, conn.Base, payloadKey(shard, id)), ttl(t, conn.Base, idemKey(shard, "hash"))
}

// buried gives a dispatch to crm and mail that has ended: crm is a dead letter.
func buried(t *testing.T, s *Store) tracking.Ref {
	t.Helper()
	a := request(t, "hash", "crm", "mail")
	accept(t, s, a)
	finish(t, s, a.Dispatch.ID, "crm", tracking.Failed)
	finish(t, s, a.Dispatch.ID, "mail", tracking.Succeeded)
	return tracking.Ref{Tracking: a.Dispatch.ID, Target: "crm"}
}

func raise(t *testing.T, s *Store, ref tracking.Ref) tracking.Delivery {
	t.Helper()
	l, err := s.Letter(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	next := tracking.Revive(l.Delivery, tracking.Revival{}, l.Now)
	if err := s.Revive(t.Context(), ref, l.Delivery.Fence, next, nil); err != nil {
		t.Fatal(err)
	}
	return next
}

// TestDeadLetterClocks follows the clocks of a record through a replay and a drop.
func TestDeadLetterClocks(t *testing.T) {
	server := testenv.Redis(t)
	s, conn := open(t, Options{Network: "tcp", Addr: server.Addr()})
	s.KeepDeadLetters(kept)
	ref := buried(t, s)
	want := func(when string, recWant, payWant, idemWant time.Duration) {
		t.Helper()
		same := func(got, want time.Duration) bool { return got == want || want > 0 && about(got, want) }
		if rec, pay, idem := clocks(t, conn, ref.Tracking); !same(rec, recWant) || !same(pay, payWant) || !same(idem, idemWant) {
			t.Errorf("%s: record %v, payload %v, key %v; want %v, %v, %v", when, rec, pay, idem, recWant, payWant, idemWant)
		}
	}
	want("dead", kept, kept, time.Hour)
	next := raise(t, s, ref)
	want("replayed", forever, forever, forever)
	c, err := s.Claim(t.Context(), ref, next.Seq, "run", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), ref, c.Delivery.Fence, tracking.Apply(c.Delivery, failed(true), c.Now)); err != nil {
		t.Fatal(err)
	}
	want("dead again", kept, kept, time.Hour)
	if err := s.DropDeadLetter(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	want("dropped", 10*time.Minute, gone, time.Hour)
}

// TestDropKeepsTheOthers: a record lives as long as its last dead letter.
func TestDropKeepsTheOthers(t *testing.T) {
	server := testenv.Redis(t)
	s, conn := open(t, Options{Network: "tcp", Addr: server.Addr()})
	s.KeepDeadLetters(kept)
	a := request(t, "", "crm", "mail")
	accept(t, s, a)
	for _, target := range []string{"crm", "mail"} {
		finish(t, s, a.Dispatch.ID, target, tracking.Failed)
	}
	for i, target := range []string{"crm", "mail"} {
		if err := s.DropDeadLetter(t.Context(), tracking.Ref{Tracking: a.Dispatch.ID, Target: target}); err != nil {
			t.Fatal(err)
		}
		if rec, _, _ := clocks(t, conn, a.Dispatch.ID); !about(rec, []time.Duration{kept, 10 * time.Minute}[i]) {
			t.Errorf("without %s the record lives %v", target, rec)
		}
	}
}

// TestCancelKeepsDeadLetters: what is canceled last leaves the clock to the dead letter.
func TestCancelKeepsDeadLetters(t *testing.T) {
	server := testenv.Redis(t)
	s, conn := open(t, Options{Network: "tcp", Addr: server.Addr()})
	s.KeepDeadLetters(kept)
	a := request(t, "hash", "crm", "mail")
	accept(t, s, a)
	finish(t, s, a.Dispatch.ID, "crm", tracking.Failed)
	if _, err := s.Cancel(t.Context(), a.Dispatch.ID, a.Dispatch.Tenant); err != nil {
		t.Fatal(err)
	}
	if rec, pay, idem := clocks(t, conn, a.Dispatch.ID); !about(rec, kept) || !about(pay, kept) || !about(idem, time.Hour) {
		t.Errorf("record %v, payload %v, key %v", rec, pay, idem)
	}
	if got, want := keyspace(t, conn.Base, a), []string{"dead", "figures", "idem:HASH", "pay:ID", "rec:ID"}; !slices.Equal(got, want) {
		t.Errorf("keys %v, want %v", got, want)
	}
}

// TestDeadLettersExpire: they leave the list when their time is over, and the index with
// the next sweep.
func TestDeadLettersExpire(t *testing.T) {
	server := testenv.Redis(t)
	s, conn := open(t, Options{Network: "tcp", Addr: server.Addr()})
	s.KeepDeadLetters(kept)
	ref := buried(t, s)
	shard, _ := keysOf(ref.Tracking)
	age := float64(-(kept - time.Minute).Milliseconds())
	for i, want := range []int{1, 0} {
		if err := conn.Base.ZIncrBy(t.Context(), deadKey(shard), age, member(ref)).Err(); err != nil {
			t.Fatal(err)
		}
		age = float64(-time.Minute.Milliseconds())
		page, err := s.DeadLetters(t.Context(), tracking.DeadQuery{})
		if err != nil || len(page.Letters) != want {
			t.Errorf("%d: %d letters, %v; want %d", i, len(page.Letters), err, want)
		}
		if n, err := s.ExpireDeadLetters(t.Context(), 10); err != nil || n != 1-want {
			t.Errorf("%d: %d expired, %v", i, n, err)
		}
	}
	l, err := s.Letter(t.Context(), ref)
	if err != nil || l.Dead || l.Payload != nil || conn.Base.Exists(t.Context(), deadKey(shard)).Val() != 0 {
		t.Errorf("left: %+v, %v", l, err)
	}
}

// TestKeyOfAnother: a key of idempotency that ran out and was taken by another request is
// left alone by the replay of the first.
func TestKeyOfAnother(t *testing.T) {
	server := testenv.Redis(t)
	s, conn := open(t, Options{Network: "tcp", Addr: server.Addr()})
	ref := buried(t, s)
	shard, _ := keysOf(ref.Tracking)
	if err := conn.Base.Del(t.Context(), idemKey(shard, "hash")).Err(); err != nil {
		t.Fatal(err)
	}
	second := request(t, "hash", "crm")
	accept(t, s, second)
	finish(t, s, second.Dispatch.ID, "crm", tracking.Succeeded)
	raised := raise(t, s, ref)
	if _, _, idem := clocks(t, conn, ref.Tracking); !about(idem, time.Hour) {
		t.Errorf("the replay set the other's key to %v", idem)
	}
	if _, err := conn.Base.HIncrBy(t.Context(), recordKey(shard, ref.Tracking), "a", -(100 * time.Hour).Milliseconds()).Result(); err != nil {
		t.Fatal(err)
	}
	c, err := s.Claim(t.Context(), ref, raised.Seq, "run", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), ref, c.Delivery.Fence, tracking.Apply(c.Delivery, tracking.Concluded{State: tracking.Succeeded}, c.Now)); err != nil {
		t.Fatal(err)
	}
	if row, err := s.Idem(t.Context(), "hash"); err != nil || row == nil || row.ID != second.Dispatch.ID {
		t.Errorf("the end of the first took the other's key: %+v, %v", row, err)
	}
}

// TestManyOfOneMoment: more dead letters of one millisecond and one shard than are read at
// a time are all listed.
func TestManyOfOneMoment(t *testing.T) {
	server := testenv.Redis(t)
	s, conn := open(t, Options{Network: "tcp", Addr: server.Addr(), AutoPipeline: true})
	want := map[string]bool{}
	shard := 7
	var hash string
	for i := 0; ; i++ {
		if hash = fmt.Sprint("h", i); tracking.IdemShard(hash) == shard {
			break
		}
	}
	var at float64
	for range 3*deadChunk + 5 {
		a := request(t, "", "crm")
		a.Dispatch.ID = newID(t, hash)
		accept(t, s, a)
		finish(t, s, a.Dispatch.ID, "crm", tracking.Failed)
		want[a.Dispatch.ID] = true
		ref := tracking.Ref{Tracking: a.Dispatch.ID, Target: "crm"}
		if at == 0 {
			at = conn.Base.ZScore(t.Context(), deadKey(shardPrefix[shard]), member(ref)).Val()
		}
		if err := conn.Base.ZAddXX(t.Context(), deadKey(shardPrefix[shard]), z(at, member(ref))).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, size := range []int{7, 1000} {
		q, seen := tracking.DeadQuery{Limit: size}, map[string]bool{}
		for {
			page, err := s.DeadLetters(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range page.Letters {
				if seen[l.Tracking] {
					t.Fatalf("%s comes twice", l.Tracking)
				}
				seen[l.Tracking] = true
			}
			if q.Cursor = page.Next; q.Cursor == "" {
				break
			}
		}
		if len(seen) != len(want) {
			t.Errorf("pages of %d: %d letters, want %d", size, len(seen), len(want))
		}
	}
}

// TestDeadLettersWhileRedisIsFullOrAway: ending and canceling go on when Redis is full, a
// replay waits for room, and everything says when Redis is away.
func TestDeadLettersWhileRedisIsFullOrAway(t *testing.T) {
	server := testenv.Redis(t)
	s, conn := open(t, Options{Network: "tcp", Addr: server.Addr()})
	if err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := request(t, "", "dying", "queued", "dead")
	accept(t, s, a)
	finish(t, s, a.Dispatch.ID, "dead", tracking.Failed)
	dead, dying := tracking.Ref{Tracking: a.Dispatch.ID, Target: "dead"}, tracking.Ref{Tracking: a.Dispatch.ID, Target: "dying"}
	c, err := s.Claim(t.Context(), dying, 1, "run", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Base.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	l, err := s.Letter(t.Context(), dead)
	if err != nil {
		t.Fatal(err)
	}
	next := tracking.Revive(l.Delivery, tracking.Revival{}, l.Now)
	if err := s.Revive(t.Context(), dead, l.Delivery.Fence, next, nil); !errors.Is(err, tracking.ErrUnavailable) {
		t.Errorf("Revive: %v", err)
	}
	if err := s.Apply(t.Context(), dying, c.Delivery.Fence, tracking.Apply(c.Delivery, failed(true), c.Now)); err != nil {
		t.Errorf("the end of a delivery: %v", err)
	}
	if d, err := s.Cancel(t.Context(), a.Dispatch.ID, a.Dispatch.Tenant); err != nil || d.Deliveries["queued"].State != tracking.Canceled {
		t.Errorf("Cancel: %v", err)
	}
	if page, err := s.DeadLetters(t.Context(), tracking.DeadQuery{}); err != nil || len(page.Letters) != 2 {
		t.Errorf("%d letters, %v", len(page.Letters), err)
	}
	if err := s.DropDeadLetter(t.Context(), dying); err != nil {
		t.Errorf("DropDeadLetter: %v", err)
	}
	server.Kill()
	ctx := t.Context()
	for call, do := range map[string]func() error{
		"Cancel":            func() error { _, err := s.Cancel(ctx, dead.Tracking, "mobile/acme"); return err },
		"DeadLetters":       func() error { _, err := s.DeadLetters(ctx, tracking.DeadQuery{}); return err },
		"Letter":            func() error { _, err := s.Letter(ctx, dead); return err },
		"Revive":            func() error { return s.Revive(ctx, dead, l.Delivery.Fence, next, json.RawMessage("1")) },
		"DropDeadLetter":    func() error { return s.DropDeadLetter(ctx, dead) },
		"ExpireDeadLetters": func() error { _, err := s.ExpireDeadLetters(ctx, 1); return err },
	} {
		if err := do(); !errors.Is(err, tracking.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable", call, err)
		}
	}
}

func z(score float64, name string) redis.Z { return redis.Z{Score: score, Member: name} }
