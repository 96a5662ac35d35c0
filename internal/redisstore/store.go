package redisstore

import (
	"context"
	_ "embed" // the scripts
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
)

var (
	//go:embed count.lua
	countSource string
	//go:embed accept.lua
	acceptSource string
	//go:embed claim.lua
	claimSource string
	//go:embed apply.lua
	applySource string
	//go:embed overdue.lua
	overdueSource string
	//go:embed abandoned.lua
	abandonedSource string
	//go:embed waiting.lua
	waitingSource string
	//go:embed touch.lua
	touchSource string
	//go:embed beat.lua
	beatSource string

	acceptScript    = redis.NewScript(countSource + acceptSource)
	claimScript     = redis.NewScript(countSource + claimSource)
	applyScript     = redis.NewScript(countSource + finishSource + applySource)
	overdueScript   = redis.NewScript(overdueSource)
	abandonedScript = redis.NewScript(abandonedSource)
	waitingScript   = redis.NewScript(waitingSource)
	touchScript     = redis.NewScript(countSource + touchSource)
	beatScript      = redis.NewScript(beatSource)
)

// maxRecord bounds one record with its payloads; beyond it a request is refused. Redis
// itself would take 512 MB, but a script that long stops everybody else.
const maxRecord = 32 << 20

// Store implements tracking.Store.
type Store struct {
	// rdb runs commands; it may gather those of concurrent callers into pipelines.
	rdb redis.UniversalClient
	// base is the plain client below rdb, for subscriptions and for scanning.
	base    redis.UniversalClient
	cluster bool
	waiters *waiters
	acks    *acks         // nil: the master alone is enough
	deadFor time.Duration // how long a dead letter is kept
}

// New makes a store. rdb may be an auto-pipelining client over base, or base itself.
func New(rdb, base redis.UniversalClient) *Store {
	_, cluster := base.(*redis.ClusterClient)
	return &Store{rdb: rdb, base: base, cluster: cluster, waiters: newWaiters(base), deadFor: tracking.DeadLetterRetention}
}

// Close ends the store's subscription. The clients stay the caller's.
func (s *Store) Close() error { return s.waiters.close() }

var _ tracking.Store = (*Store)(nil)

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
	case answer[0] == "ok":
		d.SetLanes(answer[1:])
	default:
		d.SetLanes(nil)
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
	keys = []string{recordKey(shard, d.ID), payloadKey(shard, d.ID), openKey(shard), tenantsKey(shard)}
	row := ""
	if a.Idem != nil {
		raw, err := json.Marshal(a.Idem)
		if err != nil {
			return nil, nil, fmt.Errorf("encode idempotency row: %w", err)
		}
		row, fixed = string(raw), append(fixed, "k", d.IdemHash)
		keys = append(keys, idemKey(shard, d.IdemHash))
	}
	args = make([]any, 0, 7+len(fixed)+5*len(d.Targets))
	args = append(args, d.ID, d.Tenant, millis(a.Retention), row, millis(a.IdemTTL), 0, len(fixed))
	size, open := 0, 0
	for _, text := range fixed {
		args = append(args, text)
		size += len(text)
	}
	for _, t := range d.Targets {
		delivery := d.Deliveries[t.Name]
		delivery.Lane = tracking.LaneResume
		if !delivery.State.Final() {
			delivery.Lane = tracking.LaneNew
		}
		value, err := encode(delivery)
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
		args = append(args, t.Name, value, string(a.Payloads[t.Name]), field, shareOfShard(a.FairShare[t.Name]))
	}
	if size > maxRecord {
		return nil, nil, tracking.ErrTooLarge
	}
	args[5] = open
	return keys, args, nil
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

func idemRow(raw []byte) (*tracking.IdemRow, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	row := new(tracking.IdemRow)
	if err := json.Unmarshal(raw, row); err != nil {
		return nil, fmt.Errorf("decode idempotency row: %w", err)
	}
	return row, nil
}

// refused reports whether an error proves that a command was not executed: it never
// left, or Redis said no.
func refused(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	var reply redis.Error
	return (errors.As(err, &op) && op.Op == "dial") || errors.As(err, &dns) ||
		errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrClosed) || errors.As(err, &reply)
}

// unavailable wraps errors of Redis itself so that callers need not know its client.
func unavailable(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w: %w", what, tracking.ErrUnavailable, err)
}

// Idem implements tracking.Store.
func (s *Store) Idem(ctx context.Context, idemHash string) (*tracking.IdemRow, error) {
	raw, err := s.rdb.Get(ctx, idemKey(shardPrefix[tracking.IdemShard(idemHash)], idemHash)).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, unavailable("look up idempotency key", err)
	}
	row, err := idemRow(raw)
	if err == nil && row != nil && s.acks != nil {
		return s.confirm(ctx, idemHash, row)
	}
	return row, err
}

