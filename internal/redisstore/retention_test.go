package redisstore

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

// ttl gives a key's time to live; -1 when it has none, -2 when there is no such key.
func ttl(t *testing.T, rdb redis.UniversalClient, key string) time.Duration {
	t.Helper()
	d, err := rdb.PTTL(t.Context(), key).Result()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// about allows for the time that the test itself takes.
func about(got, want time.Duration) bool { return got <= want && got > want-patience }

const (
	forever = time.Duration(-1)
	gone    = time.Duration(-2)
)

// TestRetention follows the clocks of one record: none runs before the last delivery is
// final, and the key of idempotency lives as long as it was promised or its record runs.
func TestRetention(t *testing.T) {
	server := testenv.Redis(t)
	s, conn := open(t, Options{Network: "tcp", Addr: server.Addr()})
	s.KeepDeadLetters(5 * time.Hour)
	for name, c := range map[string]struct {
		idemTTL, age  time.Duration    // age is how long ago it was accepted when it ends
		ends          []tracking.State // of crm and mail
		rec, pay, key time.Duration    // after the end
	}{
		"all succeeded":      {time.Hour, 0, []tracking.State{tracking.Succeeded, tracking.Warned}, 10 * time.Minute, gone, time.Hour},
		"one failed":         {time.Hour, 0, []tracking.State{tracking.Succeeded, tracking.Failed}, 5 * time.Hour, 5 * time.Hour, time.Hour},
		"failed first":       {time.Hour, 0, []tracking.State{tracking.Rejected, tracking.Succeeded}, 10 * time.Minute, 10 * time.Minute, time.Hour},
		"counts from accept": {time.Hour, 40 * time.Minute, []tracking.State{tracking.Succeeded, tracking.Succeeded}, 10 * time.Minute, gone, 20 * time.Minute},
		"took a day":         {time.Hour, 24 * time.Hour, []tracking.State{tracking.Succeeded, tracking.Succeeded}, 10 * time.Minute, gone, gone},
		// The key's time is over before the record has ended: it goes with the end, not before.
		"key outlived": {time.Millisecond, 0, []tracking.State{tracking.Unknown, tracking.Canceled}, 10 * time.Minute, 10 * time.Minute, gone},
	} {
		t.Run(name, func(t *testing.T) {
			a := request(t, "hash", "crm", "mail")
			a.IdemTTL = c.idemTTL
			accept(t, s, a)
			id := a.Dispatch.ID
			shard, err := keysOf(id)
			if err != nil {
				t.Fatal(err)
			}
			rec, pay, key := recordKey(shard, id), payloadKey(shard, id), idemKey(shard, "hash")
			running := func(when string) {
				t.Helper()
				if r, p, k := ttl(t, conn.Base, rec), ttl(t, conn.Base, pay), ttl(t, conn.Base, key); r != forever || k != forever || (p != forever && p != gone) {
					t.Errorf("%s: record %v, payload %v, key %v; want no clock to run", when, r, p, k)
				}
			}
			running("accepted")
			finish(t, s, id, "crm", c.ends[0])
			running("one ended")
			if row, err := s.Idem(t.Context(), "hash"); row == nil || err != nil {
				t.Errorf("the key went before its record: %v", err)
			}
			accepted, err := conn.Base.HIncrBy(t.Context(), rec, "a", -c.age.Milliseconds()).Result()
			if d, loadErr := s.Load(t.Context(), id); err != nil || loadErr != nil || d.AcceptedAt.UnixMilli() != accepted {
				t.Fatalf("%+v: %v, %v; want it accepted at %d", d, err, loadErr, accepted)
			}
			finish(t, s, id, "mail", c.ends[1])
			if got := ttl(t, conn.Base, rec); !about(got, c.rec) {
				t.Errorf("record lives %v, want %v", got, c.rec)
			}
			if got := ttl(t, conn.Base, pay); got != c.pay && !about(got, c.pay) {
				t.Errorf("payload lives %v, want %v", got, c.pay)
			}
			if c.key == gone {
				testenv.Eventually(t, patience, func() bool { return ttl(t, conn.Base, key) == gone }, "the end of the key")
			} else if got := ttl(t, conn.Base, key); !about(got, c.key) {
				t.Errorf("key lives %v, want %v", got, c.key)
			}
			if err := conn.Base.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestRetentionOfSkippedOnly: such a record is final when it is accepted.
func TestRetentionOfSkippedOnly(t *testing.T) {
	server := testenv.Redis(t)
	s, conn := open(t, Options{Network: "tcp", Addr: server.Addr()})
	a := request(t, "hash", "crm")
	a.Dispatch.Deliveries["crm"] = tracking.Delivery{Phase: tracking.Ended, State: tracking.Skipped}
	a.Payloads = nil
	accept(t, s, a)
	if got, want := keyspace(t, conn.Base, a), []string{"idem:HASH", "rec:ID"}; !slices.Equal(got, want) {
		t.Errorf("keys %v, want %v", got, want)
	}
	shard, _ := keysOf(a.Dispatch.ID)
	if r, k := ttl(t, conn.Base, recordKey(shard, a.Dispatch.ID)), ttl(t, conn.Base, idemKey(shard, "hash")); !about(r, 10*time.Minute) || !about(k, time.Hour) {
		t.Errorf("record lives %v, key %v", r, k)
	}
}

// TestNothingLeaks scans the keyspace after a whole life with every kind of move.
func TestNothingLeaks(t *testing.T) {
	server := testenv.Redis(t)
	for name, c := range map[string]struct {
		end  tracking.State
		idem string
		want []string
	}{
		"succeeded":       {tracking.Succeeded, "hash", []string{"idem:HASH", "rec:ID"}},
		"warned, no key":  {tracking.Warned, "", []string{"rec:ID"}},
		"failed":          {tracking.Failed, "hash", []string{"dead", "figures", "idem:HASH", "pay:ID", "rec:ID"}},
		"canceled":        {tracking.Canceled, "", []string{"pay:ID", "rec:ID"}},
		"unknown":         {tracking.Unknown, "", []string{"pay:ID", "rec:ID"}},
		"rejected, twice": {tracking.Rejected, "hash", []string{"idem:HASH", "pay:ID", "rec:ID"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, conn := open(t, Options{Network: "tcp", Addr: server.Addr(), AutoPipeline: true})
			a := request(t, c.idem, "crm", "mail")
			accept(t, s, a)
			begun := []string{"open", "pay:ID", "queued:crm", "queued:mail", "rec:ID", "tenants"}
			if c.idem != "" {
				begun = append([]string{"idem:HASH"}, begun...)
			}
			if got := keyspace(t, conn.Base, a); !slices.Equal(got, begun) {
				t.Errorf("accepted: keys %v, want %v", got, begun)
			}
			for _, target := range []string{"crm", "mail"} {
				ref := tracking.Ref{Tracking: a.Dispatch.ID, Target: target}
				events := []tracking.Event{
					tracking.Advanced{Next: "finish", Saved: map[string]json.RawMessage{"job": json.RawMessage("1")}},
					tracking.NotYet{After: time.Hour}, tracking.NotYet{After: -time.Hour}, tracking.Concluded{State: c.end},
				}
				for i, e := range events {
					claimed, err := s.Claim(t.Context(), ref, i+1, "run", time.Minute)
					if err != nil {
						t.Fatal(err)
					}
					next := tracking.Apply(claimed.Delivery, e, claimed.Now)
					for range 2 {
						if err := s.Apply(t.Context(), ref, claimed.Delivery.Fence, next); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			if got := keyspace(t, conn.Base, a); !slices.Equal(got, c.want) {
				t.Errorf("ended: keys %v, want %v", got, c.want)
			}
			if err := conn.Base.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestRowsOfGoneRecords: a row whose record was deleted by hand is cleared, and one that
// cannot be read is reported without hiding the others.
func TestRowsOfGoneRecords(t *testing.T) {
	server := testenv.Redis(t)
	s, conn := open(t, Options{Network: "tcp", Addr: server.Addr()})
	var acceptances []*tracking.Acceptance
	for range 3 {
		a := request(t, "hash"+newID(t, ""), "crm", "mail")
		accept(t, s, a)
		if _, err := s.Claim(t.Context(), tracking.Ref{Tracking: a.Dispatch.ID, Target: "mail"}, 1, "run", 0); err != nil {
			t.Fatal(err)
		}
		acceptances = append(acceptances, a)
	}
	ids := []string{acceptances[0].Dispatch.ID, acceptances[1].Dispatch.ID, acceptances[2].Dispatch.ID}
	deleted, _ := keysOf(ids[0])
	broken, _ := keysOf(ids[1])
	if err := conn.Base.Del(t.Context(), recordKey(deleted, ids[0])).Err(); err != nil {
		t.Fatal(err)
	}
	if err := conn.Base.HSet(t.Context(), recordKey(broken, ids[1]), "t:crm", "nonsense", "t:mail", "1 r run {").Err(); err != nil {
		t.Fatal(err)
	}
	for _, list := range []func() ([]tracking.Row, error){
		func() ([]tracking.Row, error) { return s.Overdue(t.Context(), -time.Hour, 100) },
		func() ([]tracking.Row, error) { return s.QueuedSince(t.Context(), "crm", -time.Hour, 100) },
	} {
		rows, err := list()
		if err == nil || len(rows) != 1 || rows[0].Tracking != ids[2] {
			t.Errorf("rows %v, error %v; want the sound one and an error", rows, err)
		}
	}
	if n := conn.Base.Exists(t.Context(), queuedKey(deleted, "crm")).Val(); n != 0 && deleted != broken {
		shared, _ := keysOf(ids[2])
		if shared != deleted {
			t.Error("the row of a deleted record was not cleared")
		}
	}
}
