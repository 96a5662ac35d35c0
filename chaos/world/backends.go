package world

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"headgate/chaos/ledger"
	"headgate/internal/simulate"
)

// Backends are what Headgate delivers to, and the truth about what was delivered: each
// piece of work done is put into the books.
type Backends struct {
	URL string

	books    *ledger.Ledger
	handlers map[string]*simulate.Backend
	http     *http.Server
	served   chan struct{}
	before   atomic.Int64 // nanoseconds until the work is done
	after    atomic.Int64 // nanoseconds from the work to its answer
	pollHold atomic.Int64 // nanoseconds until a poll is answered

	// retryAfter is what analytics asks to wait, in seconds, when it fails; 0 asks nothing.
	retryAfter atomic.Int64
	tooEarly   atomic.Int64 // tries that did not wait

	mu    sync.Mutex
	tries map[string]int       // of analytics, by key
	until map[string]time.Time // when a key may be tried again

	uploads, polls atomic.Int64 // calls that are held now
}

func startBackends(ctx context.Context, books *ledger.Ledger) (*Backends, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start backends: %w", err)
	}
	b := &Backends{
		URL: "http://" + listener.Addr().String(), books: books, tries: map[string]int{}, until: map[string]time.Time{}, served: make(chan struct{}),
		handlers: map[string]*simulate.Backend{
			"crm": simulate.NewSync("crm").KeepRequests(0), "analytics": simulate.NewSync("analytics").KeepRequests(0),
			"audit":      simulate.NewSync("audit").KeepRequests(0),
			"mailing":    simulate.NewSync("mailing").KeepRequests(0),
			"newsletter": simulate.NewSendGrid(simulate.SendGridOptions{JobDuration: time.Second}).KeepRequests(0),
		},
	}
	b.http = &http.Server{Handler: b, ReadHeaderTimeout: time.Minute}
	go func() {
		defer close(b.served)
		_ = b.http.Serve(listener) // ends with close only
	}()
	return b, nil
}

func (b *Backends) close() error {
	err := b.http.Close()
	<-b.served
	for _, h := range b.handlers {
		h.Close()
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Answer sets how long calls take before the work is done and after it; polls that only
// ask take poll.
func (b *Backends) Answer(before, after, poll time.Duration) {
	b.before.Store(int64(before))
	b.after.Store(int64(after))
	b.pollHold.Store(int64(poll))
}

// Held gives how many calls and polls are under way because Answer holds them.
func (b *Backends) Held() (calls, polls int64) { return b.uploads.Load(), b.polls.Load() }

// ServeHTTP hands a call to its backend and notes what was done.
func (b *Backends) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	backend := b.handlers[name]
	if backend == nil {
		http.NotFound(w, r)
		return
	}
	// The body is read before anything else: only then does the server notice a client
	// that goes away.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	held, before := &b.uploads, &b.before
	if r.Method == http.MethodGet {
		held, before = &b.polls, &b.pollHold
	}
	if !hold(r.Context(), held, before) {
		return // the caller went away before anything was done
	}
	key := r.Header.Get("Idempotency-Key")
	if name == "analytics" && b.failsNow(key) {
		if n := b.retryAfter.Load(); n > 0 {
			w.Header().Set("Retry-After", strconv.FormatInt(n, 10))
		}
		http.Error(w, `{"error": "try again"}`, http.StatusServiceUnavailable)
		return
	}
	answer := &answer{header: http.Header{}}
	http.StripPrefix("/"+name, backend).ServeHTTP(answer, r)
	if r.Method != http.MethodGet && answer.status/100 == 2 {
		b.note(name, key, r.URL.Path, body)
		hold(r.Context(), &b.uploads, &b.after)
	}
	for field, values := range answer.header {
		w.Header()[field] = values
	}
	w.WriteHeader(answer.status)
	_, _ = w.Write(answer.body.Bytes())
}

// note puts into the books what was done.
func (b *Backends) note(name, key, path string, body []byte) {
	switch name {
	case "crm":
		b.books.Executed(key, strings.TrimPrefix(path, "/crm/contacts/"))
	case "mailing":
		var rows []struct{ Order string }
		if json.Unmarshal(body, &rows) != nil {
			return // then nothing was done, and the books will say so
		}
		for _, row := range rows {
			b.books.ExecutedInBatch(key, name, row.Order)
		}
	default:
		b.books.Executed(key, "")
	}
}

// hold waits as long as is set; false when the caller went away before.
func hold(ctx context.Context, count, nanos *atomic.Int64) bool {
	d := time.Duration(nanos.Load())
	if d <= 0 {
		return true
	}
	count.Add(1)
	defer count.Add(-1)
	return Sleep(ctx, d) == nil
}

// failsNow lets three keys in ten fail once or twice; which ones is in the key.
func (b *Backends) failsNow(key string) bool {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tries[key]++
	if time.Now().Before(b.until[key]) {
		b.tooEarly.Add(1)
	}
	fails := 0
	switch h.Sum32() % 10 {
	case 0:
		fails = 2
	case 1, 2:
		fails = 1
	}
	if b.tries[key] > fails {
		return false
	}
	if n := b.retryAfter.Load(); n > 0 {
		b.until[key] = time.Now().Add(time.Duration(n)*time.Second - earliness)
	}
	return true
}

// earliness is how much sooner than asked a try may come: clocks that are meant to be
// right differ by a little, and the product allows two seconds.
const earliness = 2500 * time.Millisecond

// AskForPatience lets the backend that fails at times say how long to wait before the
// next try. TooEarly counts the tries that did not.
func (b *Backends) AskForPatience(seconds int64) { b.retryAfter.Store(seconds) }

// TooEarly counts tries that came before the time that was asked for.
func (b *Backends) TooEarly() int64 { return b.tooEarly.Load() }

// answer keeps what a backend answers until it is let go.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}
