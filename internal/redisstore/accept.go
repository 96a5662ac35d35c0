package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
)

// Accept implements tracking.Store.
func (s *Store) Accept(ctx context.Context, a *tracking.Acceptance) (*tracking.IdemRow, error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil { // nothing is sent, so this much is known
		return nil, unavailable("accept", err)
	}
	d := a.Dispatch
	shard, err := keysOf(d.ID)
	if err != nil {
		return nil, err
	}
	keys, args, err := acceptCall(shard, a)
	if err != nil {
		return nil, err
	}
	answer, err := s.recorded(ctx, shard, keys, args)
	var taken *tracking.IdemRow
	if len(answer) == 2 && answer[0] == "taken" {
		row, broken := idemRow([]byte(answer[1]))
		if broken != nil && err == nil {
			return nil, broken
		}
		if row != nil && row.ID != d.ID {
			taken = row
		}
	}
	switch {
	case err != nil:
		return taken, err
	case taken != nil && s.acks != nil: // the script has written nothing, so its WAIT covered nothing
		if taken, err = s.confirm(ctx, d.IdemHash, taken); taken == nil && err == nil {
			return nil, tracking.ErrOutcomeUnknown
		}
		return taken, err
	case taken != nil:
		return taken, nil
	case answer[0] == "late":
		return nil, fmt.Errorf("accept: %w: it comes too late", tracking.ErrUnavailable)
	case answer[0] == "ok":
		d.SetLanes(answer[1:])
		s.skipped(d)
	default:
		d.SetLanes(nil)
		s.skipped(d)
	}
	return nil, nil
}

// acceptCall gives the keys and arguments of the accept script.
func acceptCall(shard string, a *tracking.Acceptance) (keys []string, args []any, err error) {
	d := a.Dispatch
	fixed, err := fixedOf(d)
	if err != nil {
		return nil, nil, err
	}
	keys = make([]string, 0, 5+len(d.Targets))
	keys = append(keys, recordKey(shard, d.ID), payloadKey(shard, d.ID), openKey(shard), tenantsKey(shard))
	row := ""
	if a.Idem != nil {
		raw, err := appendIdemRow(make([]byte, 0, 256), a.Idem)
		if err != nil {
			return nil, nil, fmt.Errorf("encode idempotency row: %w", err)
		}
		row, fixed = string(raw), append(fixed, "k", d.IdemHash)
		keys = append(keys, idemKey(shard, d.IdemHash))
	}
	texts := make([]string, 0, 8+len(fixed)+5*len(d.Targets))
	texts = append(texts, d.ID, d.Tenant, millis(a.Retention), row, millis(a.IdemTTL), "", strconv.Itoa(len(fixed)), until(a))
	texts = append(texts, fixed...)
	size, open := 0, 0
	for _, text := range fixed {
		size += len(text)
	}
	for _, t := range d.Targets {
		delivery := d.Deliveries[t.Name]
		delivery.Lane = tracking.LaneResume
		if !delivery.State.Final() {
			delivery.Lane = tracking.LaneNew
		}
		value, err := encodeDelivery(delivery)
		if err != nil {
			return nil, nil, err
		}
		field := ""
		if !delivery.State.Final() {
			open++
			field = openField(t.Name, delivery.Plan)
			keys = append(keys, queuedKey(shard, t.Name))
		}
		size += len(value) + len(a.Payloads[t.Name])
		texts = append(texts, t.Name, value, string(a.Payloads[t.Name]), field, strconv.Itoa(shareOfShard(a.FairShare[t.Name])))
	}
	if size > maxRecord {
		return nil, nil, tracking.ErrTooLarge
	}
	texts[5] = strconv.Itoa(open)
	return keys, argsOf(texts), nil
}

// until is when an acceptance is too late, as the script wants it.
func until(a *tracking.Acceptance) string {
	if a.Until.IsZero() {
		return ""
	}
	return strconv.FormatInt(a.Until.UnixMilli(), 10)
}

// argsOf makes arguments of texts without a copy of each.
func argsOf(texts []string) []any {
	out := make([]any, len(texts))
	for i := range texts {
		out[i] = &texts[i]
	}
	return out
}

// recorded runs the accept script until it is known what came of it: a lost answer is
// found out by sending it again, for it is idempotent on the ID. With an error the
// script's answer may come, too.
func (s *Store) recorded(ctx context.Context, shard string, keys []string, args []any) (answer []string, err error) {
	for attempt := 0; ; attempt++ {
		if s.acks != nil {
			answer, err = s.acks.accept(ctx, shard, attempt > 0, keys, args)
		} else {
			answer, err = s.run(ctx, acceptScript, keys, args...).StringSlice()
		}
		switch {
		case err == nil:
			return answer, nil
		case errors.Is(err, errTooFew):
			return answer, fmt.Errorf("%w: %w", tracking.ErrOutcomeUnknown, err)
		case refused(err) && attempt == 0:
			return nil, fmt.Errorf("%w: %w", tracking.ErrUnavailable, err)
		case attempt == 2 || ctx.Err() != nil:
			return nil, fmt.Errorf("%w: %w", tracking.ErrOutcomeUnknown, err)
		}
	}
}

// shareOfShard is the part of a tenant's share that one shard may have: the accept
// script counts within its slot only. 0 stays 0: no bound.
func shareOfShard(share int) int { return (share + tracking.Shards - 1) / tracking.Shards }

// confirm reads an idempotency row again that was seen a moment ago, once replicas have
// it. It is gone when one without it has taken the master's place meanwhile.
func (s *Store) confirm(ctx context.Context, idemHash string, seen *tracking.IdemRow) (*tracking.IdemRow, error) {
	shard := shardPrefix[tracking.IdemShard(idemHash)]
	raw, err := s.acks.get(ctx, shard, idemKey(shard, idemHash))
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return seen, fmt.Errorf("%w: %w", tracking.ErrOutcomeUnknown, err)
	}
	return idemRow(raw)
}
