package main

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// backends are what is delivered to: they note when what arrived and answer at once,
// unless they are told to hang or to fail.
type backends struct {
	url  string
	http *http.Server
	done chan struct{}

	hang atomic.Pointer[hanging] // nil: nobody hangs
	wait atomic.Int64            // nanoseconds that each answer takes
	fail atomic.Pointer[string]  // the prefix of the records to which the ill target says 503

	mu      sync.Mutex
	arrived map[string]map[string]time.Time // by target and record
	calls   map[string]int                  // to the ill target, by prefix
	taken   map[string]int                  // records that it took, by prefix
}

// hanging is a target that answers the records of one client after thirty seconds, or
// when it is over.
type hanging struct {
	target string
	of     string // prefix of the records
	over   chan struct{}
}

// backends starts backends in this process, until the stage is closed.
func (s *stage) backends() (*backends, error) {
	listener, err := new(net.ListenConfig).Listen(s.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &backends{
		url: "http://" + listener.Addr().String(), done: make(chan struct{}),
		arrived: map[string]map[string]time.Time{}, calls: map[string]int{}, taken: map[string]int{},
	}
	b.http = &http.Server{Handler: b, ReadHeaderTimeout: time.Minute}
	go func() {
		defer close(b.done)
		_ = b.http.Serve(listener) // ends with close only
	}()
	s.cleanups = append(s.cleanups, b.close)
	return b, nil
}

func (b *backends) close() {
	_ = b.http.Close() // nothing is left to be done about it
	<-b.done
}

// ServeHTTP takes calls to /<target>/<record>.
func (b *backends) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	_, _ = io.Copy(io.Discard, r.Body) // a call that is cut short has its answer in vain
	target, record, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	prefix := strings.TrimRight(record, "0123456789")
	if target == "ill" {
		b.mu.Lock()
		b.calls[prefix]++
		b.mu.Unlock()
	}
	if h := b.hang.Load(); h != nil && h.target == target && h.of == prefix {
		select {
		case <-time.After(30 * time.Second):
		case <-h.over:
		case <-r.Context().Done():
			return
		}
	}
	if of := b.fail.Load(); of != nil && target == "ill" && *of == prefix {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	b.note(now, target, record, prefix)
	if d := time.Duration(b.wait.Load()); d > 0 {
		time.Sleep(d) // a backend that takes its time
	}
}

// note puts down when a record arrived for the first time.
func (b *backends) note(now time.Time, target, record, prefix string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.arrived[target] == nil {
		b.arrived[target] = map[string]time.Time{}
	}
	if _, again := b.arrived[target][record]; !again {
		b.arrived[target][record] = now
		if target == "ill" {
			b.taken[prefix]++
		}
	}
}

// at gives when a record arrived at a target.
func (b *backends) at(target, record string) (time.Time, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t, ok := b.arrived[target][record]
	return t, ok
}

// count gives how many records of a client the ill target has taken, and in how many
// calls.
func (b *backends) count(prefix string) (records, calls int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.taken[prefix], b.calls[prefix]
}
