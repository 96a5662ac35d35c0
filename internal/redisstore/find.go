package redisstore

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/tracking"
)

// What one page may cost: a new round begins only while both bounds hold. After each round
// there is a pause as long as it took, so that looking takes half of the time at most.
const (
	findTime  = 2 * time.Second
	findRows  = 50_000
	findRound = 500 // keys, or rows, that a round goes through
	findLoad  = 100 // records that one pipeline reads whole
	findPause = 50 * time.Millisecond
)

// Find looks for dispatches. There is no index of all of them, since it would cost every
// accept: an idempotency key is looked up, what is under way is found by its rows, what
// failed by its dead letters, and for anything else the records are gone through, a bounded
// part of them for each page. A page is sorted, newest first; the pages are not. Errors:
// tracking.ErrInvalid for a query or cursor that is none, tracking.ErrUnavailable.
func (s *Store) Find(ctx context.Context, q tracking.FindQuery) (tracking.FindPage, error) {
	f := finding{s: s, q: q, size: q.Size(), begun: time.Now()}
	err := q.Check()
	if err != nil {
		return f.page, err
	}
	by := wayOf(q)
	place, err := openCursor(by, q.Cursor)
	if err != nil {
		return f.page, err
	}
	f.page.By = by
	switch by {
	case tracking.FindByDue:
		err = f.due(ctx, place)
	case tracking.FindByDead:
		err = f.dead(ctx, place)
	case tracking.FindByKey, tracking.FindByScan:
		if q.IdemHash != "" && place == "" {
			if err := f.key(ctx); err != nil || len(f.page.Dispatches) > 0 {
				f.page.By = tracking.FindByKey
				return f.page, err
			}
		}
		err = f.scan(ctx, place)
	}
	slices.SortStableFunc(f.page.Dispatches, func(a, b *tracking.Dispatch) int {
		return cmp.Or(b.AcceptedAt.Compare(a.AcceptedAt), strings.Compare(a.ID, b.ID))
	})
	return f.page, err
}

// wayOf decides how a query is answered, in the same way for each of its pages.
func wayOf(q tracking.FindQuery) tracking.FindBy {
	switch {
	case q.IdemHash != "":
		return tracking.FindByScan // after its own look-up; the key may be forgotten before the record
	case q.UnderWay():
		return tracking.FindByDue
	case q.Target != "" && q.State == string(tracking.Failed):
		return tracking.FindByDead
	}
	return tracking.FindByScan
}

// A cursor is the way it belongs to and a place that only this way can read.
func makeCursor(by tracking.FindBy, place string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(string(by) + " " + place))
}

func openCursor(by tracking.FindBy, cursor string) (place string, err error) {
	if cursor == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	of, place, ok := strings.Cut(string(raw), " ")
	switch {
	case err != nil || !ok || place == "":
		return "", errBadCursor
	case of != string(by):
		return "", fmt.Errorf("%w: the cursor belongs to another search: repeat it with the filters that it was printed for", tracking.ErrInvalid)
	}
	return place, nil
}

var errBadCursor = fmt.Errorf("%w: the cursor is not one of ours", tracking.ErrInvalid)

// finding is one page on its way.
type finding struct {
	s     *Store
	q     tracking.FindQuery
	size  int
	page  tracking.FindPage
	begun time.Time
	round time.Time // when the round under way began; zero before the first has ended
}

// enough reports whether the page is to end: it is full, or has cost what it may. The first
// round is always made, so that each page gets on.
func (f *finding) enough() bool {
	return len(f.page.Dispatches) >= f.size || !f.round.IsZero() && (f.page.Looked >= findRows || time.Since(f.begun) >= findTime)
}

// breathe leaves Redis to others after a round.
func (f *finding) breathe(ctx context.Context) error {
	if f.round.IsZero() {
		f.round = f.begun
	}
	pause := time.NewTimer(min(time.Since(f.round), findPause))
	defer pause.Stop()
	select {
	case <-ctx.Done():
		return unavailable("find dispatches", ctx.Err())
	case <-pause.C:
	}
	f.round = time.Now()
	return nil
}

func (f *finding) has(id string) bool {
	return slices.ContainsFunc(f.page.Dispatches, func(d *tracking.Dispatch) bool { return d.ID == id })
}

// key looks the idempotency key up.
func (f *finding) key(ctx context.Context) error {
	row, err := f.s.Idem(ctx, f.q.IdemHash)
	if err != nil && !errors.Is(err, tracking.ErrOutcomeUnknown) || row == nil {
		return err
	}
	found, err := f.load(ctx, []string{row.ID})
	if err == nil && f.q.MayFit(row.ID) {
		f.page.Looked++
		f.page.Dispatches = found
	}
	return err
}

// load reads the records and gives those that fit. Where a filter is about what never
// changes, that is read before: most fall through there.
func (f *finding) load(ctx context.Context, ids []string) (out []*tracking.Dispatch, err error) {
	if q := f.q; q.Route != "" || q.Tenant != "" || q.IdemHash != "" || !q.Since.IsZero() || !q.Until.IsZero() {
		if ids, err = f.pick(ctx, ids); err != nil {
			return nil, err
		}
	}
	for part := range slices.Chunk(ids, findLoad) {
		pipe := f.s.base.Pipeline()
		commands := make([]*redis.MapStringStringCmd, len(part))
		for i, id := range part {
			shard, _ := keysOf(id) // MayFit has looked
			commands[i] = pipe.HGetAll(ctx, recordKey(shard, id))
		}
		_, _ = pipe.Exec(ctx) // each command has its own error
		for i, c := range commands {
			if c.Err() != nil {
				return nil, unavailable("read records", c.Err())
			}
			d, err := recordOf(part[i], c.Val())
			if err == nil && f.q.Fits(d) { // one that is gone, or not readable, must not hide the others
				out = append(out, d)
			}
		}
	}
	return out, nil
}

// pick gives those whose fixed part fits.
func (f *finding) pick(ctx context.Context, ids []string) (out []string, err error) {
	pipe := f.s.base.Pipeline()
	commands := make([]*redis.SliceCmd, len(ids))
	for i, id := range ids {
		shard, _ := keysOf(id)
		commands[i] = pipe.HMGet(ctx, recordKey(shard, id), "a", "n", "r", "k")
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for i, c := range commands {
		if c.Err() != nil {
			return nil, unavailable("read records", c.Err())
		}
		var text [4]string
		for j, v := range c.Val() {
			text[j], _ = v.(string)
		}
		d := &tracking.Dispatch{AcceptedAt: time.UnixMilli(atoi64(text[0])).UTC(), Tenant: text[1], Route: text[2], IdemHash: text[3]}
		if text[0] != "" && f.q.FitsFixed(d) {
			out = append(out, ids[i])
		}
	}
	return out, nil
}

// dead goes through the dead letters of a target.
func (f *finding) dead(ctx context.Context, place string) error {
	// It ended after it was accepted.
	letters, err := f.s.DeadLetters(ctx, tracking.DeadQuery{
		Target: f.q.Target, Route: f.q.Route, Tenant: f.q.Tenant, Since: f.q.Since, Cursor: place, Limit: f.size,
	})
	if err != nil {
		return err
	}
	ids := make([]string, 0, len(letters.Letters))
	for i := range letters.Letters {
		if id := letters.Letters[i].Tracking; f.q.MayFit(id) {
			ids = append(ids, id)
		}
	}
	f.page.Looked = len(letters.Letters)
	if letters.Next != "" {
		f.page.Next = makeCursor(tracking.FindByDead, letters.Next)
	}
	f.page.Dispatches, err = f.load(ctx, ids)
	return err
}
