package main

import (
	"context"
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
	fail atomic.Pointer[string]  // the target that says 503

	mu       sync.Mutex
	arrived  map[string]map[string]time.Time // by target and record
	attempts map[string]int                  // calls by target
}

// hanging is a target that answers after thirty seconds, or when it is over.
type hanging struct {
	target string
	over   chan struct{}
}

func startBackends() (*backends, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &backends{
		url: "http://" + listener.Addr().String(), done: make(chan struct{}),
		arrived: map[string]map[string]time.Time{}, attempts: map[string]int{},
	}
	b.http = &http.Server{Handler: b, ReadHeaderTimeout: time.Minute}
	go func() {
		defer close(b.done)
		_ = b.http.Serve(listener) // ends with close only
	}()
	return b, nil
}

func (b *backends) close() {
	_ = b.http.Close() // nothing is left to be done about it
	<-b.done
}

// ServeHTTP takes PUT /<target>/<record>.
func (b *backends) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	_, _ = io.Copy(io.Discard, r.Body) // a call that is cut short has its answer in vain
	target, record, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	b.mu.Lock()
	b.attempts[target]++
	b.mu.Unlock()
	if h := b.hang.Load(); h != nil && h.target == target {
		select {
		case <-time.After(30 * time.Second):
		case <-h.over:
		case <-r.Context().Done():
			return
		}
	}
	if name := b.fail.Load(); name != nil && *name == target {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.arrived[target] == nil {
		b.arrived[target] = map[string]time.Time{}
	}
	if _, again := b.arrived[target][record]; !again {
		b.arrived[target][record] = now
	}
}

// at gives when a record arrived at a target.
func (b *backends) at(target, record string) (time.Time, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t, ok := b.arrived[target][record]
	return t, ok
}

// count gives how many records have arrived at the ill target, and in how many calls.
func (b *backends) count() (records, calls int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.arrived["ill"]), b.attempts["ill"]
}
