package queue

import (
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

// testLengths compares what is read of asynq's keys with what asynq itself says.
func testLengths(t *testing.T, rdb redis.UniversalClient) {
	c := NewClient(rdb, rdb, slog.New(slog.DiscardHandler))
	task := func(n string, lane tracking.Lane, seq int, after time.Duration) dispatch.Task {
		return dispatch.Task{Ref: tracking.Ref{Tracking: "trk_" + n, Target: "crm"}, Lane: lane, Seq: seq, After: after}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.Enqueue(t.Context(), task("1", tracking.LaneNew, 1, 0), task("2", tracking.LaneNew, 1, 0), task("3", tracking.LaneNew, 1, 0),
		task("4", tracking.LaneBulk, 1, 0), task("5", tracking.LaneResume, 2, time.Hour)))
	must(c.inspector.ArchiveTask("crm", "trk_1:crm:1"))
	must(c.inspector.PauseQueue("crm.bulk"))
	// An entry without a task has no age, and hides that of no other.
	must(rdb.RPush(t.Context(), "asynq:{crm}:pending", "gone").Err())
	var got []Length
	testenv.Eventually(t, 5*time.Second, func() bool {
		all, err := c.Lengths(t.Context(), []string{"crm", "idle"})
		must(err)
		for _, l := range all["idle"] {
			if l != (Length{Queue: l.Queue}) {
				t.Errorf("idle: %+v", l)
			}
		}
		got = all["crm"]
		return got[0].Oldest > 50*time.Millisecond
	}, "what is pending does not get older")
	for _, l := range got {
		info, err := c.inspector.GetQueueInfo(l.Queue)
		if l.Queue != "crm" { // there asynq stumbles over the entry without a task
			must(err)
			want := Length{info.Queue, info.Pending, info.Active, info.Scheduled, info.Retry, info.Archived, l.Oldest, info.Paused}
			if l != want {
				t.Errorf("%+v, asynq says %+v", l, want)
			}
		}
	}
	if l := got[0]; l.Pending != 3 || l.Archived != 1 || l.Queue != "crm" || l.Oldest > time.Minute {
		t.Errorf("new deliveries: %+v", l)
	}
	if l := got[1]; l.Scheduled != 1 || l.Oldest != 0 || l.Paused {
		t.Errorf("begun: %+v", l)
	}
	if l := got[2]; l.Pending != 1 || l.Oldest == 0 || !l.Paused {
		t.Errorf("bulk: %+v", l)
	}
	// What asynq takes out is active.
	must(rdb.LMove(t.Context(), "asynq:{crm}:pending", "asynq:{crm}:active", "RIGHT", "LEFT").Err())
	if all, err := c.Lengths(t.Context(), []string{"crm"}); err != nil || all["crm"][0].Active != 1 || all["crm"][0].Pending != 2 {
		t.Errorf("taken out: %+v, %v", all["crm"], err)
	}
}
