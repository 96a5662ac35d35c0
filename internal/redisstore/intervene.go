package redisstore

import (
	"context"
	_ "embed" // the scripts
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
)

var (
	//go:embed finish.lua
	finishSource string
	//go:embed cancel.lua
	cancelSource string
	//go:embed revive.lua
	reviveSource string
	//go:embed drop.lua
	dropSource string
	//go:embed expire.lua
	expireSource string

	cancelScript = redis.NewScript(countSource + finishSource + cancelSource)
	reviveScript = redis.NewScript(countSource + finishSource + reviveSource)
	dropScript   = redis.NewScript(countSource + finishSource + dropSource)
	expireScript = redis.NewScript(countSource + expireSource)
)

// KeepDeadLetters sets how long a dead letter is kept; without it,
// tracking.DeadLetterRetention. It is to be called before the store is used.
func (s *Store) KeepDeadLetters(d time.Duration) { s.deadFor = d }

// cancelTries bounds how often Cancel reads anew because deliveries moved meanwhile. One
// moves a few times a second at most.
const cancelTries = 10

// Cancel implements tracking.Store.
func (s *Store) Cancel(ctx context.Context, id, tenant string) (*tracking.Dispatch, error) {
	shard, err := keysOf(id)
	if err != nil {
		return nil, err
	}
	for range cancelTries {
		d, err := s.Load(ctx, id)
		if err != nil {
			return nil, err
		}
		if d.Tenant != tenant {
			return nil, tracking.ErrNotFound
		}
		now, err := s.now(ctx, recordKey(shard, id))
		if err != nil {
			return nil, unavailable("cancel", err)
		}
		moved, err := s.cancel(ctx, shard, d, now.UTC().Truncate(time.Millisecond))
		if err != nil || !moved {
			return d, err
		}
	}
	return nil, fmt.Errorf("cancel %s: %w", id, tracking.ErrFenced)
}

// cancel ends what can be ended of the record as it was read, and changes d accordingly.
// moved reports whether some delivery was no longer as it was read.
func (s *Store) cancel(ctx context.Context, shard string, d *tracking.Dispatch, now time.Time) (moved bool, err error) {
	keys := []string{recordKey(shard, d.ID), payloadKey(shard, d.ID), dueKey(shard), openKey(shard), deadKey(shard), tenantsKey(shard), figuresKey(shard)}
	fixed := len(keys)
	args := []any{d.ID, millis(s.deadFor)}
	var canceled []string
	for _, t := range d.Targets {
		old := d.Deliveries[t.Name]
		next, ok := tracking.Cancel(old, now)
		if !ok {
			continue
		}
		value, err := encodeDelivery(next)
		if err != nil {
			return false, err
		}
		keys = append(keys, rowKey(shard, t.Name, old.Lane), jobsKey(shard, t.Name))
		canceled = append(canceled, t.Name)
		leave := ""
		if next.Leaves() {
			leave = millis(tracking.LeaveGrace)
		}
		args = append(args, t.Name, old.Seq, value, openField(t.Name, old.Plan), leave)
		d.Deliveries[t.Name] = next
	}
	if len(keys) == fixed {
		return false, nil
	}
	answer, err := s.run(ctx, cancelScript, keys, args...).StringSlice()
	if err != nil {
		return false, unavailable("cancel", err)
	}
	if answer[0] == "gone" {
		return false, tracking.ErrNotFound
	}
	for _, target := range canceled {
		if s.onEnd != nil && !slices.Contains(answer[1:], target) {
			s.onEnd(tracking.EndOf(target, d.Deliveries[target], d.AcceptedAt))
		}
	}
	return len(answer) > 1, nil
}

