package simulate

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
)

// maxBody bounds every request body in bytes. It is above the largest limit of a simulated vendor
// (32 MB), so that the vendor's own answer to a body over its limit can be seen.
const maxBody = 64 << 20

// errBodyTooLarge reports a body over maxBody.
var errBodyTooLarge = errors.New("request body over the simulator's limit")

// Backend is one simulated backend. It is an [http.Handler], so it can also be mounted without a
// [Server]; whoever does so calls Close.
type Backend struct {
	name     string
	handler  http.Handler
	tooLarge http.HandlerFunc // what the vendor says to a body over maxBody
	control  *http.ServeMux
	stats    *stats
	rules    *rules

	ctx    context.Context // ends with Close; releases hangs, delays and callbacks
	cancel context.CancelFunc
	mu     sync.Mutex // guards closed against a late spawn
	closed bool
	wg     sync.WaitGroup
}

// newBackend wraps a vendor's handler with control, statistics and misbehaviour.
func newBackend(name string, handler http.Handler) *Backend {
	b := &Backend{name: name, handler: handler, stats: newStats(), rules: newRules()}
	b.tooLarge = func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, http.StatusRequestEntityTooLarge, "too_large", "request body over 64 MB")
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.control = b.controlMux()
	return b
}

// Name is the first path segment under which a [Server] serves the backend.
func (b *Backend) Name() string { return b.name }

// Stats returns the counters, with the per-key counts.
func (b *Backend) Stats() Stats { return b.stats.snapshot(true) }

// Requests returns the newest recorded requests, oldest first; last <= 0 means all that are kept.
func (b *Backend) Requests(last int) []Request { return b.stats.requests(last) }

// KeepRequests sets how many requests are recorded (1000 unless set; 0 switches recording off, as a
// benchmark wants) and returns the backend. What was recorded before is forgotten.
func (b *Backend) KeepRequests(n int) *Backend {
	b.stats.keep(n)
	return b
}

// Reset starts counting afresh and forgets recorded requests. Jobs, contacts and rules stay.
func (b *Backend) Reset() { b.stats.reset() }

// Behave makes requests whose path begins with path misbehave, the next times requests or, when times
// is 0, until it is cleared. The longest path wins; a rule for the same path is replaced.
func (b *Backend) Behave(path, behave string, times int) error {
	parsed, err := ParseBehaviour(behave)
	if err != nil {
		return err
	}
	b.rules.put(Rule{Path: path, Behave: parsed, Times: times})
	return nil
}

// ClearBehaviour forgets all rules and all positions in status sequences.
func (b *Backend) ClearBehaviour() { b.rules.clear() }

// Close releases hanging requests, stops callbacks and waits for them. It can be called again.
func (b *Backend) Close() {
	b.cancel()
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.wg.Wait()
}

// spawn runs f in a goroutine that Close waits for; after Close it does nothing.
func (b *Backend) spawn(f func(context.Context)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.wg.Go(func() { f(b.ctx) })
}

// ServeHTTP answers one request: control paths first, then the vendor with its misbehaviour, if any.
func (b *Backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/__") {
		b.control.ServeHTTP(w, r)
		return
	}
	visit := b.stats.arrive()
	out := &answer{ResponseWriter: w}
	defer func() {
		b.stats.leave(visit, out.seen(r.Context()))
		if out.dropped {
			out.hangUp()
		}
	}()

	body, err := readBody(r)
	if err != nil && !errors.Is(err, errBodyTooLarge) {
		// The client broke off in the middle: count it, there is nothing to compare.
		b.stats.note(visit, r, body)
		out.drop()
		return
	}
	b.stats.note(visit, r, body)
	if err != nil {
		b.tooLarge(out, r)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	behave, err := b.rules.find(r)
	if err != nil {
		writeError(out, http.StatusBadRequest, "bad_simulation", err.Error())
		return
	}
	if behave == nil {
		b.handler.ServeHTTP(out, r)
		return
	}
	b.misbehave(out, r, behave)
}

// readBody reads the whole body, up to maxBody.
func readBody(r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	var buf bytes.Buffer
	if n := r.ContentLength; n > 0 && n <= 1<<20 {
		buf.Grow(int(n) + bytes.MinRead) // MinRead spare: ReadFrom then never grows again
	}
	n, err := buf.ReadFrom(io.LimitReader(r.Body, maxBody+1))
	if err == nil && n > maxBody {
		err = errBodyTooLarge
	}
	return buf.Bytes(), err
}
