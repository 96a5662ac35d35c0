package queue

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch"
	"headgate/internal/testenv"
)

// A target is released when its queues are empty, and not while its server has something to
// take out of them. It can be served again.
func testRelease(t *testing.T, rdb redis.UniversalClient) {
	entered, leave := make(chan struct{}), make(chan struct{})
	w := serve(t, rdb, func(context.Context, dispatch.Task) error { entered <- struct{}{}; <-leave; return nil })
	client := NewClient(rdb, rdb, slog.New(slog.DiscardHandler))
	listed := func() []string {
		queues, err := rdb.SMembers(t.Context(), allQueues).Result()
		if err != nil {
			t.Fatal(err)
		}
		return queues
	}
	testenv.Eventually(t, 5*time.Second, func() bool { return len(listed()) == len(lanes("crm")) }, "the queues are not listed")
	enqueue(t, client, task(1))
	<-entered
	if gone, err := w.Release("crm"); gone || err != nil {
		t.Fatalf("while a task runs: %t, %v", gone, err)
	}
	leave <- struct{}{}
	testenv.Eventually(t, 5*time.Second, func() bool {
		gone, err := w.Release("crm")
		if err != nil {
			t.Fatal(err)
		}
		return gone
	}, "the target is not released")
	if queues := listed(); len(queues) > 0 || slices.Contains(w.Targets(), "crm") {
		t.Errorf("left are %q, served %q", queues, w.Targets())
	}
	if gone, err := w.Release("crm"); gone || err != nil {
		t.Errorf("once more: %t, %v", gone, err)
	}
	if err := w.Serve("crm", 2); err != nil {
		t.Fatal(err)
	}
	enqueue(t, client, task(2))
	<-entered
	leave <- struct{}{}
}
