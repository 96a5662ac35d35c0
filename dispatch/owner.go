package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"headgate/dispatch/tracking"
)

// The clock of take-over. A process that showed no sign of life for ownerTimeout is
// taken for dead; one that could not show any for ownerTerm ends its own calls before
// that, so that no two processes talk to a backend for the same delivery.
const (
	beatInterval = 2 * time.Second
	beatRetry    = 250 * time.Millisecond // after one that failed
	ownerTerm    = 6 * time.Second
	ownerTimeout = 9 * time.Second
)

// Owner is this process as the holder of claims. It shows signs of life in the store;
// when it cannot, its calls end in time.
type Owner struct {
	ID    string
	store tracking.Store
	log   *slog.Logger

	mu    sync.Mutex
	term  context.Context //nolint:containedctx // the term is what runs share: it ends when they must
	end   context.CancelFunc
	begun chan struct{}   // closed when a term begins; made anew when it ends
	runs  map[string]bool // tokens of the runs under way
}

// errTermOver is the cause with which calls end when no sign of life could be given.
var errTermOver = errors.New("no sign of life could be given in time")

// NewOwner makes an owner whose first term has begun. Run keeps it alive.
func NewOwner(store tracking.Store, log *slog.Logger) *Owner {
	o := &Owner{ID: tracking.NewOwner(), store: store, log: log, runs: map[string]bool{}}
	o.begin()
	return o
}

// run names a new run of this process and keeps its token until end is called. After
// that nothing is changed under the token any longer.
func (o *Owner) run() (token string, end func()) {
	token = tracking.NewToken(o.ID)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.runs[token] = true
	return token, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.runs, token)
	}
}

// ended reports whether a token is of a run of this process that is over. A claim under
// it is nobody's: it was carried out after its run had given up waiting for an answer, or
// a fail-over of the store took back what the run had written.
func (o *Owner) ended(token string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return tracking.OwnerOf(token) == o.ID && !o.runs[token]
}

// begin starts a term; those of the last one have ended.
func (o *Owner) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.term != nil && o.term.Err() == nil {
		return
	}
	term, end := context.WithCancelCause(context.Background())
	o.term, o.end = term, func() { end(errTermOver) }
	if o.begun == nil {
		o.begun = make(chan struct{})
	}
	close(o.begun)
}

// over ends the term; false when it had ended before.
func (o *Owner) over() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.term.Err() != nil {
		return false
	}
	o.begun = make(chan struct{})
	o.end()
	return true
}

// await waits until a term is in force: while none is, nothing may be claimed.
func (o *Owner) await(ctx context.Context) error {
	o.mu.Lock()
	begun := o.begun
	o.mu.Unlock()
	select {
	case <-begun:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// bind gives a context that also ends when the owner's term does; cancel releases it.
// When the term is over already it gives an error: a call that would be cut short at
// once must not begin, for the backend might see it all the same.
func (o *Owner) bind(ctx context.Context) (bound context.Context, cancel context.CancelFunc, err error) {
	o.mu.Lock()
	term := o.term
	o.mu.Unlock()
	if term.Err() != nil {
		return nil, nil, errTermOver
	}
	bound, end := context.WithCancelCause(ctx)
	stop := context.AfterFunc(term, func() { end(errTermOver) })
	return bound, func() { stop(); end(nil) }, nil
}

// Run shows signs of life until ctx ends, and then takes this process off the list.
func (o *Owner) Run(ctx context.Context) {
	last := time.Now()
	for {
		pause := beatInterval
		if err := o.beat(ctx); err == nil {
			last = time.Now()
			o.begin()
		} else if pause = beatRetry; ctx.Err() != nil {
			// Stopping; see below.
		} else if since := time.Since(last); since > ownerTerm-beatInterval && o.over() {
			o.log.WarnContext(ctx, "no sign of life can be given; calls are ended before others take over", "for_ms", since.Milliseconds(), "error", err)
		}
		select {
		case <-ctx.Done():
			o.leave(ctx)
			return
		case <-time.After(pause):
		}
	}
}

func (o *Owner) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, beatInterval)
	defer cancel()
	return o.store.Beat(ctx, o.ID)
}

// leave spares the others the wait, provided that nothing is held any longer.
func (o *Owner) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), beatInterval)
	defer cancel()
	if rows, err := o.store.Abandoned(ctx, o.ID, 1); err == nil && len(rows) == 0 {
		_ = o.store.Forget(ctx, o.ID) // otherwise the others find out that it is gone
	}
	o.over()
}

// census tells which owners are dead. Time is this process's own monotonic clock and
// counts only while the store answers: after a stall everybody looks dead, so everybody
// is seen anew.
type census struct {
	seen     map[string]sighting
	last     time.Time // when the owners were last counted
	answered time.Time // until when the store is known to have answered
}

type sighting struct {
	count int64
	at    time.Time
}

// dead gives the owners that showed no sign of life for ownerTimeout, given the counts
// of now. gap is the longest time between two looks that is no stall.
func (c *census) dead(counts map[string]int64, now time.Time, gap time.Duration) []string {
	if c.seen == nil || now.Sub(c.answered) > gap {
		c.seen = map[string]sighting{}
	}
	c.last, c.answered = now, now
	var out []string
	for owner, count := range counts {
		s, known := c.seen[owner]
		if !known || s.count != count {
			c.seen[owner] = sighting{count: count, at: now}
			continue
		}
		if now.Sub(s.at) > ownerTimeout {
			out = append(out, owner)
		}
	}
	for owner := range c.seen {
		if _, ok := counts[owner]; !ok {
			delete(c.seen, owner)
		}
	}
	return out
}

// alive reports whether the owner is on the list and not dead, as of the last look.
func (c *census) alive(owner string) bool {
	s, ok := c.seen[owner]
	return ok && c.last.Sub(s.at) <= ownerTimeout
}

// reset forgets what was seen: the store did not answer.
func (c *census) reset() { c.seen = nil }

// Alive counts the worker processes that show signs of life, from looks at Owners. One that is
// new, or was not looked at before, counts.
type Alive struct {
	mu     sync.Mutex
	census census
}

// Count gives how many there are, given the counts of now. Looks may be any time apart: one
// whose count has not changed within ownerTimeout is none.
func (a *Alive) Count(counts map[string]int64) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(counts) - len(a.census.dead(counts, time.Now(), anyGap))
}

// Stalled says that the store did not answer: nobody could show life meanwhile.
func (a *Alive) Stalled() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.census.reset()
}

const anyGap = 1<<63 - 1
