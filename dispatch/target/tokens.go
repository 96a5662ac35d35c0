package target

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"headgate/dispatch/fault"
)

// Tokens keeps access and refresh tokens where all workers find them. A value is sealed: whoever
// reads it there learns nothing. Names hold letters and digits only.
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

// tokenCache gives the access tokens of an engine's calls.
type tokenCache struct {
	shared    Tokens // nil: nobody else has them
	transport http.RoundTripper
	log       *slog.Logger
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

func (c *tokenCache) source(g *grant) *source {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sources[g.id]
	if s == nil {
		s = &source{turn: make(chan struct{}, 1)}
		c.sources[g.id] = s
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
	began := time.Now()
	v, err := newVault(cl)
	if err != nil {
		return accessToken{}, &fault.Fault{Reason: fault.Internal, Retry: true, Message: "no access token: " + err.Error(), Err: err}
	}
	s := c.source(cl.grant)
	if t, ok := s.current(v.name); ok {
		return t, nil
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return accessToken{}, lateToken(outer, ctx)
	}
	if t, ok := s.current(v.name); ok {
		<-s.turn
		return t, nil
	}
	if f := s.failedSince(began); f != nil {
		<-s.turn
		return accessToken{}, f
	}
	if cl.rotates() {
		return c.detached(outer, ctx, s, cl, v)
	}
	defer func() { <-s.turn }()
	t, f := c.obtain(outer, ctx, s, cl, v)
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
func (c *tokenCache) obtain(outer, ctx context.Context, s *source, cl *client, v *vault) (accessToken, *fault.Fault) {
	for c.shared != nil {
		if t, ok := c.look(ctx, v); ok {
			return t, nil
		}
		unlock, ok, err := c.shared.Lock(ctx, v.name, cl.holdFor(ctx))
		if err != nil {
			c.alone(ctx, "lock", err)
			if cl.rotates() {
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
			return accessToken{}, lateToken(outer, ctx)
		case <-time.After(tokenLook):
		}
	}
	if ctx.Err() != nil {
		return accessToken{}, lateToken(outer, ctx)
	}
	t, f := c.fetch(outer, ctx, s, cl, v)
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
		c.log.WarnContext(ctx, "an access token is not shared with other workers", "doing", what, "error", err)
	}
}

// holdFor is how long the lock is taken: as long as the request may take, and a little more.
func (g *grant) holdFor(ctx context.Context) time.Duration {
	if g.rotates() {
		return fetchTimeout + keepTimeout + lockMargin
	}
	hold := fetchTimeout
	if end, ok := ctx.Deadline(); ok {
		hold = min(hold, max(time.Until(end), 0))
	}
	return hold + lockMargin
}

// refused drops a token that the backend did not accept, here and for all, unless a newer
// one has taken its place.
func (c *tokenCache) refused(ctx context.Context, cl *client, t accessToken) {
	if c == nil || cl == nil {
		return
	}
	s := c.source(cl.grant)
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
