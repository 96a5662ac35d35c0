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
	//go:embed present.lua
	presentSource string
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
	overdueScript   = redis.NewScript(presentSource + overdueSource)
	abandonedScript = redis.NewScript(presentSource + abandonedSource)
	waitingScript   = redis.NewScript(presentSource + waitingSource)
	presentScript   = redis.NewScript(presentSource + "return present()")
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
	joins   joins
	acks    *acks         // nil: the master alone is enough
	deadFor time.Duration // how long a dead letter is kept
	onEnd   func(tracking.DeliveryEnd)
	onSeal  func(target string, records int)
}

// New makes a store. rdb may be an auto-pipelining client over base, or base itself.
func New(rdb, base redis.UniversalClient) *Store {
	_, cluster := base.(*redis.ClusterClient)
	return &Store{rdb: rdb, base: base, cluster: cluster, waiters: newWaiters(base), joins: joins{waiting: map[joinKind][]*joining{}}, deadFor: tracking.DeadLetterRetention}
}

// Close ends the store's subscription. The clients stay the caller's.
func (s *Store) Close() error { return s.waiters.close() }

var _ tracking.Store = (*Store)(nil)

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

// Said is what Redis answered instead of doing what it was asked; empty when it said nothing.
func Said(err error) string {
	var reply redis.Error
	if errors.As(err, &reply) {
		return reply.Error()
	}
	return ""
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
		d, err := decodeDelivery(answer[1])
		if err != nil {
			return nil, err
		}
		return &tracking.Claimed{Delivery: d}, tracking.ErrStale
	}
	out := &tracking.Claimed{Now: time.UnixMilli(atoi64(answer[1])).UTC(), Payload: json.RawMessage(answer[3])}
	if out.Delivery, err = decodeDelivery(answer[2]); err != nil {
		return nil, err
	}
	if out.Dispatch, err = dispatchOf(id, answer[4:]...); err != nil {
		return nil, err
	}
	return out, nil
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
			beatScript, joinScript, sealScript, boardScript, judgeScript, jobsScript, pendingScript, noteScript, waitScript, launchScript, landScript, lineScript, leftScript,
		} {
			if err := script.Load(ctx, rdb).Err(); err != nil {
				return err
			}
		}
		return nil
	}))
}
