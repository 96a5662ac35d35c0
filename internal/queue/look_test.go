package queue

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

// What asynq itself writes, pauses and archives is what is told.
func testLook(t *testing.T, rdb redis.UniversalClient) {
	c := NewClient(rdb, rdb, slog.New(slog.DiscardHandler))
	if got, err := c.Look(t.Context()); err != nil || len(got) != 0 {
		t.Fatalf("%+v, %v; want none", got, err)
	}
	for i, lane := range []tracking.Lane{tracking.LaneNew, tracking.LaneNew, tracking.LaneBulk, tracking.LaneResume} {
		one := task(2)
		one.Tracking, one.Lane = fmt.Sprintf("trk_0%d12345678", i), lane
		enqueue(t, c, one)
	}
	later := task(3)
	later.After = time.Hour
	enqueue(t, c, later)
	first := dispatch.Task{Ref: tracking.Ref{Tracking: "trk_0012345678", Target: "crm"}, Lane: tracking.LaneNew, Seq: 2}
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	if err := inspector.ArchiveTask("crm", taskID(first)); err != nil {
		t.Fatal(err)
	}
	if err := inspector.PauseQueue("crm.bulk"); err != nil {
		t.Fatal(err)
	}
	got, err := c.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if got[i].Pending > 0 && (got[i].Oldest <= 0 || got[i].Oldest > time.Minute) {
			t.Errorf("%s has waited for %s", got[i].Queue, got[i].Oldest)
		}
		got[i].Oldest = 0
		if got[i].Target() != "crm" {
			t.Errorf("%s belongs to %s", got[i].Queue, got[i].Target())
		}
	}
	want := []Length{
		{Queue: "crm", Pending: 1, Archived: 1},
		{Queue: "crm.bulk", Pending: 1, Paused: true},
		{Queue: "crm.resume", Pending: 1, Scheduled: 1},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
}

// A worker is listed once, whatever it serves, with the clock that it keeps its signs of life by.
func testHosts(t *testing.T, rdb redis.UniversalClient) {
	c := NewClient(rdb, rdb, slog.New(slog.DiscardHandler))
	w := serve(t, rdb, func(context.Context, dispatch.Task) error { return nil })
	if err := w.Serve("mail", 1); err != nil {
		t.Fatal(err)
	}
	var hosts []Host
	testenv.Eventually(t, 10*time.Second, func() bool {
		n := rdb.ZCard(t.Context(), "asynq:servers").Val()
		var err error
		hosts, err = c.Hosts(t.Context())
		return err == nil && n == 2 && len(hosts) == 1
	}, "the worker's two servers are not shown as one process")
	if hosts[0].Skew.Abs() > 1500*time.Millisecond {
		t.Errorf("%s is %s ahead, on the same host", hosts[0].Name, hosts[0].Skew)
	}
	// One whose clock is an hour ahead writes down an end that is an hour later.
	key := "asynq:servers:{elsewhere:7:id}"
	rdb.Set(t.Context(), key, "x", 10*time.Second)
	rdb.ZAdd(t.Context(), "asynq:servers", redis.Z{Score: float64(time.Now().Add(time.Hour + 10*time.Second).Unix()), Member: key})
	rdb.ZAdd(t.Context(), "asynq:servers", redis.Z{Score: float64(time.Now().Unix()), Member: "asynq:servers:{gone:7:id}"})
	hosts, err := c.Hosts(t.Context())
	if err != nil || len(hosts) != 2 {
		t.Fatalf("%+v, %v; want two", hosts, err)
	}
	for _, h := range hosts {
		if strings.HasPrefix(h.Name, "elsewhere:7") != (h.Skew > 59*time.Minute) {
			t.Errorf("%s is %s ahead", h.Name, h.Skew)
		}
	}
}
