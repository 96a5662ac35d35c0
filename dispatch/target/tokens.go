package target

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"headgate/config/secret"
	"headgate/dispatch/fault"
	"headgate/dispatch/trace"
)

// Tokens keeps access and refresh tokens, and what setups found, where all workers find them. A
// value is sealed: whoever reads it there learns nothing. Names hold letters and digits only.
type Tokens interface {
	// Get gives a value and how long it is still good, nothing or less if it has no end;
	// nil when there is no value.
	Get(ctx context.Context, name string) (value []byte, left time.Duration, err error)
	// Put replaces the value. It is gone when ttl is over; with 0 it stays.
	Put(ctx context.Context, name string, value []byte, ttl time.Duration) error
	// Drop removes the value if it is still this one.
	Drop(ctx context.Context, name string, value []byte) error
	// Lock lets one worker at a time ask for a token. It ends by itself when ttl is over,
	// or before with unlock, which does nothing to the lock of another. ok is false while
	// somebody else has it.
	Lock(ctx context.Context, name string, ttl time.Duration) (unlock func(), ok bool, err error)
}

const (
	// tokenLook is how often those who wait for the token of another worker look for it.
	tokenLook = 50 * time.Millisecond
	// fetchTimeout bounds one request for a token; a call's own time-out may be shorter.
	fetchTimeout = 10 * time.Second
	// lockMargin is how much longer than the request its lock is held: what comes before
	// and after takes a few commands to the store.
	lockMargin = 2 * time.Second
	// dropGap is the time in which a process drops no second token of a grant. A backend
	// that refuses whatever it is shown must not make each of its calls fetch another one.
	dropGap = 5 * time.Second
)

// tokenCache gives the access tokens of an engine's calls, and what its setups found.
type tokenCache struct {
	shared    Tokens // nil: nobody else has them
	transport http.RoundTripper
	log       *slog.Logger
	trace     trace.Tracer
	mu        sync.Mutex
	sources   map[string]*source // by grant
	detach    sync.WaitGroup     // searches that outlive their runs
}

// accessToken is a token and where it came from.
type accessToken struct {
	text   string
	fields map[string]any // what grant.fields names of the answer that it came in
	name   string         // in Tokens; it changes with the client's secret
	sealed []byte         // as it is there, different for each token that was fetched
	until  time.Time
}

// source is one grant in this process.
type source struct {
	// turn holds one item while a run looks for a token or asks for one; the others wait.
	turn chan struct{}

	mu        sync.Mutex
	have      accessToken
	unsaved   refreshToken // newer than the fleet's; whoever has the turn may look
	droppedAt time.Time
	failed    *fault.Fault // how the last search ended, nil: well
	failedAt  time.Time
}

func (c *tokenCache) source(id string) *source {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sources[id]
	if s == nil {
		s = &source{turn: make(chan struct{}, 1)}
		c.sources[id] = s
	}
	return s
}

// current gives the token at hand if it is the secret's and still good.
func (s *source) current(name string) (accessToken, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.have, s.have.name == name && time.Now().Before(s.have.until)
}

// authorize gives a request that needs an access token one. No cache has none to give: a
// placeholder is sent.
func (c *tokenCache) authorize(outer, ctx context.Context, r *request) (f *fault.Fault) {
	if r.oauth == nil {
		return nil
	}
	if c == nil {
		r.set("Authorization", r.oauth.prefix+"access-token")
		return nil
	}
	if r.token, f = c.get(outer, ctx, r.oauth); f != nil {
		return f
	}
	r.set("Authorization", r.oauth.prefix+r.token.text)
	r.secrets = append(r.secrets, r.token.text)
	return nil
}

// get gives a token for a call: the one at hand, the fleet's, or a new one. It does not
// outlast ctx, which is the call's; outer is that of the run.
func (c *tokenCache) get(outer, ctx context.Context, cl *client) (accessToken, *fault.Fault) {
	return c.share(outer, ctx, &errand{
		id: cl.id, what: cl.what, secrets: cl.secrets, rotates: cl.rotates(), atMost: fetchTimeout, late: lateToken,
		fetch: func(outer, ctx context.Context, s *source, v *vault) (accessToken, *fault.Fault) {
			return c.fetch(outer, ctx, s, cl, v)
		},
	})
}

// errand is how a text that all workers may use is got: an access token, or what a setup found.
type errand struct {
	id      string // its source in this process
	what    string // all that decides which text is got, but for the secrets
	secrets []secret.Value
	// rotates: each time may change what the next one is asked for with. Then whoever asks must
	// know what the others did.
	rotates bool
	atMost  time.Duration // how long fetch may take
	fetch   func(outer, ctx context.Context, s *source, v *vault) (accessToken, *fault.Fault)
	late    func(outer, ctx context.Context) *fault.Fault // of a search that ctx ended
}

