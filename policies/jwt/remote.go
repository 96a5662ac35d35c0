package jwt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"headgate/policies"
)

// timing is when a remote key set is fetched.
type timing struct {
	every      time.Duration // after a success
	first      time.Duration // after the first failure; doubled by each further one
	most       time.Duration // what the doubling ends at
	unknownKID time.Duration // at most one fetch in this time because of unknown kids
	wait       time.Duration // how long a request waits for a fetch
	fetch      time.Duration // how long a fetch may take
}

var defaultTiming = timing{
	every:      15 * time.Minute,
	first:      time.Second,
	most:       time.Minute,
	unknownKID: 5 * time.Minute,
	wait:       100 * time.Millisecond,
	fetch:      10 * time.Second,
}

// remote is a key set that an issuer publishes. One goroutine fetches it, from the
// first use until close; requests only read what it has left, and may nudge it. It
// begins with the keys that the one before it for the same URL had: a reload while the
// issuer is away locks nobody out.
type remote struct {
	url    string
	name   string
	client *http.Client // nil: nothing is fetched
	log    *slog.Logger
	kept   *sync.Map // url → *keySet, over reloads; nil: nothing is kept
	timing timing

	set  atomic.Pointer[keySet]
	wake chan struct{} // has room for one nudge

	mu          sync.Mutex
	stop        context.CancelFunc // nil: not started
	done        chan struct{}
	closed      bool
	err         error         // of the last fetch
	round       chan struct{} // closed when the next fetch has ended
	pending     bool          // an unknown kid has asked for that fetch
	lastUnknown time.Time
}

func newRemote(url, name string, client *http.Client, log *slog.Logger, kept *sync.Map, t timing) *remote {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &remote{
		url: url, name: name, client: client, log: log, kept: kept, timing: t,
		wake: make(chan struct{}, 1), done: make(chan struct{}), round: make(chan struct{}),
	}
}

var (
	errNotFetched = fmt.Errorf("the key set: %w", policies.ErrPending)
	errNoClient   = errors.New("key sets are not fetched here")
)

// current gives the keys. Only while the very first fetch is under way does a request
// wait for it, and not for long.
func (r *remote) current(ctx context.Context) (*keySet, error) {
	if set := r.set.Load(); set != nil {
		return set, nil
	}
	r.start()
	r.waitUntil(ctx, func() bool { return r.set.Load() != nil || r.err != nil || r.stop == nil || r.closed })
	if set := r.set.Load(); set != nil {
		return set, nil
	}
	return nil, fmt.Errorf("no keys yet: %w", r.reason())
}

// newer fetches again because of a kid that old does not have. Tokens with made-up
// kids cost the issuer no more than one fetch in timing.unknownKID, and a request no
// more than timing.wait.
func (r *remote) newer(ctx context.Context, old *keySet) *keySet {
	if set := r.set.Load(); set != old {
		return set
	}
	r.mu.Lock()
	if now := time.Now(); !r.pending && (r.lastUnknown.IsZero() || now.Sub(r.lastUnknown) >= r.timing.unknownKID) {
		r.lastUnknown, r.pending = now, true
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
	r.mu.Unlock()
	r.waitUntil(ctx, func() bool { return r.set.Load() != old || !r.pending || r.closed })
	return r.set.Load()
}

// waitUntil waits for fetches to end until enough holds, timing.wait at most. It calls
// enough under mu.
func (r *remote) waitUntil(ctx context.Context, enough func() bool) {
	var timeout <-chan time.Time
	for {
		r.mu.Lock()
		done, round := enough(), r.round
		r.mu.Unlock()
		if done {
			return
		}
		if timeout == nil {
			timer := time.NewTimer(r.timing.wait)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-round:
		case <-timeout:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (r *remote) health() error {
	if r.set.Load() != nil {
		return nil
	}
	if r.start(); r.set.Load() != nil {
		return nil
	}
	return fmt.Errorf("no keys yet: %w", r.reason())
}

func (r *remote) reason() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.client == nil:
		return errNoClient
	case r.err != nil:
		return r.err
	}
	return errNotFetched
}

// keptKey is what a key set is kept under.
func (r *remote) keptKey() string { return "jwks " + r.url }

// start begins to fetch, once. Until that ends, the keys that were kept count.
func (r *remote) start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client == nil || r.stop != nil {
		return
	}
	if r.kept != nil {
		v, _ := r.kept.Load(r.keptKey())
		if set, ok := v.(*keySet); ok {
			r.set.Store(set)
		}
	}
	if r.closed { // a request that began before a reload is the first that asks
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go r.run(ctx)
}

// close ends the fetching and waits for its goroutine.
func (r *remote) close() {
	r.mu.Lock()
	started := r.stop != nil
	r.closed = true
	if started {
		r.stop()
	}
	r.mu.Unlock()
	if started {
		<-r.done
	}
}

func (r *remote) run(ctx context.Context) {
	defer close(r.done)
	backoff := r.timing.first
	for {
		err := r.refresh(ctx)
		if ctx.Err() != nil {
			return
		}
		pause := r.timing.every
		if err != nil {
			// Half of it is left to chance, so that a fleet does not come back as one.
			pause = backoff/2 + rand.N(backoff/2+1) //nolint:gosec // jitter is no secret
			backoff = min(backoff*2, r.timing.most)
			r.log.WarnContext(ctx, "key set not fetched", "authenticator", r.name, "error", err, "next", pause, "keeps", r.set.Load() != nil)
		} else {
			backoff = r.timing.first
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-r.wake:
		}
		timer.Stop()
	}
}

// refresh fetches once, keeps the previous keys when that fails, and lets those who
// wait for it go on.
func (r *remote) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.timing.fetch)
	defer cancel()
	set, err := fetch(ctx, r.client, r.url)
	r.mu.Lock()
	defer r.mu.Unlock()
	// The same keys stay the same set: what was verified with them stays verified.
	if old := r.set.Load(); err == nil && (old == nil || old.digest != set.digest) {
		r.set.Store(set)
		r.log.InfoContext(ctx, "key set fetched", "authenticator", r.name, "keys", len(set.kids))
	}
	if err == nil && r.kept != nil {
		r.kept.Store(r.keptKey(), r.set.Load())
	}
	r.err = err
	close(r.round)
	r.round = make(chan struct{})
	// A nudge that came while this fetch ran is still in wake: it gets a fetch of its
	// own, which began after the unknown kid was seen.
	r.pending = r.pending && len(r.wake) > 0
	return err
}
