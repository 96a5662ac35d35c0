package flow

import (
	"testing"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

var ended = tracking.Concluded{State: tracking.Succeeded}

func TestJudge(t *testing.T) {
	with := func(reason fault.Reason, status int, after time.Duration) *fault.Fault {
		return &fault.Fault{Reason: reason, Status: status, RetryAfter: after}
	}
	for name, c := range map[string]struct {
		event tracking.Event
		want  verdict
		hold  time.Duration
	}{
		"succeeded":          {ended, well, 0},
		"refused":            {tracking.AttemptFailed{Fault: with(fault.Rejected, 422, 0), Final: true}, well, 0},
		"not yet":            {tracking.NotYet{}, well, 0},
		"next step":          {tracking.Advanced{}, well, 0},
		"timeout":            {tracking.AttemptFailed{Fault: with(fault.Timeout, 0, 0)}, ill, 0},
		"no connection":      {tracking.AttemptFailed{Fault: with(fault.Unreachable, 0, 0)}, ill, 0},
		"poll, 503":          {tracking.PollFailed{Fault: with(fault.ServerError, 503, 0)}, ill, 0},
		"refused, try again": {tracking.AttemptFailed{Fault: &fault.Fault{Reason: fault.ServerError, Status: 409, Refusal: true}}, well, 0},
		"too fast":           {tracking.AttemptFailed{Fault: with(fault.RateLimited, 429, time.Minute)}, silent, time.Minute},
		"too fast for days":  {tracking.AttemptFailed{Fault: with(fault.RateLimited, 429, 48*time.Hour)}, silent, maxHold},
		"bad credentials":    {tracking.AttemptFailed{Fault: with(fault.Auth, 401, 0)}, well, 0},
		"unreadable secret":  {tracking.AttemptFailed{Fault: with(fault.Auth, 0, 0)}, silent, 0},
		"the plan is gone":   {tracking.AttemptFailed{Fault: with(fault.TargetGone, 0, 0)}, silent, 0},
		"full of batches":    {tracking.Deferred{}, silent, 0},
		"no room for now":    {tracking.Deferred{Answer: tracking.Answer{HTTPStatus: 503}}, well, 0},
		"too much to send":   {tracking.Split{Unsent: true}, silent, 0},
		"too much for it":    {tracking.Split{Answer: tracking.Answer{HTTPStatus: 413}}, well, 0},
		"not a usable reply": {tracking.AttemptFailed{Fault: with(fault.BadResponse, 200, 0)}, well, 0},
	} {
		if got, hold := judge(c.event); got != c.want || hold != c.hold {
			t.Errorf("%s: %d, %v; want %d, %v", name, got, hold, c.want, c.hold)
		}
	}
}

// The breaker opens here at once, whatever the store does; the others are told as soon as
// it answers, and what they know does not close it before.
func TestBreakerOpensAndTells(t *testing.T) {
	store := &fakeStore{away: false}
	f, v := newFlow(t, store, sixteen)
	for _, e := range []tracking.Event{failed(fault.Timeout), failed(fault.Timeout), ended, failed(fault.ServerError), failed(fault.Unreachable)} {
		f.Observe(told(e))
	}
	if s := v.State(); s.Breaker != Closed || !lets(t, v, false) {
		t.Fatalf("two failures in a row: %+v", s)
	}
	store.with(func() { store.away = true })
	f.Observe(told(failed(fault.Timeout)))
	if s := v.State(); s.Breaker != Open || s.OpenFor < 50*time.Second || lets(t, v, true) {
		t.Fatalf("three failures in a row: %+v", s)
	}
	if err := f.sync(t.Context()); err == nil {
		t.Fatal("the store is away and no error")
	}
	store.with(func() { store.away = false })
	agree(t, f)
	if store.trips != 1 {
		t.Fatalf("announced %d times", store.trips)
	}
	store.with(func() { store.fleet = map[string]Fleet{"crm": {Open: true, OpenFor: 5 * time.Second}} })
	agree(t, f)
	if s := v.State(); s.Breaker != Open || s.OpenFor > 5*time.Second || s.Waits[Breaker] == 0 {
		t.Fatalf("as the fleet has it: %+v", s)
	}
}

// Another worker's breaker shuts this one; with the right to probe one run is let
// through, and what it comes to is the end of it.
func TestProbe(t *testing.T) {
	for name, c := range map[string]struct {
		outcome       tracking.Event
		want          BreakerState
		trips, resets int
	}{
		"works": {ended, Closed, 0, 1},
		"fails": {failed(fault.Timeout), Open, 1, 0},
		// Another may try instead.
		"calls nobody": {tracking.Deferred{}, HalfOpen, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			store := &fakeStore{fleet: map[string]Fleet{"crm": {Open: true}}}
			f, v := newFlow(t, store, sixteen)
			if lets(t, v, true) {
				t.Fatal("let through without the right to probe")
			}
			agree(t, f)
			if len(store.probing) != 1 {
				t.Fatalf("asked for the right to probe %v", store.probing)
			}
			store.with(func() { store.fleet["crm"] = Fleet{Open: true, Mine: true} })
			agree(t, f)
			if s := v.State(); s.Breaker != HalfOpen || !lets(t, v, false) {
				t.Fatalf("with the right: %+v", s)
			}
			v.Took(false)
			if lets(t, v, true) {
				t.Fatal("two at a time")
			}
			_, end := v.Begin(t.Context(), false)
			old := told(failed(fault.Timeout))
			old.Duration = time.Hour // it began long before the probe
			f.Observe(old)
			if s := v.State(); s.Breaker != HalfOpen {
				t.Fatalf("an old call decided: %+v", s)
			}
			f.Observe(told(c.outcome))
			end()
			agree(t, f)
			if s := v.State(); s.Breaker != c.want || store.trips != c.trips || store.resets != c.resets {
				t.Fatalf("%+v, %d trips, %d resets", s, store.trips, store.resets)
			}
		})
	}
}