// Revive implements tracking.Store.
func (s *Store) Revive(ctx context.Context, ref tracking.Ref, expect tracking.Fence, next tracking.Delivery, payload json.RawMessage) error {
	shard, err := keysOf(ref.Tracking)
	if err != nil {
		return err
	}
	if err := tracking.CheckRevival(expect, next); err != nil {
		return err
	}
	if len(payload) > maxRecord {
		return tracking.ErrTooLarge
	}
	value, err := encodeDelivery(next)
	if err != nil {
		return err
	}
	id := ref.Tracking
	keys := []string{recordKey(shard, id), payloadKey(shard, id), deadKey(shard), queuedKey(shard, ref.Target), openKey(shard), tenantsKey(shard), dueKey(shard), figuresKey(shard), jobsKey(shard, ref.Target)}
	answer, err := s.run(ctx, reviveScript, keys, id, ref.Target, expect.Seq, value, openField(ref.Target, next.Plan), string(payload)).Text()
	switch {
	case err != nil:
		return unavailable("revive delivery", err)
	case answer == "fenced":
		return tracking.ErrFenced
	case answer == "gone":
		return tracking.ErrNotFound
	case answer == "no payload":
		return tracking.ErrNoPayload
	}
	return nil
}

// DropDeadLetter implements tracking.Store.
func (s *Store) DropDeadLetter(ctx context.Context, ref tracking.Ref) error {
	shard, err := keysOf(ref.Tracking)
	if err != nil {
		return err
	}
	keys := []string{recordKey(shard, ref.Tracking), payloadKey(shard, ref.Tracking), deadKey(shard), figuresKey(shard)}
	n, err := s.run(ctx, dropScript, keys, ref.Tracking, ref.Target, millis(s.deadFor)).Int()
	if err == nil && n == 0 {
		return tracking.ErrNotFound
	}
	return unavailable("drop dead letter", err)
}

// ExpireDeadLetters implements tracking.Store.
func (s *Store) ExpireDeadLetters(ctx context.Context, limit int) (int, error) {
	total := 0
	for _, shard := range shardPrefix {
		if total >= limit {
			break
		}
		n, err := expireScript.Run(ctx, s.base, []string{deadKey(shard), figuresKey(shard)}, millis(s.deadFor), limit-total).Int()
		if err != nil {
			return total, unavailable("expire dead letters", err)
		}
		total += n
	}
	return total, nil
}

// Letter implements tracking.Store.
func (s *Store) Letter(ctx context.Context, ref tracking.Ref) (*tracking.Letter, error) {
	shard, err := keysOf(ref.Tracking)
	if err != nil {
		return nil, err
	}
	pipe := s.base.Pipeline()
	fields := pipe.HMGet(ctx, recordKey(shard, ref.Tracking), letterFields(ref.Target)...)
	payload := pipe.HGet(ctx, payloadKey(shard, ref.Tracking), ref.Target)
	score := pipe.ZScore(ctx, deadKey(shard), member(ref))
	_, _ = pipe.Exec(ctx) // its error may only say that there is no payload; each command's own is looked at
	now, err := s.now(ctx, recordKey(shard, ref.Tracking))
	for _, err := range []error{fields.Err(), noNil(payload.Err()), noNil(score.Err()), err} {
		if err != nil {
			return nil, unavailable("read delivery", err)
		}
	}
	out, err := letterOf(ref, fields.Val())
	if err != nil {
		return nil, err
	}
	out.Now = now.UTC().Truncate(time.Millisecond)
	if score.Err() == nil {
		out.Expires = time.UnixMilli(int64(score.Val())).UTC().Add(s.deadFor)
		out.Dead = out.Expires.After(out.Now)
	}
	if payload.Err() == nil {
		out.Payload = json.RawMessage(payload.Val())
	}
	return out, nil
}

// letterFields are what letterOf reads of a record.
func letterFields(target string) []string { return append([]string{"t:" + target}, fixedFields...) }

func letterOf(ref tracking.Ref, fields []any) (*tracking.Letter, error) {
	text := make([]string, len(fields))
	for i, f := range fields {
		s, _ := f.(string)
		text[i] = strings.Clone(s)
	}
	if text[0] == "" || text[1] == "" {
		return nil, tracking.ErrNotFound
	}
	d, err := dispatchOf(ref.Tracking, text[1:]...)
	if err != nil {
		return nil, err
	}
	delivery, err := decodeDelivery(text[0])
	if err != nil {
		return nil, err
	}
	return &tracking.Letter{Ref: ref, Route: d.Route, Tenant: d.Tenant, AcceptedAt: d.AcceptedAt, Delivery: delivery}, nil
}
