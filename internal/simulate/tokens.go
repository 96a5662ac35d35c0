package simulate

import (
	"fmt"
	"time"
)

// tokens are the access tokens that a vendor has given out; its owner locks. One ends after its
// life or, when calls is not 0, after it was shown so often: then a client that counts on the
// life alone meets a refusal.
type tokens struct {
	life  time.Duration
	calls int
	now   func() time.Time
	given *history[*token]
	count int
}

type token struct {
	until time.Time
	calls int
}

func newTokens(life time.Duration, calls int, now func() time.Time) *tokens {
	return &tokens{life: life, calls: calls, now: now, given: newHistory[*token]()}
}

// give makes a token.
func (t *tokens) give() string {
	t.count++
	text := fmt.Sprintf("token-%06d", t.count)
	t.given.add(text, &token{until: t.now().Add(t.life)})
	return text
}

// show tells whether a token is known, and whether it is still good.
func (t *tokens) show(text string) (known, good bool) {
	k, known := t.given.get(text)
	if !known {
		return false, false
	}
	k.calls++
	return true, t.now().Before(k.until) && (t.calls == 0 || k.calls <= t.calls)
}
