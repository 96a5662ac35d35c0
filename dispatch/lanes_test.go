package dispatch_test

import (
	"fmt"
	"testing"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// crowded accepts requests of one tenant in one shard until one goes to bulk, and gives
// its task.
func crowded(t *testing.T, w *world) dispatch.Task {
	t.Helper()
	w.live["crm"].Limits.FairShare = 2 * tracking.Shards
	var lanes []tracking.Lane
	for i := 0; len(lanes) < 3; i++ {
		hash := fmt.Sprint("key-", i)
		if tracking.IdemShard(hash) != 7 {
			continue
		}
		w.accept(t, dispatch.Intake{Tenant: "busy", Idem: &dispatch.Idem{Hash: hash, TTL: time.Hour}})
		task := w.only(t)
		if lanes = append(lanes, task.Lane); len(lanes) == 3 {
			if lanes[0] != tracking.LaneNew || lanes[1] != tracking.LaneNew || lanes[2] != tracking.LaneBulk {
				t.Fatalf("lanes %q", lanes)
			}
			return task
		}
	}
	return dispatch.Task{}
}

func TestBeyondTheShareIsBulk(t *testing.T) {
	retry := tracking.AttemptFailed{Fault: &fault.Fault{Reason: fault.Timeout}, After: 30 * time.Second}
	w := newWorld(t, retry, succeeded())
	task := crowded(t, w)
	w.run(t, task)
	if next := w.only(t); !next.Begun() || next.Lane != tracking.LaneResume {
		t.Errorf("once begun its task is %+v", next)
	}
	w.accept(t, dispatch.Intake{Tenant: "other"})
	if task := w.only(t); task.Lane != tracking.LaneNew {
		t.Errorf("another tenant's task is %+v", task)
	}
}

// What the reconciler brings back goes where it was, whether its task was lost or its ID
// has to be given up.
func TestReconcileKeepsTheLane(t *testing.T) {
	for _, presence := range []dispatch.Presence{dispatch.Enqueued, dispatch.Lost} {
		w := newWorld(t, succeeded())
		task := crowded(t, w)
		w.queue.presence = presence
		w.clock.Add(time.Minute)
		w.look(t)
		found := false
		for _, got := range w.queue.take() {
			if got.Ref == task.Ref {
				found = got.Lane == tracking.LaneBulk && !got.Begun()
			} else if got.Lane != tracking.LaneNew {
				t.Errorf("%v: brought back as %+v", presence, got)
			}
		}
		if !found {
			t.Errorf("%v: the task of bulk is not brought back as one", presence)
		}
	}
}

func TestReplayOfManyIsBulk(t *testing.T) {
	w := newWorld(t, tracking.AttemptFailed{Fault: &fault.Fault{Reason: fault.Timeout}, Final: true})
	o := w.operator()
	task := w.one(t)
	w.run(t, task)
	if _, err := o.Replay(t.Context(), task.Ref, dispatch.ReplayOrder{}); err != nil {
		t.Fatal(err)
	}
	single := w.only(t)
	if single.Lane != tracking.LaneNew || single.Begun() {
		t.Errorf("a single replay is queued as %+v", single)
	}
	w.run(t, single)
	order := dispatch.BulkOrder{Verb: dispatch.VerbReplay}
	if _, err := o.Bulk(t.Context(), order, func(dispatch.Progress) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if of := w.only(t); of.Lane != tracking.LaneBulk {
		t.Errorf("one of many is queued as %+v", of)
	}
}
