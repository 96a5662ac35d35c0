package flow

import (
	"context"
	"time"

	"headgate/config/unit"
)

// tokens are those of the target's rate that this process has leased.
type tokens struct {
	rate  unit.Rate
	have  int
	until time.Time // what was not used by then is void
	due   time.Time // no token before
	owed  int       // came back when they were void here; they belong to the store
}

// Tokens come evenly over the whole span of a rate. A lot is what comes in lotSpan, so
// that a fast target does not cost a round trip for each task; what comes in burstSpan is
// kept when all workers are a little late.
const (
	lotSpan   = 100 * time.Millisecond
	burstSpan = 200 * time.Millisecond
)

// tokenLife is how long a leased token may be kept: kept ones could be used together with
// those of a later time. Lots are no larger than the free slots, so that it matters only
// for a process that is stopped in between.
const tokenLife = time.Second

func (t *tokens) every() time.Duration {
	return max(t.rate.Per/time.Duration(t.rate.Events), time.Microsecond)
}

// in gives how many tokens come in a span, at least one.
func (t *tokens) in(span time.Duration) int { return max(int(span/t.every()), 1) }

// missing gives how many tokens should be leased now; zero with a time when there is
// none until then, zero without when there is a token, or no rate.
func (t *tokens) missing(now time.Time, room int) (want int, until time.Time) {
	switch {
	case t.rate.Events == 0, t.have > 0 && now.Before(t.until):
		return 0, time.Time{}
	case now.Before(t.due):
		return 0, t.due
	}
	return min(t.in(lotSpan), room), time.Time{}
}

// most gives how many of the wanted tokens are there.
func (t *tokens) most(now time.Time, want int) int {
	switch {
	case t.rate.Events == 0:
		return want
	case now.Before(t.until):
		return min(want, t.have)
	}
	return 0
}

func (t *tokens) use() { t.have = max(t.have-1, 0) }

// spare takes a token back that was not needed.
func (t *tokens) spare(now time.Time) {
	if now.Before(t.until) {
		t.have++
		return
	}
	t.owed++
	t.due = time.Time{} // the store has one once it is there
}

// lease asks the store for tokens. While it does not answer there are none: without it
// there is nothing to be taken out either.
func (v *Valve) lease(ctx context.Context, want int) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	v.mu.Lock()
	if v.tokens.rate.Events == 0 { // a reload has just taken the rate away
		v.mu.Unlock()
		return
	}
	rate, every, burst, owed := v.tokens.rate, v.tokens.every(), v.tokens.in(burstSpan), v.tokens.owed
	v.tokens.owed = 0
	v.mu.Unlock()
	if owed > 0 {
		_ = v.flow.o.Store.Return(ctx, v.target, every, owed) // see Empty
	}
	got, after, err := v.flow.o.Store.Lease(ctx, v.target, every, burst, want)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.tokens.rate != rate { // a reload has changed it: when the next token of the former one is due says nothing
		return
	}
	if err != nil {
		got, after = 0, storePause
	}
	now := time.Now()
	v.tokens.have, v.tokens.until = got, now.Add(tokenLife)
	if v.tokens.due = (time.Time{}); got == 0 {
		v.tokens.due = now.Add(after)
	}
}

// storePause is the time between two questions to a store that is away.
const storePause = 200 * time.Millisecond

// Empty says that the target's queues are empty: tokens that are not needed go back, so
// that other workers need not wait for new ones.
func (v *Valve) Empty(ctx context.Context) {
	v.mu.Lock()
	unused, limited := v.tokens.have+v.tokens.owed, v.tokens.rate.Events > 0
	v.tokens.have, v.tokens.owed = 0, 0
	var every time.Duration
	if limited {
		every = v.tokens.every()
	}
	v.mu.Unlock()
	if !limited || unused == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	// Tokens that are lost make the target slower for a moment, never faster.
	_ = v.flow.o.Store.Return(ctx, v.target, every, unused)
}
