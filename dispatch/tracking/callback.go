package tracking

import (
	"context"
	"time"
)

// A backend may call back when its job has ended. A callback is never believed: it brings the
// next poll forward, and nothing else. It is noted beside the delivery and not in it, so that it
// changes nothing that a run holds, and stays there until a poll that came to "not yet" has
// taken it into account.

// CallbackGap is the least time between two polls of a job that callbacks bring about.
const CallbackGap = time.Second

// CallbackKeySize is the size of the key that Callbacks.CallbackKey gives, in bytes.
const CallbackKeySize = 32

// Callbacks is the part of Store that knows who was called back for.
type Callbacks interface {
	// CallbackKey gives the key of all processes that share the store. The first who asks makes it.
	CallbackKey(ctx context.Context) ([]byte, error)
	// NoteCallback notes a callback for a delivery, unless that has ended, and gives the
	// delivery as it stands, with the store's clock.
	NoteCallback(ctx context.Context, ref Ref) (d Delivery, now time.Time, err error)
	// ApplyWait does what Apply does. When a callback has been noted, it writes sooner instead
	// of next, and the note is gone. It reports which one it wrote.
	ApplyWait(ctx context.Context, ref Ref, expect Fence, next, sooner Delivery) (called bool, err error)
}

// AwaitsPoll reports whether the delivery waits for its next poll because the backend's job
// was not over at the last one. A poll after one that failed has a budget and a time of its own.
func AwaitsPoll(d Delivery) bool {
	return d.State == Waiting && d.Phase == Scheduled && !d.PolledAt.IsZero()
}

// PollSooner gives a delivery that awaits a poll with its poll brought forward, as a callback
// at the time now asks for: at once, but not within CallbackGap of the last poll, and never
// later than planned. The fence is left to the caller. It is pure.
func PollSooner(d Delivery, now time.Time) Delivery {
	at := d.PolledAt.Add(CallbackGap)
	switch {
	case !at.After(now):
		d.Phase, d.Lane, d.NextAt = Queued, LaneResume, time.Time{}
	case at.Before(d.NextAt):
		d.NextAt = at
	}
	return d
}
