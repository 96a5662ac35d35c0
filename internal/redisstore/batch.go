package redisstore

import (
	"context"
	_ "embed" // the scripts
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
)

var (
	//go:embed seal.lua
	sealSource string
	//go:embed board.lua
	boardSource string
	//go:embed judge.lua
	judgeSource string

	sealScript  = redis.NewScript(sealSource)
	boardScript = redis.NewScript(boardSource)
	judgeScript = redis.NewScript(judgeSource)
)

// Seal implements tracking.Store.
func (s *Store) Seal(ctx context.Context, batch tracking.Ref, last int) ([]string, error) {
	shard, err := keysOf(batch.Tracking)
	if err != nil {
		return nil, err
	}
	keys := []string{recordKey(shard, batch.Tracking), gatheringKey(shard), membersKey(shard, batch.Tracking)}
	answer, err := s.run(ctx, sealScript, keys, batch.Tracking, last).StringSlice()
	if err != nil {
		return nil, unavailable("seal a batch", err)
	}
	ids := answer[:len(answer)-1]
	if joined := int(atoi64(answer[len(ids)])); joined > 0 && s.onSeal != nil {
		s.onSeal(batch.Target, joined)
	}
	return ids, nil
}

// boardedAtOnce bounds what one script reads, for it stops everybody else.
const boardedAtOnce = 200

// Board implements tracking.Store. The members of one shard are read by one script; the
// scripts of all shards travel together.
func (s *Store) Board(ctx context.Context, batch tracking.Ref, ids []string, send bool) ([]tracking.Member, error) {
	out := make([]tracking.Member, len(ids))
	byShard := map[string][]int{}
	for i, id := range ids {
		out[i].Ref = tracking.Ref{Tracking: id, Target: batch.Target}
		shard, err := keysOf(id)
		if err != nil {
			continue // not one of ours: it has left
		}
		byShard[shard] = append(byShard[shard], i)
	}
	var (
		wave sync.WaitGroup
		mu   sync.Mutex
		errs error
	)
	for shard, places := range byShard {
		for len(places) > 0 {
			n := min(len(places), boardedAtOnce)
			part := places[:n]
			places = places[n:]
			wave.Go(func() {
				if err := s.board(ctx, shard, batch, out, part, send); err != nil {
					mu.Lock()
					errs = err
					mu.Unlock()
				}
			})
		}
	}
	wave.Wait()
	return out, errs
}

func (s *Store) board(ctx context.Context, shard string, batch tracking.Ref, out []tracking.Member, places []int, send bool) error {
	keys := []string{dueKey(shard)}
	sending := 0
	if send {
		sending = 1
	}
	args := []any{batch.Target, batch.Tracking, sending, tracking.BatchLook.Milliseconds()}
	for _, i := range places {
		id := out[i].Tracking
		keys = append(keys, recordKey(shard, id), payloadKey(shard, id))
		args = append(args, id)
	}
	answer, err := s.run(ctx, boardScript, keys, args...).StringSlice()
	if err != nil {
		return unavailable("read the members of a batch", err)
	}
	for n, i := range places {
		m := &out[i]
		switch answer[3*n] {
		case "aboard":
			m.Stands = tracking.Aboard
		case "joining":
			m.Stands = tracking.Joining
		}
		if value := answer[3*n+1]; value != "" {
			if m.Delivery, err = decodeDelivery(value); err != nil {
				return err
			}
		}
		m.Payload = json.RawMessage(answer[3*n+2])
	}
	return nil
}

// judgedAtOnce bounds what one script notes, for it stops everybody else.
const judgedAtOnce = 500

// Judge implements tracking.Store.
func (s *Store) Judge(ctx context.Context, batch tracking.Ref, ends map[string]tracking.End, keep time.Duration) error {
	shard, err := keysOf(batch.Tracking)
	if err != nil {
		return err
	}
	keys := []string{endsKey(shard, batch.Tracking)}
	args := []any{1, keep.Milliseconds()}
	send := func() error {
		err := s.run(ctx, judgeScript, keys, args...).Err()
		args = []any{0, keep.Milliseconds()}
		return unavailable("note how members of a batch end", err)
	}
	for id, end := range ends {
		text, err := json.Marshal(end)
		if err != nil {
			return fmt.Errorf("encode the end of %s: %w", id, err)
		}
		if args = append(args, id, text); len(args) >= 2+2*judgedAtOnce {
			if err := send(); err != nil {
				return err
			}
		}
	}
	if len(args) == 2 && len(ends) > 0 {
		return nil
	}
	return send()
}

// Ends implements tracking.Store.
func (s *Store) Ends(ctx context.Context, batch tracking.Ref, ids []string) (map[string]tracking.End, error) {
	shard, err := keysOf(batch.Tracking)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	texts, err := s.rdb.HMGet(ctx, endsKey(shard, batch.Tracking), ids...).Result()
	if err != nil {
		return nil, unavailable("read how members of a batch end", err)
	}
	out := map[string]tracking.End{}
	for i, text := range texts {
		if text, ok := text.(string); ok {
			var end tracking.End
			if err := json.Unmarshal([]byte(text), &end); err != nil {
				return nil, fmt.Errorf("decode the end of %s: %w", ids[i], err)
			}
			out[ids[i]] = end
		}
	}
	return out, nil
}

// TraceParents implements tracking.Store, in one pipeline.
func (s *Store) TraceParents(ctx context.Context, ids []string) ([]string, error) {
	pipe := s.base.Pipeline()
	found := make([]*redis.StringCmd, len(ids))
	for i, id := range ids {
		if shard, err := keysOf(id); err == nil { // else it is not one of ours
			found[i] = pipe.HGet(ctx, recordKey(shard, id), "w")
		}
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	out := make([]string, len(ids))
	for i, one := range found {
		if one == nil || errors.Is(one.Err(), redis.Nil) {
			continue
		}
		if err := one.Err(); err != nil {
			return nil, unavailable("read the traces of a batch", err)
		}
		out[i] = one.Val()
	}
	return out, nil
}

// Settled implements tracking.Store.
func (s *Store) Settled(ctx context.Context, batch tracking.Ref, ids []string) error {
	shard, err := keysOf(batch.Tracking)
	if err != nil || len(ids) == 0 {
		return err
	}
	members := make([]any, len(ids))
	for i, id := range ids {
		members[i] = id
	}
	return unavailable("settle members of a batch", s.rdb.ZRem(ctx, membersKey(shard, batch.Tracking), members...).Err())
}
