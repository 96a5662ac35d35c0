package tracking

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"headgate/dispatch/fault"
)

// DeadLetterRetention is how long a dead letter is kept unless the operator says
// otherwise.
const DeadLetterRetention = 30 * 24 * time.Hour

// ErrNoPayload means that a delivery cannot be taken up again as it was: its payload is
// no longer kept.
var ErrNoPayload = errors.New("the payload is no longer kept")

// Interventions is what people do to deliveries: stopping them, and looking after those
// that gave up. It is part of Store.
type Interventions interface {
	// Cancel ends every delivery of the record that is not final and that no run holds,
	// in one step, and gives the record after it. Their rows and payloads go. When the
	// record is another tenant's it is ErrNotFound. Repeating it is harmless.
	Cancel(ctx context.Context, id, tenant string) (*Dispatch, error)

	// DeadLetters lists the deliveries that ended as failed, oldest first, a page at a
	// time. One that has ended longer ago than dead letters are kept is not listed.
	DeadLetters(ctx context.Context, q DeadQuery) (DeadPage, error)
	// Letter reads one delivery with its payload, whatever its state.
	Letter(ctx context.Context, ref Ref) (*Letter, error)
	// Revive replaces a final delivery by next, which is not final, provided that its
	// fence is still expect; else ErrFenced. It is counted as open again, its queued row
	// stands, it leaves the dead letters, and no clock of retention runs: all in one step.
	// payload replaces the one that is kept, nil keeps it; ErrNoPayload when there is none.
	Revive(ctx context.Context, ref Ref, expect Fence, next Delivery, payload json.RawMessage) error
	// DropDeadLetter removes a dead letter and its payload; the delivery stays failed.
	// ErrNotFound when it is none.
	DropDeadLetter(ctx context.Context, ref Ref) error
	// ExpireDeadLetters removes those whose time is over, at most about limit, and tells
	// how many.
	ExpireDeadLetters(ctx context.Context, limit int) (int, error)
}

// Letter is a delivery as those see it who look after dead letters.
type Letter struct {
	Ref
	Route      string
	Tenant     string
	AcceptedAt time.Time
	Delivery   Delivery
	// Dead reports whether it stands among the dead letters; Expires is until when.
	Dead    bool
	Expires time.Time
	Payload json.RawMessage // only from Letter; nil when it is no longer kept
	Cursor  string          // only from DeadLetters: of what follows in the listing
	Now     time.Time       // the store's clock
}

// DeadQuery selects dead letters. Empty fields select all.
type DeadQuery struct {
	Target, Route, Tenant string
	Reason                fault.Reason
	Since, Until          time.Time // when it ended: from Since, before Until
	// Cursor goes on where a page ended. The rest of that listing holds nothing that
	// became a dead letter after the first page: what is replayed and fails again does not
	// come twice.
	Cursor string
	Limit  int // 0 takes 100
}

// DeadPage is a part of a listing.
type DeadPage struct {
	Letters []Letter
	// Next is the cursor of the next page; empty at the end. A page can be short, even
	// empty, without being the last: looking through what a filter leaves out is bounded.
	Next string
}

// Default and largest sizes of a page.
const (
	deadPage    = 100
	maxDeadPage = 1000
)

// Matches reports whether a delivery with its record's fixed part is selected; times are
// seen to by DeadRange.
func (q DeadQuery) Matches(d *Dispatch, target string, delivery Delivery) bool {
	return delivery.State == Failed && (q.Target == "" || q.Target == target) && (q.Route == "" || q.Route == d.Route) &&
		(q.Tenant == "" || q.Tenant == d.Tenant) && (q.Reason == "" || q.Reason == delivery.Reason)
}

// Size is how many letters a page holds.
func (q DeadQuery) Size() int {
	if q.Limit <= 0 {
		return deadPage
	}
	return min(q.Limit, maxDeadPage)
}

// DeadRange is the span of a listing on a store's index, whose rows are ordered by time in
// milliseconds and then by name.
type DeadRange struct {
	From, Until int64 // From is in it, Until is not
	After       DeadMark
}

// DeadMark is the place of a row.
type DeadMark struct {
	At     int64 // when it ended, ms
	Member string
}

// Before reports whether m stands before o.
func (m DeadMark) Before(o DeadMark) bool {
	return m.At < o.At || m.At == o.At && m.Member < o.Member
}

// Range works out what the query may list at the time now when dead letters are kept for
// keep. Errors: ErrInvalid for a cursor that is none.
func (q DeadQuery) Range(now time.Time, keep time.Duration) (DeadRange, error) {
	r := DeadRange{From: now.Add(-keep).UnixMilli() + 1, Until: now.UnixMilli() + 1}
	if !q.Since.IsZero() {
		r.From = max(r.From, q.Since.UnixMilli())
	}
	if !q.Until.IsZero() {
		r.Until = min(r.Until, q.Until.UnixMilli())
	}
	if q.Cursor == "" {
		return r, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(q.Cursor)
	parts := strings.SplitN(string(raw), " ", 3)
	if err != nil || len(parts) != 3 {
		return r, fmt.Errorf("%w: the cursor is not one of ours", ErrInvalid)
	}
	until, untilErr := strconv.ParseInt(parts[0], 10, 64)
	at, atErr := strconv.ParseInt(parts[1], 10, 64)
	if err := errors.Join(untilErr, atErr); err != nil {
		return r, fmt.Errorf("%w: the cursor is not one of ours", ErrInvalid)
	}
	r.After = DeadMark{At: at, Member: parts[2]}
	r.From, r.Until = max(r.From, at), min(r.Until, until)
	return r, nil
}

// Cursor makes the cursor of what follows after a mark.
func (r DeadRange) Cursor(after DeadMark) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %d %s", r.Until, after.At, after.Member))
}

// CheckRevival reports whether next may replace a final delivery that has the fence
// expect. Stores call it before they write.
func CheckRevival(expect Fence, next Delivery) error {
	if next.State.Final() || next.Phase != Queued {
		return fmt.Errorf("%w: a revived delivery is queued, not %s", ErrInvalid, next.State)
	}
	return CheckNext(expect, next)
}

// keySuffix ends the idempotency keys of a replay with new keys. Names of targets and
// steps hold no dot.
func keySuffix(replay int) string { return ".r" + strconv.Itoa(replay) }
