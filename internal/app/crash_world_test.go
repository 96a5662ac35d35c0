package app_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
	"headgate/dispatch/tracking/memory"
	"headgate/internal/simulate"
)

// crashWorld is what outlives a process: the store, the queue, the tokens that are shared, the
// backend, and the client that asks again when it got no answer.
type crashWorld struct {
	store  *memory.Store
	queue  *backlog
	tokens *sharedTokens
	vendor *simulate.Backend
	plan   *target.Plan

	process *mortal
	buried  []*mortal

	mu    sync.Mutex
	at    int      // which of the things that processes do is not done any more; 0: none
	done  []string // things, until then
	crash string   // what was not done
}

func newCrashWorld(plan *target.Plan, vendor *simulate.Backend, at int) *crashWorld {
	return &crashWorld{
		store: memory.New(nil), queue: newBacklog(), tokens: &sharedTokens{kept: map[string]keptToken{}},
		vendor: vendor, plan: plan, at: at,
	}
}

// dies reports whether the process dies before it does something.
func (w *crashWorld) dies(what string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.crash != "" {
		return false
	}
	if len(w.done)+1 == w.at {
		w.crash = what
		return true
	}
	w.done = append(w.done, what)
	return false
}

// succeed starts another process when the one that runs is dead.
func (w *crashWorld) succeed() {
	select {
	case <-w.process.dead:
		w.buried = append(w.buried, w.process)
		w.process.cancel()
		w.start()
	default:
	}
}

// send offers a record until it is accepted, under the same idempotency key.
func (w *crashWorld) send(t *testing.T, record string) (id string) {
	t.Helper()
	hash := fmt.Sprintf("%x", sha256.Sum256([]byte(record)))
	fanout := &dispatch.Fanout{Route: "r", Rule: tracking.DoneAll, Bindings: []dispatch.Binding{{Plan: w.plan}}}
	intake := dispatch.Intake{Tenant: "t", Retention: time.Hour, Idem: &dispatch.Idem{Hash: hash, Fingerprint: record, TTL: time.Hour}}
	mapped := dispatch.Mapped{Payloads: map[string]json.RawMessage{w.plan.Name: json.RawMessage(record)}}
	for id == "" && !t.Failed() {
		synctest.Wait() // so that all that is done is done in the same order each time
		w.succeed()
		p := w.process
		answered := make(chan struct{})
		p.live.Go(func() {
			defer close(answered)
			receipt, err := p.dispatcher.Accept(context.Background(), fanout, mapped, intake)
			if err != nil {
				t.Errorf("%s is not accepted: %v", record, err)
			}
			id = receipt.ID
		})
		<-answered
	}
	return id
}

// finish lets time pass until every delivery and every batch has ended.
func (w *crashWorld) finish(t *testing.T) {
	t.Helper()
	for range 7200 {
		time.Sleep(time.Second)
		w.succeed()
		open, err := w.store.OpenPlans(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(open) == 0 {
			return
		}
	}
	t.Errorf("there is no end to it after %q: %v", w.crash, w.done[:min(len(w.done), 100)])
}

func (w *crashWorld) stop() {
	for _, p := range append(w.buried, w.process) {
		p.bury()
	}
	w.vendor.Close()
}

// sharedTokens are access tokens where all processes find them.
type sharedTokens struct {
	mu   sync.Mutex
	kept map[string]keptToken
}

type keptToken struct {
	value string
	until time.Time // zero: for ever
}

func (s *sharedTokens) Get(_ context.Context, name string) ([]byte, time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept, ok := s.kept[name]
	switch {
	case !ok:
		return nil, 0, nil
	case kept.until.IsZero():
		return []byte(kept.value), 0, nil
	case !time.Now().Before(kept.until):
		return nil, 0, nil
	}
	return []byte(kept.value), time.Until(kept.until), nil
}

func (s *sharedTokens) Put(_ context.Context, name string, value []byte, ttl time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := keptToken{value: string(value)}
	if ttl > 0 {
		kept.until = time.Now().Add(ttl)
	}
	s.kept[name] = kept
	return nil
}

func (s *sharedTokens) Drop(_ context.Context, name string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept[name].value == string(value) {
		delete(s.kept, name)
	}
	return nil
}

// Lock never fails: a process that died holding a lock left it to its end, which is over
// before anybody takes over.
func (s *sharedTokens) Lock(context.Context, string, time.Duration) (unlock func(), ok bool, err error) {
	return func() {}, true, nil
}
