package dispatch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"headgate/dispatch/tracking"
)

// flicker says which calls go wrong: three in a row, counted from the first one. With lost what was
// asked for is done and only its answer does not come. Zero: none.
type flicker struct {
	mu    sync.Mutex
	calls int
	from  int
	lost  bool
	looks bool   // the reconciler's looks are among them
	hit   string // the calls that went wrong
}

// inARow is how many calls go wrong.
const inARow = 3

// look is a call that is made again and again, whatever happens.
func (f *flicker) look(name string, do func() error) error {
	if f.looks {
		return f.call(name, do)
	}
	return do()
}

func (f *flicker) call(name string, do func() error) error {
	f.mu.Lock()
	f.calls++
	away := f.from > 0 && f.from <= f.calls && f.calls < f.from+inARow
	if away {
		f.hit += " " + name
	}
	f.mu.Unlock()
	if away && !f.lost {
		return tracking.ErrUnavailable
	}
	err := do()
	if away && err == nil {
		return errNoAnswer
	}
	return err
}

// errNoAnswer says of what was done that nobody learnt it.
var errNoAnswer = fmt.Errorf("no answer: %w", tracking.ErrUnavailable)

func ask[T any](f *flicker, name string, do func() (T, error)) (out T, err error) {
	call := f.call
	if slices.Contains([]string{"owners", "overdue", "queued", "oldest"}, name) {
		call = f.look
	}
	err = call(name, func() (err error) { out, err = do(); return err })
	if errors.Is(err, errNoAnswer) {
		var none T
		return none, err
	}
	return out, err
}

// flickering is a store that is away now and then.
type flickering struct {
	tracking.Store
	*flicker
}

func (f flickering) Accept(ctx context.Context, a *tracking.Acceptance) (*tracking.IdemRow, error) {
	out, err := ask(f.flicker, "accept", func() (*tracking.IdemRow, error) { return f.Store.Accept(ctx, a) })
	if errors.Is(err, errNoAnswer) {
		err = tracking.ErrOutcomeUnknown
	}
	return out, err
}

func (f flickering) Claim(ctx context.Context, ref tracking.Ref, seq int, token string, hold time.Duration) (*tracking.Claimed, error) {
	return ask(f.flicker, "claim", func() (*tracking.Claimed, error) { return f.Store.Claim(ctx, ref, seq, token, hold) })
}

func (f flickering) Apply(ctx context.Context, ref tracking.Ref, expect tracking.Fence, next tracking.Delivery) error {
	return f.call("apply", func() error { return f.Store.Apply(ctx, ref, expect, next) })
}

func (f flickering) Load(ctx context.Context, id string) (*tracking.Dispatch, error) {
	return ask(f.flicker, "load", func() (*tracking.Dispatch, error) { return f.Store.Load(ctx, id) })
}

func (f flickering) Overdue(ctx context.Context, grace time.Duration, limit int) ([]tracking.Row, error) {
	return ask(f.flicker, "overdue", func() ([]tracking.Row, error) { return f.Store.Overdue(ctx, grace, limit) })
}

func (f flickering) QueuedSince(ctx context.Context, target string, age time.Duration, limit int) ([]tracking.Row, error) {
	return ask(f.flicker, "queued", func() ([]tracking.Row, error) { return f.Store.QueuedSince(ctx, target, age, limit) })
}

func (f flickering) Beat(ctx context.Context, owner string) error {
	return f.look("beat", func() error { return f.Store.Beat(ctx, owner) })
}

func (f flickering) Owners(ctx context.Context) (map[string]int64, error) {
	return ask(f.flicker, "owners", func() (map[string]int64, error) { return f.Store.Owners(ctx) })
}

func (f flickering) Abandoned(ctx context.Context, owner string, limit int) ([]tracking.Row, error) {
	return ask(f.flicker, "abandoned", func() ([]tracking.Row, error) { return f.Store.Abandoned(ctx, owner, limit) })
}

func (f flickering) Forget(ctx context.Context, owner string) error {
	return f.call("forget", func() error { return f.Store.Forget(ctx, owner) })
}

func (f flickering) Touch(ctx context.Context, row tracking.Row) error {
	return f.call("touch", func() error { return f.Store.Touch(ctx, row) })
}

func (f flickering) SavePlan(ctx context.Context, hash string, source []byte) error {
	return f.call("save plan", func() error { return f.Store.SavePlan(ctx, hash, source) })
}

func (f flickering) PlanSource(ctx context.Context, hash string) ([]byte, error) {
	return ask(f.flicker, "plan", func() ([]byte, error) { return f.Store.PlanSource(ctx, hash) })
}

