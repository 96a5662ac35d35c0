package queue

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch"
	"headgate/internal/testenv"
)

// Of the queues that nobody has in its files those are removed that are empty and that no
// server serves, and that look like those of a target.
func testRemoveDeserted(t *testing.T, rdb redis.UniversalClient) {
	served := serve(t, rdb, func(context.Context, dispatch.Task) error { return nil }) // by another process, as crm
	w := NewWorker(Options{Redis: rdb, Log: slog.New(slog.DiscardHandler), Handler: func(context.Context, dispatch.Task) error { return nil }})
	t.Cleanup(w.Stop)
	for _, target := range []string{"left", "files", "full"} {
		for lane := range lanes(target) {
			rdb.SAdd(t.Context(), allQueues, lane)
		}
	}
	rdb.SAdd(t.Context(), allQueues, "foreign", "other", "other.bulk")
	client := NewClient(rdb, rdb, slog.New(slog.DiscardHandler))
	full := task(1)
	full.Target = "full"
	enqueue(t, client, full)
	alive := func() bool {
		for lane := range lanes("crm") {
			if !rdb.SIsMember(t.Context(), allQueues, lane).Val() {
				return false
			}
		}
		return rdb.ZCard(t.Context(), "asynq:servers").Val() == 1
	}
	testenv.Eventually(t, 5*time.Second, alive, "the server shows no sign of life")

	removed, err := w.RemoveDeserted(t.Context(), func(target string) bool { return target == "files" })
	if err != nil || !slices.Equal(removed, []string{"left"}) {
		t.Errorf("removed are %q, %v", removed, err)
	}
	left, err := rdb.SMembers(t.Context(), allQueues).Result()
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Concat(slices.Collect(maps.Keys(lanes("crm"))), slices.Collect(maps.Keys(lanes("files"))), []string{"foreign", "other", "other.bulk", "full"})
	for _, queue := range want {
		if !slices.Contains(left, queue) {
			t.Errorf("%s is gone", queue)
		}
	}
	if slices.ContainsFunc(left, func(queue string) bool { return TargetOf(queue) == "left" }) {
		t.Errorf("left are %q", left)
	}
	served.Stop()
	removed, err = w.RemoveDeserted(t.Context(), func(string) bool { return false })
	if err != nil || !slices.Equal(removed, []string{"crm", "files"}) {
		t.Errorf("once the other process has stopped, removed are %q, %v", removed, err)
	}
}