// A task that came to no call, such as a stale one, leaves the right to probe as it is.
func TestProbeWithoutCall(t *testing.T) {
	store := &fakeStore{fleet: map[string]Fleet{"crm": {Open: true, Mine: true}}}
	_, v := newFlow(t, store, sixteen)
	for range 3 {
		if !lets(t, v, true) {
			t.Fatal("not let through")
		}
		v.Took(false)
		_, end := v.Begin(t.Context(), true)
		end()
	}
}

// After a breaker closed, the number of runs doubles with each step, unless one failed.
func TestRamp(t *testing.T) {
	start := time.Now()
	r := ramp{runs: 1, next: start.Add(time.Second), step: time.Second}
	at := func(seconds int) int {
		n, _ := r.limit(start.Add(time.Duration(seconds)*time.Second), 16)
		return n
	}
	for i, want := range []int{1, 2, 4} {
		if got := at(i); got != want {
			t.Errorf("after %d s: %d, want %d", i, got, want)
		}
	}
	r.stumbled = true
	for i, want := range []int{4, 8, 0} {
		if got := at(3 + i); got != want {
			t.Errorf("after a failure, %d s: %d, want %d", i, got, want)
		}
	}
}

func TestRecoveryRises(t *testing.T) {
	store := &fakeStore{fleet: map[string]Fleet{"crm": {Open: true, OpenFor: time.Minute}}}
	f, v := newFlow(t, store, target.Limits{Concurrency: 4})
	store.with(func() { store.fleet = nil })
	agree(t, f)
	if s := v.State(); s.Breaker != Closed || s.Limit != 1 {
		t.Fatalf("just closed: %+v", s)
	}
	for range 4 { // none of them ends
		if ok, _ := v.Enter(t.Context(), false); !ok {
			t.Fatal("not let through")
		}
		v.Took(false)
		v.Begin(t.Context(), false)
	}
	if s := v.State(); s.Limit != 0 || s.Running != 4 || s.Slots != 4 || s.Waits[Recovery] != 2 {
		t.Fatalf("recovered: %+v", s)
	}
}

// A reload keeps what holds the target back.
func TestConfigureKeepsState(t *testing.T) {
	store := &fakeStore{fleet: map[string]Fleet{"crm": {Open: true, OpenFor: time.Minute}}}
	f, v := newFlow(t, store, sixteen)
	f.Configure(&target.Plan{Name: "crm", Limits: sixteen, Breaker: target.Breaker{Failures: 7}})
	if s := v.State(); s.Breaker != Open {
		t.Fatalf("%+v", s)
	}
}

// Nothing is let through before the first look: the target may be paused.
func TestStartsShut(t *testing.T) {
	f := New(Options{Store: &fakeStore{fleet: map[string]Fleet{"crm": {Order: Order{Mode: Halted, By: "bob"}}}}})
	v := f.Valve("crm")
	if lets(t, v, true) {
		t.Fatal("let through before anything was known")
	}
	agree(t, f)
	if o := v.State().Order; o.Mode != Halted || o.By != "bob" || lets(t, v, true) {
		t.Fatalf("%+v", o)
	}
	f.o.Store.(*fakeStore).with(func() { f.o.Store.(*fakeStore).fleet = nil })
	done := make(chan bool)
	go func() { ok, _ := v.Enter(t.Context(), true); done <- ok }()
	testenv.Eventually(t, 5*time.Second, func() bool { return v.State().Waits[Paused] == 2 }, "nobody waits")
	agree(t, f)
	if !<-done {
		t.Fatal("resumed, and not let through")
	}
}

// Retry-After keeps new deliveries back, and only those.
func TestRetryAfter(t *testing.T) {
	store := &fakeStore{}
	f, v := newFlow(t, store, sixteen)
	f.Observe(told(tracking.AttemptFailed{Fault: &fault.Fault{Reason: fault.RateLimited, Status: 429, RetryAfter: time.Minute}}))
	for range 2 { // one wait, however often it is asked
		if lets(t, v, false) {
			t.Fatal("a new delivery was let through")
		}
	}
	if !lets(t, v, true) {
		t.Fatal("what has begun was not let through")
	}
	agree(t, f)
	if s := v.State(); store.holds != 1 || s.Breaker != Closed || s.Waits[RetryAfter] != 1 {
		t.Fatalf("%d holds announced, %+v", store.holds, s)
	}
}
