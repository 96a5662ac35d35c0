package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"headgate/config/secret"
	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// network answers for the token server at t and the backend at h without a network, so
// that time may be false.
type network struct {
	mu      sync.Mutex
	fetched int
	used    map[string]int
	slow    time.Duration // of the token server
	life    string        // expires_in
	status  int           // of the token server
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := func(status int, body string) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1}, nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if r.URL.Host == "h" {
		n.used[r.Header.Get("Authorization")]++
		return answer(200, "")
	}
	n.fetched++
	body := fmt.Sprintf(`{"access_token": "planted-token-%d"%s}`, n.fetched, n.life)
	n.mu.Unlock()
	defer n.mu.Lock()
	select {
	case <-time.After(n.slow):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	return answer(n.status, body)
}

// shelf is a Tokens in memory.
type shelf struct {
	mu     sync.Mutex
	values map[string][]byte
	ends   map[string]time.Time
	locked time.Time // until when
	broken error
}

func (s *shelf) Get(_ context.Context, name string) ([]byte, time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	end, ok := s.ends[name]
	if ok && end.IsZero() {
		return s.values[name], 0, s.broken
	}
	if left := time.Until(end); left > 0 {
		return s.values[name], left, s.broken
	}
	return nil, 0, s.broken
}

func (s *shelf) Put(_ context.Context, name string, value []byte, ttl time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.values[name], s.ends[name] = value, time.Time{}
		if ttl != 0 {
			s.ends[name] = time.Now().Add(ttl)
		}
	}
	return s.broken
}

func (s *shelf) Drop(_ context.Context, name string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if string(s.values[name]) == string(value) {
		delete(s.values, name)
		delete(s.ends, name)
	}
	return s.broken
}

func (s *shelf) Lock(_ context.Context, _ string, ttl time.Duration) (func(), bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().Before(s.locked) {
		return nil, false, s.broken
	}
	until := time.Now().Add(ttl)
	s.locked = until
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.locked.Equal(until) {
			s.locked = time.Time{}
		}
	}, true, s.broken
}

// fleet is some engines on one network, with one shelf or none.
type fleet struct {
	*network
	shelf   *shelf
	engines []*Engine
	plan    *Plan
}

func newFleet(t *testing.T, engines int, shared bool) *fleet {
	f := &fleet{
		network: &network{used: map[string]int{}, status: 200, life: `, "expires_in": "600"`},
		shelf:   &shelf{values: map[string][]byte{}, ends: map[string]time.Time{}},
		plan:    mustCompile(t, "", oauthTarget("http://h", "http://t", "")+"\nlimits: {timeout: 4s}"),
	}
	for range engines {
		o := Outgoing{Transport: f.network}
		if shared {
			o.Tokens = f.shelf
		}
		f.engines = append(f.engines, NewEngine(o, nil))
	}
	return f
}

// run makes runs on each engine at the same time.
func (f *fleet) run(t *testing.T, each int) (events []tracking.Event) {
	var all sync.WaitGroup
	var mu sync.Mutex
	for _, e := range f.engines {
		for range each {
			all.Go(func() {
				event := e.Run(t.Context(), f.plan, Input{Tracking: "trk_1", Payload: []byte(`{}`), Now: time.Now(), AcceptedAt: time.Now()})
				mu.Lock()
				events = append(events, event)
				mu.Unlock()
			})
		}
	}
	all.Wait()
	return events
}

func TestTokenIsFetchedOnce(t *testing.T) {
	t.Setenv("CRM_SECRET", clientSecret)
	for name, tc := range map[string]struct {
		engines int
		shared  bool
		fetched int
	}{"one engine": {1, false, 1}, "a fleet": {3, true, 1}, "a fleet without a store": {3, false, 3}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, tc.engines, tc.shared)
				f.slow = time.Second
				for _, event := range f.run(t, 10) {
					eventOf[tracking.Concluded](t, event)
				}
				time.Sleep(538 * time.Second) // 539 s since the request; the token is good for 540 s
				f.slow = 0
				f.run(t, 1)
				if f.fetched != tc.fetched {
					t.Errorf("%d tokens fetched, want %d", f.fetched, tc.fetched)
				}
				time.Sleep(2 * time.Second)
				f.run(t, 10)
				if f.fetched != 2*tc.fetched {
					t.Errorf("%d tokens fetched after the first expired, want %d", f.fetched, 2*tc.fetched)
				}
			})
		})
	}
}

// Those who wait for a search share its outcome; they do not ask one after the other.
func TestTokenFailureIsShared(t *testing.T) {
	t.Setenv("CRM_SECRET", clientSecret)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, true)
		f.slow, f.status = time.Second, 500
		for _, event := range f.run(t, 10) {
			if got := eventOf[tracking.AttemptFailed](t, event); got.Fault.Reason != fault.ServerError || !got.Fault.Retry {
				t.Errorf("%+v", got.Fault)
			}
		}
		if f.fetched != 1 {
			t.Errorf("asked %d times", f.fetched)
		}
		f.status = 200
		for _, event := range f.run(t, 10) {
			eventOf[tracking.Concluded](t, event)
		}
		if f.fetched != 2 {
			t.Errorf("asked %d times in all", f.fetched)
		}
	})
}

