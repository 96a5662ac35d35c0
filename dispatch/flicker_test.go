package dispatch_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"headgate/dispatch/tracking"
)

// flickering is a store that is away for some of the calls of runs, counted from the first one.
// With lost it does what it is asked and only its answer does not come.
type flickering struct {
	tracking.Store
	lost        bool
	calls       int
	from, until int
}

func (f *flickering) call(do func() error) error {
	f.calls++
	away := f.from <= f.calls && f.calls < f.until
	if away && !f.lost {
		return tracking.ErrUnavailable
	}
	err := do()
	if away && err == nil {
		return fmt.Errorf("no answer: %w", tracking.ErrUnavailable)
	}
	return err
}

func (f *flickering) Claim(ctx context.Context, ref tracking.Ref, seq int, token string, hold time.Duration) (out *tracking.Claimed, err error) {
	err = f.call(func() (err error) { out, err = f.Store.Claim(ctx, ref, seq, token, hold); return err })
	return out, err
}

func (f *flickering) Apply(ctx context.Context, ref tracking.Ref, expect tracking.Fence, next tracking.Delivery) error {
	return f.call(func() error { return f.Store.Apply(ctx, ref, expect, next) })
}

func (f *flickering) Join(ctx context.Context, ref tracking.Ref, g tracking.Gathering) (out tracking.Joined, err error) {
	err = f.call(func() (err error) { out, err = f.Store.Join(ctx, ref, g); return err })
	return out, err
}

func (f *flickering) Seal(ctx context.Context, batch tracking.Ref, last int) (out []string, err error) {
	err = f.call(func() (err error) { out, err = f.Store.Seal(ctx, batch, last); return err })
	return out, err
}

func (f *flickering) Board(ctx context.Context, batch tracking.Ref, ids []string, send bool) (out []tracking.Member, err error) {
	err = f.call(func() (err error) { out, err = f.Store.Board(ctx, batch, ids, send); return err })
	return out, err
}

func (f *flickering) ApplyAll(ctx context.Context, target string, changes []tracking.Change) error {
	return f.call(func() error { return f.Store.ApplyAll(ctx, target, changes) })
}

func (f *flickering) Judge(ctx context.Context, batch tracking.Ref, ends map[string]tracking.End, keep time.Duration) error {
	return f.call(func() error { return f.Store.Judge(ctx, batch, ends, keep) })
}

func (f *flickering) Ends(ctx context.Context, batch tracking.Ref, ids []string) (out map[string]tracking.End, err error) {
	err = f.call(func() (err error) { out, err = f.Store.Ends(ctx, batch, ids); return err })
	return out, err
}

func (f *flickering) Settled(ctx context.Context, batch tracking.Ref, ids []string) error {
	return f.call(func() error { return f.Store.Settled(ctx, batch, ids) })
}

// A run whose store is away for three calls in a row leaves no claim behind that has to come to
// its end first, whichever calls they are: with them it would be half a minute until
// somebody goes on.
func TestStoreFlickers(t *testing.T) {
	for _, lost := range []bool{false, true} {
		for from, calls := 1, 1; from <= calls; from++ {
			store := &flickering{lost: lost, from: from, until: from + 3}
			t.Run(fmt.Sprintf("lost=%v/%d", lost, from), func(t *testing.T) {
				w := newBatchWorld(t, `{max_records: 2, linger: 1s}`, tracking.Concluded{State: tracking.Warned, Message: "so so"})
				store.Store = w.store
				w.runner.Store = store
				began := w.clock.Now()
				first, queued := w.member(t, `{}`)
				second, more := w.member(t, `{}`)
				w.finish(t, append(queued, more...)...)
				batch := ""
				for _, ref := range []tracking.Ref{first, second} {
					d := w.track(t, ref)
					if d.State != tracking.Warned {
						t.Errorf("a member is %s in phase %c", d.State, d.Phase)
					}
					batch = d.Batch
				}
				if d, err := w.store.Load(t.Context(), batch); err != nil {
					t.Error(err)
				} else if d := d.Deliveries["crm"]; !d.State.Final() {
					t.Errorf("the batch is %s in phase %c", d.State, d.Phase)
				}
				if took := w.clock.Now().Sub(began); took > 5*time.Second {
					t.Errorf("it took %v", took)
				}
				calls = store.calls
			})
		}
	}
}
