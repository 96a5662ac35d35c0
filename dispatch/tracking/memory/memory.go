// Package memory keeps records in maps. It owns a second implementation of
// tracking.Store, for tests that need none of Redis; it knows nothing of Redis and is
// no store to run with: nothing survives the process.
package memory

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"headgate/dispatch/tracking"
)

// Store implements tracking.Store. All its methods may be called concurrently.
type Store struct {
	now func() time.Time

	mu      sync.Mutex
	records map[string]*record
	idem    map[string]*idemEntry
	plans   map[string][]byte
	waiters map[string]map[chan struct{}]struct{}
	owners  map[string]int64
	deadFor time.Duration // how long a dead letter is kept
	// gathering names the batch that is collecting, members lists who joined one.
	gathering map[tracking.PlanRef]string
	members   map[string][]listed
	flights   map[string]*flight                 // by target
	ends      map[string]map[string]tracking.End // of members, by batch
	// called has the deliveries for which a callback is noted.
	called      map[tracking.Ref]bool
	callbackKey []byte // nil: nobody has asked for it
	lines       map[string][]ticket
}

var _ tracking.Store = (*Store)(nil)

// record is one dispatch. What is kept is JSON, so that a caller who later changes what
// it handed over or got cannot change the record.
type record struct {
	tenant     string
	meta       []byte
	acceptedAt time.Time
	rows       map[string]*row
	payloads   map[string]json.RawMessage
	idemHash   string
	idemUntil  time.Time
	retention  time.Duration
	bytes      int // of a batch: those of its records
	open       int
	expires    time.Time            // zero while a delivery is not final
	dead       map[string]time.Time // dead letters, since when
}

// row is one delivery with the time of its due row: claimed until, due at, or queued at.
type row struct {
	fence tracking.Fence
	phase tracking.Phase
	lane  tracking.Lane
	body  []byte
	at    time.Time
	// leaving says of one that has ended that it still stands in its line.
	leaving bool
}

type idemEntry struct {
	body    []byte
	expires time.Time // zero while its record is in progress
}

// New makes an empty store whose clock is now; nil takes time.Now.
func New(now func() time.Time) *Store {
	if now == nil {
		now = time.Now
	}
	return &Store{
		now: now, records: map[string]*record{}, idem: map[string]*idemEntry{},
		plans: map[string][]byte{}, waiters: map[string]map[chan struct{}]struct{}{}, owners: map[string]int64{},
		deadFor: tracking.DeadLetterRetention, gathering: map[tracking.PlanRef]string{}, members: map[string][]listed{}, flights: map[string]*flight{}, ends: map[string]map[string]tracking.End{},
		called: map[tracking.Ref]bool{}, lines: map[string][]ticket{},
	}
}

// clock gives the store's time in the resolution of the real one.
func (s *Store) clock() time.Time { return s.now().UTC().Truncate(time.Millisecond) }

// find gives a record that has not expired; mu is held.
func (s *Store) find(id string) (*record, bool) {
	r, ok := s.records[id]
	if ok && !r.expires.IsZero() && !s.clock().Before(r.expires) {
		delete(s.records, id)
		return nil, false
	}
	return r, ok
}

// findIdem gives a row that has not expired; mu is held.
func (s *Store) findIdem(hash string) (*tracking.IdemRow, error) {
	e, ok := s.idem[hash]
	if ok && !e.expires.IsZero() && !s.clock().Before(e.expires) {
		delete(s.idem, hash)
		ok = false
	}
	if !ok {
		return nil, nil
	}
	out := new(tracking.IdemRow)
	return out, json.Unmarshal(e.body, out)
}

func newRow(d tracking.Delivery, at time.Time) (*row, error) {
	body, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode delivery: %w", err)
	}
	if d.Leaves() {
		at = at.Add(tracking.LeaveGrace)
	}
	return &row{fence: d.Fence, phase: d.Phase, lane: d.Lane, body: body, at: at, leaving: d.Leaves()}, nil
}

func (r *row) delivery() (d tracking.Delivery, err error) {
	err = json.Unmarshal(r.body, &d)
	d.Fence, d.Phase, d.Lane = r.fence, r.phase, r.lane
	return d, err
}

// same reports whether two rows hold the same delivery.
func (r *row) same(other *row) bool {
	return r.fence == other.fence && r.phase == other.phase && r.lane == other.lane && string(r.body) == string(other.body)
}

func (r *record) dispatch() (*tracking.Dispatch, error) {
	d := new(tracking.Dispatch)
	err := json.Unmarshal(r.meta, d)
	d.AcceptedAt = r.acceptedAt
	return d, err
}

// Expires tells when a record, or its idempotency row, will be gone: known only once
// its dispatch is final.
func (s *Store) Expires(id string) (record, idem time.Time, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.find(id)
	if !ok || r.expires.IsZero() {
		return time.Time{}, time.Time{}, false
	}
	if e := s.idem[r.idemHash]; e != nil {
		idem = e.expires
	}
	return r.expires, idem, true
}

// Payload gives what is kept of a delivery's payload, nil when it was dropped.
func (s *Store) Payload(ref tracking.Ref) json.RawMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.find(ref.Tracking); ok {
		return slices.Clone(r.payloads[ref.Target])
	}
	return nil
}

// Changed implements tracking.Store.
func (s *Store) Changed(_ context.Context, id string) (<-chan struct{}, func()) {
	if _, ok := tracking.Shard(id); !ok {
		return nil, func() {}
	}
	wake := make(chan struct{}, 1)
	wake <- struct{}{} // it stands
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiters[id] == nil {
		s.waiters[id] = map[chan struct{}]struct{}{}
	}
	s.waiters[id][wake] = struct{}{}
	return wake, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if delete(s.waiters[id], wake); len(s.waiters[id]) == 0 {
			delete(s.waiters, id)
		}
	}
}

// wakeUp is called with mu held.
func (s *Store) wakeUp(id string) {
	for wake := range s.waiters[id] {
		select {
		case wake <- struct{}{}:
		default: // it has been woken already
		}
	}
}

// Lose forgets a record, as a fail-over of the real store may.
func (s *Store) Lose(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.records, id)
	delete(s.members, id)
	delete(s.ends, id)
}
