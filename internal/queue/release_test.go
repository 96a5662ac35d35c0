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

// What runs when its server is replaced goes on: for longer than the worker would wait when it
// stops.
func testReplacedServerFinishes(t *testing.T, rdb redis.UniversalClient) {
	const grace = time.Millisecond
	began, ended := make(chan struct{}), make(chan error)
	w := NewWorker(Options{Redis: rdb, Log: slog.New(slog.DiscardHandler), Grace: grace, Handler: func(ctx context.Context, _ dispatch.Task) error {
		close(began)
		select {
		case <-ctx.Done():
		case <-time.After(300 * grace):
		}
		ended <- ctx.Err()
		return nil
	}})
	t.Cleanup(w.Stop)
	served(t, w, 4)
	enqueue(t, NewClient(rdb, rdb, slog.New(slog.DiscardHandler)), task(1))
	<-began
	served(t, w, 2)
	if err := <-ended; err != nil {
		t.Errorf("the run was cut off: %v", err)
	}
}

// A worker that stops waits for what a replaced server runs as long as for anything else.
func testStopAwaitsReplacedServers(t *testing.T, rdb redis.UniversalClient) {
	began, leave, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	w := NewWorker(Options{Redis: rdb, Log: slog.New(slog.DiscardHandler), Grace: time.Minute, Handler: func(ctx context.Context, _ dispatch.Task) error {
		close(began)
		select {
		case <-ctx.Done():
		case <-leave:
		}
		ended <- ctx.Err()
		return nil
	}})
	served(t, w, 4)
	servers := func() int {
		n, err := rdb.ZCard(t.Context(), "asynq:servers").Result()
		if err != nil {
			t.Fatal(err)
		}
		return int(n)
	}
	enqueue(t, NewClient(rdb, rdb, slog.New(slog.DiscardHandler)), task(1))
	<-began
	served(t, w, 2)
	testenv.Eventually(t, 5*time.Second, func() bool { return servers() == 2 }, "the second server shows no sign of life")
	stopped := make(chan struct{})
	go func() { w.Stop(); close(stopped) }()
	testenv.Eventually(t, 10*time.Second, func() bool { return servers() == 1 || len(ended) > 0 }, "the second server does not stop")
	close(leave)
	<-stopped
	if err := <-ended; err != nil {
		t.Errorf("the run was cut off: %v", err)
	}
}

func served(t *testing.T, w *Worker, concurrency int) {
	t.Helper()
	if err := w.Serve("crm", concurrency); err != nil {
		t.Fatal(err)
	}
}
