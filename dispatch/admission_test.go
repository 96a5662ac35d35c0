package dispatch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"headgate/config/unit"
	"headgate/dispatch"
	"headgate/dispatch/tracking"
)

// counts is a store's counts as a test says them.
type counts struct {
	mu    sync.Mutex
	now   tracking.Backlog
	err   error
	asked []tracking.TenantRef
	reads int
}

func (c *counts) Backlog(_ context.Context, tenants []tracking.TenantRef) (tracking.Backlog, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads++
	c.asked = tenants
	return c.now, c.err
}

func (c *counts) set(target, tenant int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = tracking.Backlog{
		Targets: map[string]int{"crm": target},
		Tenants: map[tracking.TenantRef]int{{Target: "crm", Tenant: "t"}: tenant},
	}
}

// admitting is a world whose dispatcher asks for room.
func admitting(t *testing.T) (*world, *counts, *dispatch.Admission) {
	t.Helper()
	w, c := newWorld(t, succeeded()), &counts{}
	a := &dispatch.Admission{Store: c, Log: slog.New(slog.DiscardHandler)}
	w.dispatcher.Admit(a)
	return w, c, a
}

func (w *world) ask(t *testing.T, tenant string) error {
	t.Helper()
	_, err := w.dispatcher.Accept(t.Context(), w.fanout, mapped(), dispatch.Intake{Tenant: tenant, Retention: time.Hour})
	return err
}

func mapped() dispatch.Mapped {
	return dispatch.Mapped{Payloads: map[string]json.RawMessage{"crm": []byte(`{}`)}}
}

func read(t *testing.T, a *dispatch.Admission) {
	t.Helper()
	if err := a.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// refusedFor checks that a request is refused for want of room in what, and that nothing
// was written.
func (w *world) refusedFor(t *testing.T, tenant string, what dispatch.Full) dispatch.FullError {
	t.Helper()
	before, err := w.store.Backlog(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var full *dispatch.FullError
	if err := w.ask(t, tenant); !errors.As(err, &full) || full.What != what {
		t.Fatalf("%v, want it refused for %s", err, what)
	}
	if after, err := w.store.Backlog(t.Context(), nil); err != nil || after.Targets["crm"] != before.Targets["crm"] {
		t.Errorf("%d deliveries after the refusal, %d before (%v)", after.Targets["crm"], before.Targets["crm"], err)
	}
	if full.After < time.Second || full.After > time.Minute {
		t.Errorf("Retry-After %v", full.After)
	}
	return *full
}

func (w *world) taken(t *testing.T, tenant string, n int) {
	t.Helper()
	for i := range n {
		if err := w.ask(t, tenant); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
	}
}

// What this process accepts counts at once; what others accept, from the next reading on.
func TestBacklogLimit(t *testing.T) {
	w, c, a := admitting(t)
	w.live["crm"].Limits.Backlog = 10
	c.set(7, 0)
	read(t, a)
	w.taken(t, "t", 3)
	w.refusedFor(t, "t", dispatch.BacklogFull)
	c.set(8, 0) // two of ours, or of others, have ended
	read(t, a)
	w.taken(t, "u", 2)
	w.refusedFor(t, "v", dispatch.BacklogFull)
	c.set(20, 0)
	read(t, a)
	w.refusedFor(t, "t", dispatch.BacklogFull)
	c.set(0, 0)
	read(t, a)
	w.taken(t, "t", 10)
	w.refusedFor(t, "t", dispatch.BacklogFull)
}

func TestTenantLimit(t *testing.T) {
	w, c, a := admitting(t)
	w.live["crm"].Limits.BacklogPerTenant = 5
	w.taken(t, "t", 5) // not known of before: counted by what this process sees
	w.refusedFor(t, "t", dispatch.TenantFull)
	w.taken(t, "u", 1)
	c.set(100, 4)
	read(t, a)
	if len(c.asked) != 2 {
		t.Errorf("asked for %v", c.asked)
	}
	w.taken(t, "t", 1)
	w.refusedFor(t, "t", dispatch.TenantFull)
}

func TestOnlyLimitedTenantsAreRead(t *testing.T) {
	w, c, a := admitting(t)
	w.taken(t, "t", 3)
	read(t, a)
	if len(c.asked) != 0 {
		t.Errorf("asked for %v", c.asked)
	}
	w.live["crm"].Limits.BacklogPerTenant = 5
	for i := range 2000 {
		w.taken(t, fmt.Sprint("tenant-", i), 1)
	}
	read(t, a)
	if n := len(c.asked); n == 0 || n > 1024 || c.asked[0].Tenant != "tenant-1999" {
		t.Errorf("asked for %d tenants, first %v", n, c.asked[0])
	}
}

func TestMemoryLimit(t *testing.T) {
	w, c, a := admitting(t)
	a.Memory = unit.Fill{Percent: 90}
	for _, step := range []struct {
		memory tracking.Memory
		full   bool
	}{
		{tracking.Memory{Used: 1 << 30}, false}, // no bound of its own
		{tracking.Memory{Used: 899, Max: 1000}, false},
		{tracking.Memory{Used: 900, Max: 1000}, true},
		{tracking.Memory{Used: 100, Max: 1000}, false},
	} {
		c.now.Memory = step.memory
		read(t, a)
		if step.full {
			if full := w.refusedFor(t, "t", dispatch.MemoryFull); full.Target != "" {
				t.Errorf("%+v", full)
			}
		} else {
			w.taken(t, "t", 1)
		}
	}
}

// While the store does not answer, what was known last holds.
func TestAdmissionWithoutTheStore(t *testing.T) {
	w, c, a := admitting(t)
	w.live["crm"].Limits.Backlog = 10
	c.set(8, 0)
	read(t, a)
	c.err = tracking.ErrUnavailable
	if err := a.Read(t.Context()); !errors.Is(err, tracking.ErrUnavailable) {
		t.Fatal(err)
	}
	w.taken(t, "t", 2)
	if err := a.Read(t.Context()); err == nil {
		t.Fatal("no error")
	}
	w.refusedFor(t, "t", dispatch.BacklogFull)
}

// What was refused by the store, or was known already, takes up no room.
func TestRoomIsGivenBack(t *testing.T) {
	w, c, a := admitting(t)
	w.live["crm"].Limits.Backlog = 2
	c.set(0, 0)
	read(t, a)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 5 {
		if _, err := w.dispatcher.Accept(ctx, w.fanout, mapped(), dispatch.Intake{Tenant: "t"}); !errors.Is(err, tracking.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	key := &dispatch.Idem{Hash: "key", TTL: time.Hour}
	for range 5 {
		w.accept(t, dispatch.Intake{Tenant: "t", Idem: key})
	}
	w.taken(t, "t", 1)
	w.refusedFor(t, "t", dispatch.BacklogFull)
	// A known key is answered all the same: it is looked up before.
	if receipt, ok, err := w.dispatcher.Lookup(t.Context(), *key); err != nil || !ok || !receipt.Replayed {
		t.Errorf("%+v, %v, %v", receipt, ok, err)
	}
}

func TestSkippedTargetsNeedNoRoom(t *testing.T) {
	w, c, a := admitting(t)
	w.live["crm"].Limits.Backlog = 1
	c.set(1, 0)
	read(t, a)
	m := dispatch.Mapped{Skipped: map[string]bool{"crm": true}}
	if _, err := w.dispatcher.Accept(t.Context(), w.fanout, m, dispatch.Intake{Tenant: "t", Retention: time.Hour}); err != nil {
		t.Error(err)
	}
}

// Retry-After comes from how fast the backlog gets shorter, when it does.
func TestRetryAfterFromTheDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c, a := admitting(t)
		w.live["crm"].Limits.Backlog = 100
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { a.Run(ctx) })
		defer running.Wait()
		defer cancel()
		next := func(n int) {
			c.set(n, 0)
			time.Sleep(time.Second) // the bubble's time: the next reading
			synctest.Wait()
		}
		next(500)
		if full := w.refusedFor(t, "t", dispatch.BacklogFull); full.After != 5*time.Second {
			t.Errorf("it does not get shorter: %v", full.After)
		}
		next(450)
		next(400)
		if full := w.refusedFor(t, "t", dispatch.BacklogFull); full.After.Round(time.Second) != 6*time.Second {
			t.Errorf("301 to go at 50/s: %v", full.After)
		}
		if c.reads != 3 {
			t.Errorf("%d readings in three seconds", c.reads)
		}
	})
}

