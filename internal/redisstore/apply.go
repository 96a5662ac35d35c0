package redisstore

import (
	"context"
	_ "embed" // the scripts
	"errors"
	"strconv"
	"sync"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
)

var (
	//go:embed change.lua
	changeSource string
	//go:embed apply.lua
	applySource string

	applyScript = redis.NewScript(countSource + finishSource + changeSource + applySource)
)

// Apply implements tracking.Store.
func (s *Store) Apply(ctx context.Context, ref tracking.Ref, expect tracking.Fence, next tracking.Delivery) error {
	shard, err := keysOf(ref.Tracking)
	if err != nil {
		return err
	}
	change := tracking.Change{Tracking: ref.Tracking, Expect: expect, Next: next}
	return s.apply(ctx, shard, ref.Target, []tracking.Change{change})[0]
}

// appliedAtOnce bounds what one script changes, for it stops everybody else.
const appliedAtOnce = 50

// ApplyAll implements tracking.Store. What lies in one shard is changed by one script; the
// scripts of all shards travel together.
func (s *Store) ApplyAll(ctx context.Context, target string, changes []tracking.Change) error {
	byShard := map[string][]tracking.Change{}
	for _, c := range changes {
		shard, err := keysOf(c.Tracking)
		if err != nil {
			return err
		}
		byShard[shard] = append(byShard[shard], c)
	}
	var (
		wave sync.WaitGroup
		mu   sync.Mutex
		errs error
	)
	for shard, all := range byShard {
		for len(all) > 0 {
			n := min(len(all), appliedAtOnce)
			part := all[:n]
			all = all[n:]
			wave.Go(func() {
				for _, err := range s.apply(ctx, shard, target, part) {
					if err != nil && !errors.Is(err, tracking.ErrFenced) && !errors.Is(err, tracking.ErrNotFound) {
						mu.Lock()
						errs = err
						mu.Unlock()
					}
				}
			})
		}
	}
	wave.Wait()
	return errs
}

// apply gives what each change came to.
func (s *Store) apply(ctx context.Context, shard, target string, changes []tracking.Change) []error {
	errs := make([]error, len(changes))
	fail := func(err error) []error {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	keys := append(make([]string, 0, 8+2*len(changes)), rowKeys(shard, target)...)
	args := append(make([]any, 0, 2+9*len(changes)), target, millis(s.deadFor))
	for _, c := range changes {
		change, err := changeArgs(target, c)
		if err != nil {
			return fail(err)
		}
		keys = append(keys, recordKey(shard, c.Tracking), payloadKey(shard, c.Tracking))
		args = append(args, change...)
	}
	answers, err := s.run(ctx, applyScript, keys, args...).StringSlice()
	if err != nil {
		return fail(unavailable("apply event", err))
	}
	for i, c := range changes {
		switch answers[i] {
		case "fenced":
			errs[i] = tracking.ErrFenced
		case "gone":
			errs[i] = tracking.ErrNotFound
		default:
			s.ended(target, c.Tracking, c.Next, answers[i])
		}
	}
	return errs
}

// rowKeys are those that change.lua needs besides a record's own.
func rowKeys(shard, target string) []string {
	return []string{dueKey(shard), queuedKey(shard, target), openKey(shard), deadKey(shard), tenantsKey(shard), runningKey(shard), figuresKey(shard), jobsKey(shard, target)}
}

// changeArgs gives what the script is told of one change.
func changeArgs(target string, c tracking.Change) ([]any, error) {
	if err := tracking.CheckNext(c.Expect, c.Next); err != nil {
		return nil, err
	}
	value, err := encodeDelivery(c.Next)
	if err != nil {
		return nil, err
	}
	drop, dead := 0, 0
	switch c.Next.State {
	case tracking.Succeeded, tracking.Warned, tracking.Superseded:
		if !c.Next.KeepPayload {
			drop = 1
		}
	case tracking.Failed:
		if !tracking.IsBatch(c.Tracking) { // its members are the dead letters
			dead = 1
		}
	default:
	}
	due := ""
	switch {
	case c.Next.Phase == tracking.Scheduled:
		due = strconv.FormatInt(c.Next.NextAt.UnixMilli(), 10)
	case c.Next.Phase == tracking.Gathered:
		due = millis(tracking.BatchLook)
	case c.Next.Leaves():
		due = millis(tracking.LeaveGrace)
	}
	return []any{
		c.Tracking, c.Expect.Seq, orDash(c.Expect.Token), value, letter(c.Next), due, openField(target, c.Next.Plan), drop, dead,
	}, nil
}
