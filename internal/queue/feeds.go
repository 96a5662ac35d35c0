package queue

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch"
)

// feeds has one feed for all queues, so that their tasks travel together; in a cluster one
// for each queue, so that a node that stands still holds up only the queues that it has.
type feeds struct {
	rdb redis.UniversalClient
	log *slog.Logger
	all *feed // nil in a cluster

	mu sync.Mutex
	of map[string]*feed // by queue
}

func newFeeds(rdb redis.UniversalClient, log *slog.Logger) *feeds {
	f := &feeds{rdb: rdb, log: log, of: map[string]*feed{}}
	if _, cluster := rdb.(*redis.ClusterClient); !cluster {
		f.all = newFeed(rdb, log)
		f.of[""] = f.all
	}
	return f
}

func (f *feeds) add(tasks []dispatch.Task, done *wait) {
	if f.all != nil {
		f.all.add(tasks, done)
		return
	}
	byQueue := make(map[string][]dispatch.Task, len(tasks))
	for _, t := range tasks {
		q := lane(t)
		byQueue[q] = append(byQueue[q], t)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for q, tasks := range byQueue {
		if f.of[q] == nil {
			f.of[q] = newFeed(f.rdb, f.log)
		}
		f.of[q].add(tasks, done)
	}
}

// drained is drained of each.
func (f *feeds) drained(ctx context.Context) error {
	f.mu.Lock()
	all := slices.Collect(maps.Values(f.of))
	f.mu.Unlock()
	errs := make(chan error, len(all))
	for _, feed := range all {
		go func() { errs <- feed.drained(ctx) }()
	}
	var err error
	for range all {
		err = errors.Join(err, <-errs)
	}
	return err
}