// Claim implements tracking.Store.
func (s *Store) Claim(ctx context.Context, ref tracking.Ref, seq int, run string, hold time.Duration) (*tracking.Claimed, error) {
	shard, err := keysOf(ref.Tracking)
	if err != nil {
		return nil, err
	}
	if err := tracking.CheckToken(run); err != nil {
		return nil, err
	}
	id := ref.Tracking
	keys := []string{recordKey(shard, id), payloadKey(shard, id), dueKey(shard), queuedKey(shard, ref.Target), tenantsKey(shard), runningKey(shard)}
	answer, err := s.run(ctx, claimScript, keys, id, ref.Target, seq, run, millis(hold)).StringSlice()
	if err != nil {
		return nil, unavailable("claim delivery", err)
	}
	switch answer[0] {
	case "gone":
		return nil, tracking.ErrNotFound
	case "held":
		return nil, tracking.ErrHeld
	case "stale":
		d, err := decode(answer[1])
		if err != nil {
			return nil, err
		}
		return &tracking.Claimed{Delivery: d}, tracking.ErrStale
	}
	out := &tracking.Claimed{Now: time.UnixMilli(atoi64(answer[1])).UTC(), Payload: json.RawMessage(answer[3])}
	if out.Delivery, err = decode(answer[2]); err != nil {
		return nil, err
	}
	if out.Dispatch, err = dispatchOf(id, answer[4:]...); err != nil {
		return nil, err
	}
	return out, nil
}

// Apply implements tracking.Store.
func (s *Store) Apply(ctx context.Context, ref tracking.Ref, expect tracking.Fence, next tracking.Delivery) error {
	shard, err := keysOf(ref.Tracking)
	if err != nil {
		return err
	}
	if err := tracking.CheckNext(expect, next); err != nil {
		return err
	}
	value, err := encode(next)
	if err != nil {
		return err
	}
	drop, dead := 0, 0
	switch next.State {
	case tracking.Succeeded, tracking.Warned:
		if !next.KeepPayload {
			drop = 1
		}
	case tracking.Failed:
		if !tracking.IsBatch(ref.Tracking) { // its members are the dead letters
			dead = 1
		}
	default:
	}
	due := next.NextAt.UnixMilli()
	if next.Phase == tracking.Gathered {
		due = tracking.BatchLook.Milliseconds()
	}
	id := ref.Tracking
	keys := []string{recordKey(shard, id), payloadKey(shard, id), dueKey(shard), queuedKey(shard, ref.Target), openKey(shard), deadKey(shard), tenantsKey(shard), runningKey(shard)}
	answer, err := s.run(ctx, applyScript, keys, id, ref.Target, expect.Seq, orDash(expect.Token), value,
		letter(next), due, openField(ref.Target, next.Plan), drop, dead, millis(s.deadFor)).Text()
	switch {
	case err != nil:
		return unavailable("apply event", err)
	case answer == "fenced":
		return tracking.ErrFenced
	case answer == "gone":
		return tracking.ErrNotFound
	}
	return nil
}

// Load implements tracking.Store.
func (s *Store) Load(ctx context.Context, id string) (*tracking.Dispatch, error) {
	shard, err := keysOf(id)
	if err != nil {
		return nil, err
	}
	fields, err := s.rdb.HGetAll(ctx, recordKey(shard, id)).Result()
	if err != nil {
		return nil, unavailable("load record", err)
	}
	return recordOf(id, fields)
}

// Touch implements tracking.Store.
func (s *Store) Touch(ctx context.Context, row tracking.Row) error {
	shard, err := keysOf(row.Tracking)
	if err != nil {
		return err
	}
	if d := row.Delivery; d.Phase == tracking.Queued {
		keys := []string{recordKey(shard, row.Tracking), rowKey(shard, row.Target, d.Lane)}
		err := s.run(ctx, touchScript, keys, row.Tracking, row.Target, d.Seq, letter(d), row.Now.UnixMilli()).Err()
		return unavailable("touch queued row", err)
	}
	until := row.Now
	if tracking.IsBatch(row.Delivery.Token) {
		until = until.Add(tracking.BatchLook)
	}
	// Never lowered: a claim made since the row was read must keep its time.
	args := redis.ZAddArgs{XX: true, GT: true, Members: []redis.Z{{Score: float64(until.UnixMilli()), Member: member(row.Ref)}}}
	return unavailable("touch due row", s.rdb.ZAddArgs(ctx, dueKey(shard), args).Err())
}

// Prepare loads the scripts, so that the first request does not pay for it.
func (s *Store) Prepare(ctx context.Context) error {
	return unavailable("load scripts", eachMaster(ctx, s.base, func(ctx context.Context, _ string, rdb redis.UniversalClient) error {
		for _, script := range []*redis.Script{
			acceptScript, claimScript, applyScript, overdueScript, abandonedScript, waitingScript, touchScript, cancelScript, reviveScript, dropScript, expireScript,
			beatScript, joinScript, sealScript, boardScript,
		} {
			if err := script.Load(ctx, rdb).Err(); err != nil {
				return err
			}
		}
		return nil
	}))
}
