package dispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"headgate/dispatch/tracking"
)

// Verb is what is done to many dead letters.
type Verb string

// The verbs.
const (
	VerbReplay Verb = "replay"
	VerbDrop   Verb = "drop"
)

// BulkOrder is work on many dead letters: those that Query selects, or those of Refs.
type BulkOrder struct {
	Verb   Verb
	Query  tracking.DeadQuery // its Cursor goes on where an earlier order ended
	Refs   []tracking.Ref
	Replay ReplayOrder // for VerbReplay; without a payload
	DryRun bool        // count only
	// Rate is how many are done in a second; 0: as many as can be.
	Rate float64
}

// Progress of a BulkOrder. Numbers are of this order, not of those it goes on from.
type Progress struct {
	Matched int // looked at
	Done    int // replayed or dropped
	Skipped int // changed or gone meanwhile, or cannot be replayed
	// Cursor goes on after what was looked at; empty at the end, and for Refs.
	Cursor string
	// Finished: nothing is left.
	Finished bool
	// Problem tells of one that was skipped.
	Problem *SkippedLetter
}

// SkippedLetter is a dead letter that was left as it is.
type SkippedLetter struct {
	tracking.Ref
	Why string
}

// reportEvery is how often progress is told when nothing else is to be told. It also is
// how soon a client that went away is noticed.
const reportEvery = 250 * time.Millisecond

// Bulk carries the order out and tells report how it goes: after the first one, about
// every quarter of a second, of each one that is skipped, and at the end. It ends early
// with ctx or with report's error; the progress it gives then has the cursor to go on
// from. Going on misses none and does none twice: one that fails again meanwhile is in a
// later listing.
func (o *Operator) Bulk(ctx context.Context, order BulkOrder, report func(Progress) error) (Progress, error) {
	order.Replay.mass = true
	b := &bulk{o: o, order: order, report: report, started: time.Now(), told: time.Now()}
	if len(order.Refs) > 0 {
		for _, ref := range order.Refs {
			if err := b.one(ctx, ref, nil); err != nil {
				return b.Progress, err
			}
		}
		return b.finish()
	}
	b.Cursor = order.Query.Cursor
	for q := order.Query; ; {
		page, err := o.Store.DeadLetters(ctx, q)
		if err != nil {
			return b.Progress, err
		}
		for i := range page.Letters {
			if err := b.one(ctx, page.Letters[i].Ref, &page.Letters[i]); err != nil {
				return b.Progress, err
			}
		}
		if page.Next == "" {
			return b.finish()
		}
		q.Cursor, b.Cursor = page.Next, page.Next
		if time.Since(b.told) >= reportEvery {
			if err := b.tell(); err != nil {
				return b.Progress, err
			}
		}
	}
}

// bulk is one order under way.
type bulk struct {
	Progress
	o       *Operator
	order   BulkOrder
	report  func(Progress) error
	started time.Time
	told    time.Time
}

func (b *bulk) finish() (Progress, error) {
	b.Finished, b.Cursor = true, ""
	return b.Progress, b.report(b.Progress)
}

// one does one letter; of an explicit list, letter is nil.
func (b *bulk) one(ctx context.Context, ref tracking.Ref, letter *tracking.Letter) error {
	if err := b.pace(ctx); err != nil {
		return err
	}
	b.Matched++
	err := b.do(ctx, ref, letter)
	why, skip := refusal(err)
	if b.order.Verb == VerbDrop && errors.Is(err, tracking.ErrNotFound) {
		why = "it is not among the dead letters: dropped or replayed already, kept no longer, or never one" // its record may well be there
	}
	switch {
	case skip:
		b.Skipped++
		b.Problem = &SkippedLetter{Ref: ref, Why: why}
	case err != nil:
		return fmt.Errorf("%s %s of %s: %w", b.order.Verb, ref.Target, ref.Tracking, err)
	default:
		b.Done++
	}
	if letter != nil {
		b.Cursor = letter.Cursor
	}
	if b.Problem != nil || b.Matched == 1 || time.Since(b.told) >= reportEvery {
		return b.tell()
	}
	return nil
}

func (b *bulk) do(ctx context.Context, ref tracking.Ref, letter *tracking.Letter) error {
	if b.order.DryRun || b.order.Verb == VerbDrop {
		if b.order.DryRun {
			return b.exists(ctx, ref, letter)
		}
		return b.o.Drop(ctx, ref)
	}
	if letter == nil {
		_, err := b.o.Replay(ctx, ref, b.order.Replay)
		return err
	}
	_, err := b.o.replay(ctx, letter, b.order.Replay)
	return err
}

// exists is what a dry run of an explicit list looks at; of a listing it is known.
func (b *bulk) exists(ctx context.Context, ref tracking.Ref, letter *tracking.Letter) error {
	if letter != nil {
		return nil
	}
	_, err := b.o.Store.Letter(ctx, ref)
	return err
}

// pace waits until the next one's time, and tells meanwhile that the work goes on.
func (b *bulk) pace(ctx context.Context) error {
	if b.order.Rate <= 0 || b.order.DryRun {
		return ctx.Err()
	}
	at := b.started.Add(time.Duration(float64(b.Matched) / b.order.Rate * float64(time.Second)))
	for {
		left := time.Until(at)
		if left <= 0 {
			return ctx.Err()
		}
		timer := time.NewTimer(min(left, reportEvery))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		if time.Since(b.told) >= reportEvery {
			if err := b.tell(); err != nil {
				return err
			}
		}
	}
}

func (b *bulk) tell() error {
	b.told = time.Now()
	err := b.report(b.Progress)
	b.Problem = nil
	return err
}
