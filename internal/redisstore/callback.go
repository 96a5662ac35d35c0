package redisstore

import (
	"context"
	"crypto/rand"
	_ "embed" // the scripts
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
)

var (
	//go:embed note.lua
	noteSource string
	//go:embed wait.lua
	waitSource string

	noteScript = redis.NewScript(noteSource)
	waitScript = redis.NewScript(countSource + finishSource + changeSource + waitSource)
)

// CallbackKey implements tracking.Store. It is read each time, which is once for a job and once
// for a callback: should Redis lose it, no process goes on with one of its own.
func (s *Store) CallbackKey(ctx context.Context) ([]byte, error) {
	key, err := s.rdb.Get(ctx, callbackKey).Bytes()
	if errors.Is(err, redis.Nil) {
		made := make([]byte, tracking.CallbackKeySize)
		_, _ = rand.Read(made) // it never fails
		if err := s.rdb.SetNX(ctx, callbackKey, made, 0).Err(); err != nil {
			return nil, unavailable("make the key of callbacks", err)
		}
		key, err = s.rdb.Get(ctx, callbackKey).Bytes()
	}
	if err != nil {
		return nil, unavailable("read the key of callbacks", err)
	}
	if len(key) != tracking.CallbackKeySize {
		return nil, fmt.Errorf("the key of callbacks has %d bytes, not %d: delete %s, and a new one is made", len(key), tracking.CallbackKeySize, callbackKey)
	}
	return key, nil
}

// NoteCallback implements tracking.Store.
func (s *Store) NoteCallback(ctx context.Context, ref tracking.Ref) (d tracking.Delivery, now time.Time, err error) {
	shard, err := keysOf(ref.Tracking)
	if err != nil {
		return d, now, err
	}
	answer, err := s.run(ctx, noteScript, []string{recordKey(shard, ref.Tracking)}, ref.Target).StringSlice()
	if err != nil {
		return d, now, unavailable("note a callback", err)
	}
	if len(answer) < 2 {
		return d, now, tracking.ErrNotFound
	}
	d, err = decodeDelivery(answer[0])
	return d, time.UnixMilli(atoi64(answer[1])).UTC(), err
}

// ApplyWait implements tracking.Store.
func (s *Store) ApplyWait(ctx context.Context, ref tracking.Ref, expect tracking.Fence, next, sooner tracking.Delivery) (called bool, err error) {
	shard, err := keysOf(ref.Tracking)
	if err != nil {
		return false, err
	}
	keys := append(rowKeys(shard, ref.Target), recordKey(shard, ref.Tracking), payloadKey(shard, ref.Tracking))
	args := []any{ref.Target, millis(s.deadFor)}
	for _, d := range []tracking.Delivery{next, sooner} {
		change, err := changeArgs(ref.Target, tracking.Change{Tracking: ref.Tracking, Expect: expect, Next: d})
		if err != nil {
			return false, err
		}
		args = append(args, change...)
	}
	answer, err := s.run(ctx, waitScript, keys, args...).Text()
	switch {
	case err != nil:
		return false, unavailable("apply event", err)
	case answer == "fenced":
		return false, tracking.ErrFenced
	case answer == "gone":
		return false, tracking.ErrNotFound
	}
	return answer == "called", nil
}