// share gives the text at hand, the fleet's, or a new one, which one worker at a time gets.
func (c *tokenCache) share(outer, ctx context.Context, k *errand) (accessToken, *fault.Fault) {
	began := time.Now()
	v, err := newVault(k.secrets, k.what)
	if err != nil {
		return accessToken{}, &fault.Fault{Reason: fault.Internal, Retry: true, Message: err.Error(), Err: err}
	}
	s := c.source(k.id)
	if t, ok := s.current(v.name); ok {
		return t, nil
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return accessToken{}, k.late(outer, ctx)
	}
	if t, ok := s.current(v.name); ok {
		<-s.turn
		return t, nil
	}
	if f := s.failedSince(began); f != nil {
		<-s.turn
		return accessToken{}, f
	}
	if k.rotates {
		return c.detached(outer, ctx, s, k, v)
	}
	defer func() { <-s.turn }()
	t, f := c.obtain(outer, ctx, s, k, v)
	s.note(t, f)
	return t, f
}

// failedSince gives the fault of a search that ended after began: those who waited for it
// share its outcome, or a token server that is down would be asked by each in turn.
func (s *source) failedSince(began time.Time) *fault.Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil || !s.failedAt.After(began) {
		return nil
	}
	own := *s.failed // whoever has a fault adds to its message
	return &own
}

func (s *source) note(t accessToken, f *fault.Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = nil
	switch {
	case f == nil:
		s.have = t
	case !stopped(f): // that one run was stopped is no news for the others
		own := *f
		s.failed, s.failedAt = &own, time.Now()
	}
}

// obtain takes the token that another worker has fetched, or fetches it while no other
// does. A store that does not answer costs the sharing and not the call.
func (c *tokenCache) obtain(outer, ctx context.Context, s *source, k *errand, v *vault) (accessToken, *fault.Fault) {
	for c.shared != nil {
		if t, ok := c.look(ctx, v); ok {
			return t, nil
		}
		unlock, ok, err := c.shared.Lock(ctx, v.name, k.holdFor(ctx))
		if err != nil {
			c.alone(ctx, "lock", err)
			if k.rotates {
				return accessToken{}, storeFault(err)
			}
			break
		}
		if ok {
			defer unlock()
			// Whoever had the lock before may have put the token there since we looked.
			if t, ok := c.look(ctx, v); ok {
				return t, nil
			}
			break
		}
		select {
		case <-ctx.Done():
			return accessToken{}, k.late(outer, ctx)
		case <-time.After(tokenLook):
		}
	}
	if ctx.Err() != nil {
		return accessToken{}, k.late(outer, ctx)
	}
	t, f := k.fetch(outer, ctx, s, v)
	if left := time.Until(t.until); f == nil && left > 0 && c.shared != nil {
		if err := c.shared.Put(ctx, v.name, t.sealed, left); err != nil {
			c.alone(ctx, "put", err)
		}
	}
	return t, f
}

// look reads the fleet's token. One that cannot be opened is none.
func (c *tokenCache) look(ctx context.Context, v *vault) (accessToken, bool) {
	began := time.Now()
	sealed, left, err := c.shared.Get(ctx, v.name)
	if err != nil {
		c.alone(ctx, "get", err)
		return accessToken{}, false
	}
	plain, ok := v.open(v.name, sealed)
	if !ok || left <= 0 {
		return accessToken{}, false
	}
	t := accessToken{name: v.name, sealed: sealed, until: began.Add(left)}
	return t, t.unpack(plain)
}

func (c *tokenCache) alone(ctx context.Context, what string, err error) {
	if ctx.Err() == nil {
		c.log.WarnContext(ctx, "what workers fetch for all of them is not shared", "doing", what, "error", err)
	}
}

// holdFor is how long the lock is taken: as long as the request may take, and a little more.
func (k *errand) holdFor(ctx context.Context) time.Duration {
	if k.rotates {
		return k.atMost + keepTimeout + lockMargin
	}
	hold := k.atMost
	if end, ok := ctx.Deadline(); ok {
		hold = min(hold, max(time.Until(end), 0))
	}
	return hold + lockMargin
}

// refused drops a token that the backend did not accept, here and for all, unless a newer
// one has taken its place.
func (c *tokenCache) refused(ctx context.Context, id string, t accessToken) {
	if c == nil {
		return
	}
	s := c.source(id)
	s.mu.Lock()
	old := s.have.name != t.name || s.have.text != t.text
	if !old && time.Since(s.droppedAt) < dropGap {
		s.mu.Unlock()
		return
	}
	if !old {
		s.have, s.droppedAt = accessToken{}, time.Now()
	}
	s.mu.Unlock()
	if c.shared == nil || t.sealed == nil {
		return
	}
	if err := c.shared.Drop(ctx, t.name, t.sealed); err != nil {
		c.alone(ctx, "drop", err)
	}
}

// dropToken drops the access token that a call was sent with, if there was one.
func (r *run) dropToken(req *request) {
	if req.oauth != nil {
		r.engine.tokens.refused(r.outer, req.oauth.id, req.token)
	}
}
