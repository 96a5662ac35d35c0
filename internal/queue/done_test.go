package queue

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

// scriptsSent counts the calls of our script, and of what else looks like asynq's.
type scriptsSent struct {
	mu           sync.Mutex
	ours, theirs int
}

func (s *scriptsSent) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *scriptsSent) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		args := cmd.Args()
		if sha, ok := args[min(1, len(args)-1)].(string); ok {
			s.mu.Lock()
			if sha == doneScript.Hash() {
				s.ours++
			} else if len(args) > 7 && isDone([]string{text(args[3]), text(args[4]), text(args[5]), text(args[6]), text(args[7])}) {
				s.theirs++
			}
			s.mu.Unlock()
		}
		return next(ctx, cmd)
	}
}

func (s *scriptsSent) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func text(v any) string { s, _ := v.(string); return s }

// An upgrade of asynq that changes its script for tasks that have ended must fail here.
func testDoneIsRecognised(t *testing.T, rdb redis.UniversalClient) {
	sent := new(scriptsSent)
	rdb.AddHook(sent)
	const tasks = 40
	c := NewClient(rdb, rdb, slog.New(slog.DiscardHandler))
	for seq := range tasks {
		enqueue(t, c, dispatch.Task{Ref: task(1).Ref, Seq: seq + 1, Lane: tracking.LaneNew})
	}
	var ran sync.WaitGroup
	ran.Add(tasks)
	w := serve(t, rdb, func(context.Context, dispatch.Task) error { ran.Done(); return nil })
	ran.Wait()
	w.Stop()
	sent.mu.Lock()
	ours, theirs := sent.ours, sent.theirs
	sent.mu.Unlock()
	if ours == 0 || ours > tasks || theirs > 0 {
		t.Errorf("%d scripts of ours and %d of asynq's for %d tasks", ours, theirs, tasks)
	}
	ctx := t.Context()
	if n := rdb.LLen(ctx, "asynq:{crm}:active").Val() + rdb.ZCard(ctx, "asynq:{crm}:lease").Val(); n != 0 {
		t.Errorf("%d entries are left", n)
	}
	today := "asynq:{crm}:processed:" + time.Now().UTC().Format(time.DateOnly)
	for _, key := range []string{today, "asynq:{crm}:processed"} {
		if n, err := rdb.Get(ctx, key).Int(); err != nil || n != tasks {
			t.Errorf("%s is %d (%v), want %d", key, n, err, tasks)
		}
	}
	if ttl := rdb.TTL(ctx, today).Val(); ttl <= 0 {
		t.Errorf("the day's count is kept for %s", ttl)
	}
}

// Of tasks that are taken off together each has its own answer.
func testDoneByItself(t *testing.T, rdb redis.UniversalClient) {
	const prefix = "asynq:{crm}:"
	ctx := t.Context()
	for _, id := range []string{"a", "b"} {
		rdb.LPush(ctx, prefix+"active", id)
		rdb.ZAdd(ctx, prefix+"lease", redis.Z{Score: 1, Member: id})
		rdb.HSet(ctx, prefix+"t:"+id, "state", "active")
	}
	d := newDones()
	errs := map[string]error{}
	var (
		mu   sync.Mutex
		wave sync.WaitGroup
	)
	for _, id := range []string{"a", "none", "b"} {
		wave.Go(func() {
			keys := []string{prefix + "active", prefix + "lease", prefix + "t:" + id, prefix + "processed:day", prefix + "processed"}
			err := d.take(ctx, rdb, keys, []any{id, time.Now().Add(time.Hour).Unix(), 1}).Err()
			mu.Lock()
			defer mu.Unlock()
			errs[id] = err
		})
	}
	wave.Wait()
	if errs["a"] != nil || errs["b"] != nil || !errors.Is(errs["none"], errNotFound) {
		t.Errorf("taken off: %v, want only the one that is not there to fail", errs)
	}
	if n := rdb.Exists(ctx, prefix+"active", prefix+"lease", prefix+"t:a", prefix+"t:b").Val(); n != 0 {
		t.Errorf("%d keys are left", n)
	}
	testenv.Eventually(t, time.Second, func() bool { d.mu.Lock(); defer d.mu.Unlock(); return len(d.waiting) == 0 }, "the sender did not end")
}
