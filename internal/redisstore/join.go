package redisstore

import (
	"context"
	_ "embed" // the script
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
)

//go:embed join.lua
var joinSource string

var joinScript = redis.NewScript(joinSource)

// joins gathers those who join batches of one kind at the same time: who comes while a
// script is under way goes with the next one, together with all that came meanwhile.
type joins struct {
	mu      sync.Mutex
	waiting map[joinKind][]*joining // a kind is there while its scripts are being sent
}

// joinKind is what those have in common who share a script.
type joinKind struct {
	target, plan         string
	maxRecords, maxBytes int
	retention            time.Duration
}

// joining is one who waits for having joined.
type joining struct {
	id     string
	g      tracking.Gathering
	joined tracking.Joined
	err    error
	done   chan struct{}
}

// joinedAtOnce bounds what one script does, for it stops everybody else.
const joinedAtOnce = 100

// joinPatience bounds one script. Whoever joined all the same may join again.
const joinPatience = 5 * time.Second

// Join implements tracking.Store.
func (s *Store) Join(ctx context.Context, ref tracking.Ref, g tracking.Gathering) (tracking.Joined, error) {
	j := &joining{id: ref.Tracking, g: g, done: make(chan struct{})}
	kind := joinKind{ref.Target, g.Plan, g.MaxRecords, g.MaxBytes, g.Retention}
	s.joins.mu.Lock()
	queue, sending := s.joins.waiting[kind]
	s.joins.waiting[kind] = append(queue, j)
	s.joins.mu.Unlock()
	if !sending {
		go s.sendJoins(context.WithoutCancel(ctx), kind)
	}
	select {
	case <-j.done:
		return j.joined, j.err
	case <-ctx.Done():
		return tracking.Joined{}, unavailable("join a batch", ctx.Err())
	}
}

// sendJoins sends until nobody of the kind waits.
func (s *Store) sendJoins(ctx context.Context, kind joinKind) {
	for {
		s.joins.mu.Lock()
		queue := s.joins.waiting[kind]
		lot := queue[:min(len(queue), joinedAtOnce)]
		if len(lot) == 0 {
			delete(s.joins.waiting, kind)
			s.joins.mu.Unlock()
			return
		}
		s.joins.waiting[kind] = queue[len(lot):]
		s.joins.mu.Unlock()
		err := s.join(ctx, kind, lot)
		for _, j := range lot {
			j.err = err
			close(j.done)
		}
	}
}

func (s *Store) join(ctx context.Context, kind joinKind, lot []*joining) error {
	ctx, cancel := context.WithTimeout(ctx, joinPatience)
	defer cancel()
	first := lot[0].g
	shard, err := keysOf(first.Candidate)
	if err != nil {
		return err
	}
	value, err := encodeDelivery(first.Batch())
	if err != nil {
		return err
	}
	keys := append(make([]string, 0, 3+len(lot)), gatheringKey(shard), dueKey(shard), openKey(shard))
	args := append(make([]any, 0, 8+4*len(lot)), kind.target, openField(kind.target, kind.plan),
		targetFields([]tracking.TargetRef{{Name: kind.target}})[1], millis(kind.retention)+" 0", value,
		first.Until.UnixMilli(), kind.maxRecords, kind.maxBytes)
	for _, j := range lot {
		keys = append(keys, recordKey(shard, j.g.Candidate))
		args = append(args, j.id, j.g.Candidate, j.g.Size, j.g.TraceParent)
	}
	answer, err := s.run(ctx, joinScript, keys, args...).StringSlice()
	if err != nil {
		return unavailable("join a batch", err)
	}
	for i, j := range lot {
		a := answer[5*i:]
		j.joined = tracking.Joined{
			Batch: tracking.Ref{Tracking: a[0], Target: kind.target}, Seq: int(atoi64(a[1])),
			Began: a[2] == "1", Full: a[3] == "1", Place: int(atoi64(a[4])),
		}
	}
	return nil
}
