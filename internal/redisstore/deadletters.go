package redisstore

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
)

const (
	// deadChunk is how many rows of a shard are read ahead.
	deadChunk = 128
	// deadScan bounds how many rows one page looks at: with a filter that nothing fits, a
	// page ends empty and the next one goes on.
	deadScan = 4096
	// deadLoad is how many records are read in one pipeline.
	deadLoad = 128
)

// DeadLetters implements tracking.Store. The shards' rows are merged by time; what is held
// of them is bounded, however many there are.
func (s *Store) DeadLetters(ctx context.Context, q tracking.DeadQuery) (page tracking.DeadPage, err error) {
	now, err := s.now(ctx, deadKey(shardPrefix[0]))
	if err != nil {
		return page, unavailable("list dead letters", err)
	}
	span, err := q.Range(now, s.deadFor)
	if err != nil {
		return page, err
	}
	merge := s.newDeadMerge(span)
	size, seen, last := q.Size(), 0, span.After
	for seen < deadScan {
		marks, err := merge.next(ctx, min(deadLoad, deadScan-seen))
		if err != nil {
			return page, err
		}
		if len(marks) == 0 {
			return page, nil // the end
		}
		letters, err := s.loadLetters(ctx, q, marks)
		if err != nil {
			return page, err
		}
		for i, letter := range letters {
			seen++
			last = marks[i]
			if letter == nil {
				continue
			}
			letter.Dead, letter.Now, letter.Cursor = true, now.UTC().Truncate(time.Millisecond), span.Cursor(last)
			letter.Expires = time.UnixMilli(last.At).UTC().Add(s.deadFor)
			page.Letters = append(page.Letters, *letter)
			if len(page.Letters) == size {
				page.Next = letter.Cursor
				return page, nil
			}
		}
	}
	page.Next = span.Cursor(last)
	return page, nil
}

// loadLetters reads the deliveries of marks; what the query does not select, or is no
// longer there, is nil.
func (s *Store) loadLetters(ctx context.Context, q tracking.DeadQuery, marks []tracking.DeadMark) ([]*tracking.Letter, error) {
	pipe := s.base.Pipeline()
	commands := make([]*redis.SliceCmd, len(marks))
	refs := make([]tracking.Ref, len(marks))
	for i, m := range marks {
		ref, _ := splitMember(m.Member)
		shard, err := keysOf(ref.Tracking)
		if err != nil || q.Target != "" && q.Target != ref.Target {
			continue
		}
		refs[i], commands[i] = ref, pipe.HMGet(ctx, recordKey(shard, ref.Tracking), letterFields(ref.Target)...)
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	out := make([]*tracking.Letter, len(marks))
	for i, c := range commands {
		if c == nil {
			continue
		}
		if c.Err() != nil {
			return nil, unavailable("read dead letters", c.Err())
		}
		letter, err := letterOf(refs[i], c.Val())
		if err != nil {
			continue // gone, or not readable: one record must not hide the others
		}
		d := &tracking.Dispatch{Route: letter.Route, Tenant: letter.Tenant}
		if q.Matches(d, letter.Target, letter.Delivery) {
			out[i] = letter
		}
	}
	return out, nil
}

// deadMerge gives the rows of all shards in one order.
type deadMerge struct {
	store *Store
	until string
	runs  []*deadRun
}

// deadRun is one shard's part: rows that were read ahead, and where they end.
type deadRun struct {
	key   string
	rows  []tracking.DeadMark
	at    tracking.DeadMark // the last row read, or where the listing begins
	skip  int64             // rows of the same time that were read and stand before at
	ended bool
}

func (s *Store) newDeadMerge(span tracking.DeadRange) *deadMerge {
	m := &deadMerge{store: s, until: "(" + strconv.FormatInt(span.Until, 10)}
	for _, shard := range shardPrefix {
		at := span.After
		if at.At < span.From {
			at = tracking.DeadMark{At: span.From}
		}
		m.runs = append(m.runs, &deadRun{key: deadKey(shard), at: at})
	}
	return m
}

// next gives up to n rows; none at the end.
func (m *deadMerge) next(ctx context.Context, n int) ([]tracking.DeadMark, error) {
	var out []tracking.DeadMark
	for len(out) < n {
		if err := m.fill(ctx); err != nil {
			return nil, err
		}
		var first *deadRun
		for _, r := range m.runs {
			if len(r.rows) > 0 && (first == nil || r.rows[0].Before(first.rows[0])) {
				first = r
			}
		}
		if first == nil {
			break
		}
		out = append(out, first.rows[0])
		first.rows = first.rows[1:]
	}
	return out, nil
}

// fill reads ahead in every shard that has no row left: without its next one nobody can
// tell which row is the next of all.
func (m *deadMerge) fill(ctx context.Context) error {
	for {
		pipe := m.store.base.Pipeline()
		commands := map[*deadRun]*redis.ZSliceCmd{}
		for _, r := range m.runs {
			if len(r.rows) == 0 && !r.ended {
				commands[r] = pipe.ZRangeByScoreWithScores(ctx, r.key, &redis.ZRangeBy{
					Min: strconv.FormatInt(r.at.At, 10), Max: m.until, Offset: r.skip, Count: deadChunk,
				})
			}
		}
		if len(commands) == 0 {
			return nil
		}
		if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
			return unavailable("list dead letters", err)
		}
		for r, c := range commands {
			r.take(c.Val())
		}
	}
}

// take puts the rows aside that stand after the place reached. Rows that were removed
// meanwhile cannot make it miss any: it asks from the time it has reached, and skips only
// within that one millisecond.
func (r *deadRun) take(rows []redis.Z) {
	before := r.at
	for _, z := range rows {
		name, _ := z.Member.(string)
		mark := tracking.DeadMark{At: int64(z.Score), Member: name}
		if before.Before(mark) {
			r.rows = append(r.rows, mark)
			r.at = mark
		}
	}
	switch {
	case len(rows) < deadChunk:
		r.ended = true
	case len(r.rows) == 0:
		r.skip += deadChunk
	default:
		r.skip = 0
	}
}

// noNil takes the error away that says that there is no value.
func noNil(err error) error {
	if errors.Is(err, redis.Nil) {
		return nil
	}
	return err
}