func (f flickering) Join(ctx context.Context, ref tracking.Ref, g tracking.Gathering) (tracking.Joined, error) {
	return ask(f.flicker, "join", func() (tracking.Joined, error) { return f.Store.Join(ctx, ref, g) })
}

func (f flickering) Seal(ctx context.Context, batch tracking.Ref, last int) ([]string, error) {
	return ask(f.flicker, "seal", func() ([]string, error) { return f.Store.Seal(ctx, batch, last) })
}

func (f flickering) Board(ctx context.Context, batch tracking.Ref, ids []string, send bool) ([]tracking.Member, error) {
	return ask(f.flicker, "board", func() ([]tracking.Member, error) { return f.Store.Board(ctx, batch, ids, send) })
}

func (f flickering) ApplyAll(ctx context.Context, target string, changes []tracking.Change) error {
	return f.call("apply all", func() error { return f.Store.ApplyAll(ctx, target, changes) })
}

func (f flickering) Judge(ctx context.Context, batch tracking.Ref, ends map[string]tracking.End, keep time.Duration) error {
	return f.call("judge", func() error { return f.Store.Judge(ctx, batch, ends, keep) })
}

func (f flickering) Ends(ctx context.Context, batch tracking.Ref, ids []string) (map[string]tracking.End, error) {
	return ask(f.flicker, "ends", func() (map[string]tracking.End, error) { return f.Store.Ends(ctx, batch, ids) })
}

func (f flickering) Launch(ctx context.Context, batch tracking.Ref, most int) (bool, error) {
	return ask(f.flicker, "launch", func() (bool, error) { return f.Store.Launch(ctx, batch, most) })
}

func (f flickering) Land(ctx context.Context, batch tracking.Ref) (string, error) {
	return ask(f.flicker, "land", func() (string, error) { return f.Store.Land(ctx, batch) })
}

func (f flickering) Settled(ctx context.Context, batch tracking.Ref, ids []string) error {
	return f.call("settled", func() error { return f.Store.Settled(ctx, batch, ids) })
}

func (f flickering) Enter(ctx context.Context, line, id string) (tracking.Place, error) {
	return ask(f.flicker, "enter", func() (tracking.Place, error) { return f.Store.Enter(ctx, line, id) })
}

func (f flickering) Place(ctx context.Context, line, id string) (tracking.Place, error) {
	return ask(f.flicker, "place", func() (tracking.Place, error) { return f.Store.Place(ctx, line, id) })
}

func (f flickering) Leave(ctx context.Context, line, id string) (tracking.Place, error) {
	return ask(f.flicker, "leave", func() (tracking.Place, error) { return f.Store.Leave(ctx, line, id) })
}

func (f flickering) HasLeft(ctx context.Context, ref tracking.Ref) error {
	return f.call("has left", func() error { return f.Store.HasLeft(ctx, ref) })
}

func (f flickering) CallbackKey(ctx context.Context) ([]byte, error) {
	return ask(f.flicker, "callback key", func() ([]byte, error) { return f.Store.CallbackKey(ctx) })
}

func (f flickering) NoteCallback(ctx context.Context, ref tracking.Ref) (d tracking.Delivery, now time.Time, err error) {
	d, err = ask(f.flicker, "note", func() (d tracking.Delivery, err error) { d, now, err = f.Store.NoteCallback(ctx, ref); return d, err })
	return d, now, err
}

func (f flickering) ApplyWait(ctx context.Context, ref tracking.Ref, expect tracking.Fence, next, sooner tracking.Delivery) (bool, error) {
	return ask(f.flicker, "apply wait", func() (bool, error) { return f.Store.ApplyWait(ctx, ref, expect, next, sooner) })
}

func (f flickering) Cancel(ctx context.Context, id, tenant string) (*tracking.Dispatch, error) {
	return ask(f.flicker, "cancel", func() (*tracking.Dispatch, error) { return f.Store.Cancel(ctx, id, tenant) })
}

func (f flickering) Letter(ctx context.Context, ref tracking.Ref) (*tracking.Letter, error) {
	return ask(f.flicker, "letter", func() (*tracking.Letter, error) { return f.Store.Letter(ctx, ref) })
}

func (f flickering) Revive(ctx context.Context, ref tracking.Ref, expect tracking.Fence, next tracking.Delivery, payload json.RawMessage) error {
	return f.call("revive", func() error { return f.Store.Revive(ctx, ref, expect, next, payload) })
}

func (f flickering) DropDeadLetter(ctx context.Context, ref tracking.Ref) error {
	return f.call("drop", func() error { return f.Store.DropDeadLetter(ctx, ref) })
}