// A worker that died while it fetched a token holds the others up until its lock ends, and
// no call longer than its own time-out.
func TestTokenLockOfTheDead(t *testing.T) {
	t.Setenv("CRM_SECRET", clientSecret)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, true)
		f.shelf.locked = time.Now().Add(5 * time.Second)
		began := time.Now()
		for _, event := range f.run(t, 1) {
			if got := eventOf[tracking.AttemptFailed](t, event); got.Fault.Reason != fault.Timeout || !got.Fault.Retry {
				t.Errorf("%+v", got.Fault)
			}
		}
		if took := time.Since(began); took != 4*time.Second {
			t.Errorf("waited for %s", took)
		}
		for _, event := range f.run(t, 1) {
			eventOf[tracking.Concluded](t, event)
		}
		if took := time.Since(began); f.fetched != 1 || took > 5*time.Second+2*tokenLook {
			t.Errorf("%d fetched after %s", f.fetched, took)
		}
	})
}

func TestTokensWithoutAStoreThatAnswers(t *testing.T) {
	t.Setenv("CRM_SECRET", clientSecret)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, true)
		f.shelf.broken = errors.New("gone")
		for range 2 {
			for _, event := range f.run(t, 3) {
				eventOf[tracking.Concluded](t, event)
			}
		}
		if f.fetched != 2 {
			t.Errorf("%d fetched, want one for each engine", f.fetched)
		}
	})
}

// A stopped worker leaves its lock and says so, and what it was stopped in is no outcome
// for those who waited.
func TestTokenSearchThatIsStopped(t *testing.T) {
	t.Setenv("CRM_SECRET", clientSecret)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, true)
		f.slow = time.Second
		ctx, cancel := context.WithCancel(t.Context())
		in := Input{Tracking: "trk_1", Payload: []byte(`{}`), Now: time.Now(), AcceptedAt: time.Now()}
		events := make(chan tracking.Event, 2)
		go func() { events <- f.engines[0].Run(ctx, f.plan, in) }()
		synctest.Wait()
		go func() { events <- f.engines[0].Run(t.Context(), f.plan, in) }()
		synctest.Wait()
		cancel()
		if got := eventOf[tracking.AttemptFailed](t, <-events); got.After != 0 || got.Final || !strings.Contains(got.Fault.Message, "stopped") {
			t.Errorf("%+v %+v", got, got.Fault)
		}
		eventOf[tracking.Concluded](t, <-events)
		if f.fetched != 2 || !f.shelf.locked.IsZero() {
			t.Errorf("%d fetched, locked until %s", f.fetched, f.shelf.locked)
		}
	})
}

// With another secret, or under another one's name, nothing of the old is used.
func TestTokenOfARotatedSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, true)
		for _, s := range []string{clientSecret, "planted-second"} {
			t.Setenv("CRM_SECRET", s)
			f.run(t, 2)
		}
		if f.fetched != 2 || len(f.shelf.values) != 2 || f.used["Bearer planted-token-2"] != 2 {
			t.Errorf("%d fetched, %d kept, used %v", f.fetched, len(f.shelf.values), f.used)
		}
	})
}

func TestLives(t *testing.T) {
	for life, want := range map[string]time.Duration{
		`3600`: 3540 * time.Second, `"3600"`: 3540 * time.Second, `100`: 80 * time.Second, `1.5`: 1200 * time.Millisecond,
		`1e30`: maxLife - maxMargin, `null`: 4 * time.Minute, `"soon"`: 4 * time.Minute, `0`: 0, `-5`: 0, `"NaN"`: 0, `{}`: 4 * time.Minute,
	} {
		answer, why := tokenOf([]byte(`{"access_token": "x", "expires_in": `+life+`}`), nil)
		if got := tokenTTL(answer.life); got != want || why != "" {
			t.Errorf("%s: %s (%s), want %s", life, got, why, want)
		}
	}
	if answer, _ := tokenOf([]byte(`{"access_token": "x"}`), nil); answer.life != unknownLife {
		t.Errorf("not told: %s", answer.life)
	}
}

// A token without a life is good for the call that it was fetched for.
func TestTokenWithoutALife(t *testing.T) {
	t.Setenv("CRM_SECRET", clientSecret)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, true)
		f.life = `, "expires_in": 0`
		f.run(t, 3)
		if f.fetched != 3 || len(f.used) != 3 || len(f.shelf.values) != 0 {
			t.Errorf("%d fetched, used %v, %d kept", f.fetched, f.used, len(f.shelf.values))
		}
	})
}

func TestSeal(t *testing.T) {
	vaultOf := func(s, what string) *vault {
		v, err := newVault([]secret.Value{secret.New(s)}, what)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	v := vaultOf("a", "b")
	sealed, err := v.seal(v.name, []byte("planted-token"))
	if err != nil || strings.Contains(string(sealed), "planted") {
		t.Fatalf("%q, %v", sealed, err)
	}
	if got, ok := vaultOf("a", "b").open(v.name, sealed); !ok || string(got) != "planted-token" {
		t.Errorf("opened: %q, %v", got, ok)
	}
	if again, _ := v.seal(v.name, []byte("planted-token")); string(again) == string(sealed) {
		t.Error("two seals are the same: a newer token could not be told from an older one")
	}
	for name, other := range map[string]*vault{"secret": vaultOf("b", "b"), "grant": vaultOf("a", "c"), "name": {name: "x", key: v.key}} {
		if _, ok := other.open(other.name, sealed); ok || other.name == v.name {
			t.Errorf("opened with another %s", name)
		}
	}
	for i := range sealed {
		bad := []byte(string(sealed))
		bad[i] ^= 1
		if _, ok := v.open(v.name, bad); ok {
			t.Fatalf("opened with byte %d changed", i)
		}
	}
	if _, ok := v.open(v.name, sealed[:5]); ok {
		t.Error("opened a part")
	}
	if _, ok := v.open(v.refresh, sealed); ok || v.refresh == v.name {
		t.Error("an access token passes for a refresh token")
	}
}