// Requests that feed a target which is drained are refused, and no other; known keys are
// answered; what was known last holds while the store does not answer.
func TestDrainedTargetsAreRefused(t *testing.T) {
	w, c, a := admitting(t)
	c.set(0, 0)
	var drained []string
	var away error
	a.Drained = func(context.Context) ([]string, error) { return drained, away }
	read(t, a)
	key := &dispatch.Idem{Hash: "key", TTL: time.Hour}
	w.accept(t, dispatch.Intake{Tenant: "t", Idem: key})
	drained = []string{"crm", "billing"}
	w.taken(t, "t", 1) // until it is read
	read(t, a)
	if full := w.refusedFor(t, "t", dispatch.Draining); full.Target != "crm" {
		t.Errorf("%+v", full)
	}
	if receipt, ok, err := w.dispatcher.Lookup(t.Context(), *key); err != nil || !ok || !receipt.Replayed {
		t.Errorf("a known key: %+v, %v, %v", receipt, ok, err)
	}
	m := dispatch.Mapped{Skipped: map[string]bool{"crm": true}}
	if _, err := w.dispatcher.Accept(t.Context(), w.fanout, m, dispatch.Intake{Tenant: "t", Retention: time.Hour}); err != nil {
		t.Errorf("it is skipped: %v", err)
	}
	drained, away = nil, tracking.ErrUnavailable
	if err := a.Read(t.Context()); !errors.Is(err, tracking.ErrUnavailable) || c.reads != 3 {
		t.Errorf("%v, %d readings", err, c.reads)
	}
	w.refusedFor(t, "t", dispatch.Draining)
	away = nil
	read(t, a)
	w.taken(t, "t", 1)
}

// Who orders a drain reads at once and answers then: a reading that began before the order, and
// ends after it, does not take it back.
func TestAnEarlierReadingTakesNoDrainBack(t *testing.T) {
	w, c, a := admitting(t)
	c.set(0, 0)
	began, slow := make(chan struct{}), make(chan struct{})
	var readings atomic.Int32
	a.Drained = func(context.Context) ([]string, error) {
		if readings.Add(1) == 1 { // that of the regular look
			close(began)
			<-slow
			return nil, nil
		}
		return []string{"crm"}, nil
	}
	var both sync.WaitGroup
	look := func() {
		if err := a.Read(t.Context()); err != nil {
			t.Error(err)
		}
	}
	both.Go(look)
	<-began
	answered := make(chan struct{})
	both.Go(func() { look(); close(answered) })
	select {
	case <-answered:
	case <-time.After(100 * time.Millisecond): // it waits for the other
	}
	close(slow)
	both.Wait()
	w.refusedFor(t, "t", dispatch.Draining)
}
