package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
)

// CallbackPrefix begins the paths that backends call back under.
const CallbackPrefix = "/callbacks/"

// CallbackURL gives where a backend calls back with a token; empty without a public URL.
func CallbackURL(publicURL, token string) string {
	if publicURL == "" {
		return ""
	}
	return strings.TrimRight(publicURL, "/") + CallbackPrefix + token
}

// CallbackOutcome is what a callback came to.
type CallbackOutcome string

// The outcomes.
const (
	CallbackPolls CallbackOutcome = "polls" // the next poll comes at once
	CallbackKept  CallbackOutcome = "kept"  // a run is under way or comes at once anyway; the poll after it is brought forward
	CallbackLate  CallbackOutcome = "late"  // the delivery has ended, or is forgotten
)

// Callbacks tells backends where to call back, and takes their callbacks. It implements
// what the gateway needs of it.
type Callbacks struct {
	Store tracking.Store
	Queue Queue
	// PublicURL is what backends reach the gateway under; empty: they cannot.
	PublicURL string
	Log       *slog.Logger
}

// URL gives where the backend calls back for a delivery; empty without a public URL. It is
// the same each time.
func (c *Callbacks) URL(ctx context.Context, ref tracking.Ref) (string, error) {
	if c == nil || c.PublicURL == "" {
		return "", nil
	}
	seal, err := c.seal(ctx)
	if err != nil {
		return "", err
	}
	return CallbackURL(c.PublicURL, seal.token(ref)), nil
}

// Open tells which delivery a token stands for; ok is false for one that was never given out.
func (c *Callbacks) Open(ctx context.Context, token string) (ref tracking.Ref, ok bool, err error) {
	seal, err := c.seal(ctx)
	if err != nil {
		return ref, false, err
	}
	ref, ok = seal.ref(token)
	return ref, ok, nil
}

// seal asks for the key each time: a callback is rare beside the records it is about, and no
// process goes on with a key that the others do not have.
func (c *Callbacks) seal(ctx context.Context) (*callbackSeal, error) {
	key, err := c.Store.CallbackKey(ctx)
	if err != nil {
		return nil, err
	}
	return newCallbackSeal(key)
}

// Receive takes a callback for a delivery. It may be repeated; whatever it says, the next poll
// finds out.
func (c *Callbacks) Receive(ctx context.Context, ref tracking.Ref) (CallbackOutcome, error) {
	outcome, err := c.receive(ctx, ref)
	if err == nil {
		c.Log.DebugContext(ctx, "callback", "tracking_id", ref.Tracking, "target", ref.Target, "outcome", string(outcome))
	}
	return outcome, err
}

func (c *Callbacks) receive(ctx context.Context, ref tracking.Ref) (CallbackOutcome, error) {
	d, now, err := c.Store.NoteCallback(ctx, ref)
	switch {
	case errors.Is(err, tracking.ErrNotFound):
		return CallbackLate, nil
	case err != nil:
		return "", err
	case d.State.Final():
		return CallbackLate, nil
	case !tracking.AwaitsPoll(d):
		return CallbackKept, nil
	}
	next := tracking.PollSooner(d, now)
	next.Seq++
	_, failed := c.Store.ApplyWait(ctx, ref, d.Fence, next, next)
	switch {
	case moved(failed): // a run has begun, or another callback was faster; the note is there for it
		return CallbackKept, nil
	case failed != nil && !errors.Is(failed, tracking.ErrUnavailable):
		return "", failed
	}
	// Also when it may have been done: whoever calls back again then finds a poll that comes at once.
	if err := c.Queue.Enqueue(ctx, taskOf(ref, next, now)); err != nil {
		// The row of the delivery brings it; that takes seconds.
		c.Log.WarnContext(ctx, "a poll that a callback asks for is not queued; the reconciler will", "tracking_id", ref.Tracking, "target", ref.Target, "error", err)
	}
	if failed != nil {
		return "", failed
	}
	return CallbackPolls, nil
}

// record writes down what a run came to, and gives that: a callback that came while the run was
// under way, or before it, brings the poll forward that would be next.
func (r *Runner) record(ctx context.Context, ref tracking.Ref, claimed *tracking.Claimed, plan *target.Plan, next tracking.Delivery) (tracking.Delivery, error) {
	if !tracking.AwaitsPoll(next) || !plan.CalledBack() {
		return next, r.apply(ctx, ref, claimed, next)
	}
	sooner := tracking.PollSooner(next, next.PolledAt)
	var called bool
	err := r.write(ctx, ref, func(ctx context.Context) (err error) {
		called, err = r.Store.ApplyWait(ctx, ref, claimed.Delivery.Fence, next, sooner)
		return err
	})
	if called {
		return sooner, err
	}
	return next, err
}
