package dispatch_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/fault"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
)

// newOrderWorld is a world whose only target keeps an order; more is what its YAML has besides.
func newOrderWorld(t *testing.T, order, more string, events ...tracking.Event) *world {
	t.Helper()
	w := newWorld(t, events...)
	plan := compile(t, "crm", `{url: "https://crm.example", post: /contacts, order: {key: "${{ .payload.id }}"`+order+`}`+more+`}`)
	w.live = map[string]*target.Plan{"crm": plan}
	w.fanout.Bindings[0].Plan = plan
	w.rewire()
	return w
}

// about accepts a request about key and gives its only task.
func (w *world) about(t *testing.T, key string) dispatch.Task {
	t.Helper()
	if _, err := w.tryAbout(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	return w.only(t)
}

func (w *world) tryAbout(ctx context.Context, key string) (dispatch.Receipt, error) {
	body := json.RawMessage(`{"id":"` + key + `"}`)
	mapped, faults := w.fanout.Map(map[string]any{"tenant": "t"}, body)
	if len(faults) > 0 {
		return dispatch.Receipt{}, faults[0]
	}
	return w.dispatcher.Accept(ctx, w.fanout, mapped, dispatch.Intake{Tenant: "t", Retention: time.Hour})
}

// drain runs what is queued, and what that queues.
func (w *world) drain(t *testing.T) { t.Helper(); w.finish(t, w.queue.take()...) }

// sent lists the tracking IDs of the calls.
func (w *world) sent() (out []string) {
	for _, in := range w.steps.ran {
		out = append(out, in.Tracking)
	}
	return out
}

func (w *world) is(t *testing.T, task dispatch.Task, want tracking.State) tracking.Delivery {
	t.Helper()
	d := w.delivery(t, task)
	if d.State != want {
		t.Errorf("it is %s (%s), want %s", d.State, d.Message, want)
	}
	return d
}

func (w *world) sentAre(t *testing.T, want ...dispatch.Task) {
	t.Helper()
	var ids []string
	for _, task := range want {
		ids = append(ids, task.Tracking)
	}
	if got := w.sent(); strings.Join(got, " ") != strings.Join(ids, " ") {
		t.Errorf("sent %v, want %v", got, ids)
	}
}

// emptied checks that nobody stands in any line and that nothing is left to look at.
func (w *world) emptied(t *testing.T) {
	t.Helper()
	rows, err := w.store.Overdue(t.Context(), -1000*time.Hour, 10)
	if n := w.store.Standing(); n != 0 || len(rows) != 0 || err != nil {
		t.Errorf("%d stand in lines, %d rows are left: %+v, %v", n, len(rows), rows, err)
	}
}

func TestTheNextWaitsForTheEndOfTheOneBefore(t *testing.T) {
	w := newOrderWorld(t, "", "", again(time.Minute), again(time.Minute), succeeded())
	first, second, other := w.about(t, "a"), w.about(t, "a"), w.about(t, "b")
	w.run(t, second)
	if d := w.is(t, second, tracking.Pending); !d.Parked() || len(w.queue.take()) != 0 || len(w.steps.ran) != 0 {
		t.Fatalf("it waits as %+v", d)
	}
	if d := w.track(t, second.Ref); d.Message != "waits for 1 before it with the same key" {
		t.Errorf("tracked as %+v", d)
	}
	w.run(t, first)
	retry := w.only(t)
	w.run(t, second) // once more by the queue: it is behind the record
	if more := w.queue.take(); len(more) != 0 {
		t.Errorf("a task for one that waits: %+v", more)
	}
	w.steps.events = []tracking.Event{succeeded()}
	w.run(t, other)
	w.is(t, other, tracking.Succeeded)
	w.run(t, retry)
	woken := w.only(t)
	if woken.Ref != second.Ref || !woken.Begun() || woken.After != 0 {
		t.Fatalf("the end of the first one queued %+v", woken)
	}
	w.run(t, woken)
	w.is(t, second, tracking.Succeeded)
	w.sentAre(t, first, other, first, second)
	w.emptied(t)
}

// again is an attempt that failed and is made again.
func again(after time.Duration) tracking.Event {
	return tracking.AttemptFailed{After: after, Fault: &fault.Fault{Reason: fault.ServerError, Message: "500", Retry: true}}
}

func TestTenantsDoNotWaitForEachOther(t *testing.T) {
	w := newOrderWorld(t, "", "", succeeded())
	w.about(t, "a")
	mapped := dispatch.Mapped{Payloads: map[string]json.RawMessage{"crm": []byte(`{"id":"a"}`)}, Keys: map[string]string{"crm": "a"}}
	if _, err := w.dispatcher.Accept(t.Context(), w.fanout, mapped, dispatch.Intake{Tenant: "u", Retention: time.Hour}); err != nil {
		t.Fatal(err)
	}
	w.drain(t)
	if len(w.steps.ran) != 1 || w.steps.ran[0].Tenant != "u" {
		t.Errorf("sent %+v", w.steps.ran)
	}
}

func TestAFailureLetsOthersPass(t *testing.T) {
	w := newOrderWorld(t, "", "", gaveUp, succeeded())
	first, second := w.about(t, "a"), w.about(t, "a")
	w.finish(t, second, first)
	w.is(t, first, tracking.Failed)
	w.is(t, second, tracking.Succeeded)
	w.emptied(t)
	// It is applied late, then, in its turn: behind those that wait now.
	third := w.about(t, "a")
	if _, err := w.operator().Replay(t.Context(), first.Ref, dispatch.ReplayOrder{}); err != nil {
		t.Fatal(err)
	}
	w.finish(t, w.only(t), third)
	w.sentAre(t, first, second, third, first)
	w.emptied(t)
}

func TestAFailureBlocks(t *testing.T) {
	for name, tt := range map[string]struct {
		end  tracking.Event
		free func(o *dispatch.Operator, ref tracking.Ref) error
		sent int // calls in the end
	}{
		"failed, replayed": {gaveUp, func(o *dispatch.Operator, ref tracking.Ref) error {
			_, err := o.Replay(context.Background(), ref, dispatch.ReplayOrder{})
			return err
		}, 3},
		"failed, dropped": {gaveUp, func(o *dispatch.Operator, ref tracking.Ref) error {
			return o.Drop(context.Background(), ref)
		}, 2},
		"unknown, dropped": {tracking.Concluded{State: tracking.Unknown}, func(o *dispatch.Operator, ref tracking.Ref) error {
			return o.Drop(context.Background(), ref)
		}, 2},
		"replayed and canceled": {gaveUp, func(o *dispatch.Operator, ref tracking.Ref) error {
			_, err := o.Replay(context.Background(), ref, dispatch.ReplayOrder{})
			_, cancelErr := o.Cancel(context.Background(), ref.Tracking, "t")
			return errors.Join(err, cancelErr)
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			w := newOrderWorld(t, ", on_failure: block", "", tt.end, succeeded())
			first, second := w.about(t, "a"), w.about(t, "a")
			w.finish(t, first, second)
			if d := w.is(t, second, tracking.Pending); !d.Parked() {
				t.Fatalf("it is %+v", d)
			}
			if d := w.track(t, second.Ref); !strings.Contains(d.Message, first.Tracking) || !strings.Contains(d.Message, "holds them up") {
				t.Errorf("tracked as %q", d.Message)
			}
			w.clock.Add(15 * time.Minute) // somebody looks whether it was forgotten
			w.look(t)
			w.drain(t)
			w.is(t, second, tracking.Pending)
			if err := tt.free(w.operator(), first.Ref); err != nil {
				t.Fatal(err)
			}
			w.drain(t)
			w.is(t, second, tracking.Succeeded)
			if len(w.steps.ran) != tt.sent {
				t.Errorf("%d calls", len(w.steps.ran))
			}
			w.emptied(t)
			if err := w.operator().Drop(t.Context(), second.Ref); !errors.Is(err, tracking.ErrNotFound) {
				t.Errorf("one that did not fail is dropped: %v", err)
			}
		})
	}
}

func TestARejectionDoesNotBlock(t *testing.T) {
	w := newOrderWorld(t, ", on_failure: block", "", tracking.Concluded{State: tracking.Rejected}, succeeded())
	first, second := w.about(t, "a"), w.about(t, "a")
	w.finish(t, second, first)
	w.sentAre(t, first, second)
	w.emptied(t)
}

// A dead letter that is dropped, or expires, by somebody who dies before the line hears of it.
func TestADroppedOneDoesNotBlockForEver(t *testing.T) {
	w := newOrderWorld(t, ", on_failure: block", "", gaveUp, succeeded())
	first, second := w.about(t, "a"), w.about(t, "a")
	w.finish(t, first, second)
	if err := w.store.DropDeadLetter(t.Context(), first.Ref); err != nil {
		t.Fatal(err)
	}
	w.clock.Add(15 * time.Minute)
	w.look(t)
	w.drain(t)
	w.is(t, second, tracking.Succeeded)
	w.emptied(t)
}

func TestACanceledOneLeavesItsLine(t *testing.T) {
	w := newOrderWorld(t, "", "", again(time.Hour), succeeded())
	first, second, third := w.about(t, "a"), w.about(t, "a"), w.about(t, "a")
	w.run(t, first)
	w.run(t, second)
	w.run(t, third)
	w.queue.take()
	for _, task := range []dispatch.Task{second, first} {
		if _, err := w.operator().Cancel(t.Context(), task.Tracking, "t"); err != nil {
			t.Fatal(err)
		}
	}
	if d := w.is(t, second, tracking.Canceled); !strings.Contains(d.Message, "waited") {
		t.Errorf("it was canceled: %s", d.Message)
	}
	w.drain(t)
	w.is(t, third, tracking.Succeeded)
	w.sentAre(t, first, third)
	w.emptied(t)
}

func TestWhoWaitsTooLongFails(t *testing.T) {
	w := newOrderWorld(t, "", ", retry: {within: 2h}", again(3*time.Hour), succeeded())
	first, second := w.about(t, "a"), w.about(t, "a")
	w.run(t, first)
	w.run(t, second)
	retry := w.only(t)
	for range 12 {
		w.clock.Add(10 * time.Minute)
		w.look(t)
		w.finishBut(t, retry)
	}
	if d := w.is(t, second, tracking.Failed); d.Reason != fault.Expired || d.Attempts != 0 {
		t.Errorf("it failed as %+v", d)
	}
	w.finish(t, retry)
	w.is(t, first, tracking.Succeeded)
	w.emptied(t)
}

// finishBut runs what is queued, except for one task.
func (w *world) finishBut(t *testing.T, but dispatch.Task) {
	t.Helper()
	for _, task := range w.queue.take() {
		if task.Ref != but.Ref {
			w.finish(t, task)
		}
	}
}

// Whoever waits is hardly ever looked at, the less the longer it has waited and the further behind.
func TestWaitingIsIdle(t *testing.T) {
	w := newOrderWorld(t, "", "", again(20*time.Hour), succeeded())
	first := w.about(t, "a")
	w.run(t, first)
	w.queue.take()
	for range 20 {
		w.run(t, w.about(t, "a"))
	}
	runs := 0
	for range 12 * 60 { // half a day
		w.clock.Add(time.Minute)
		w.look(t)
		runs += w.finish(t, w.queue.take()...)
	}
	if runs > 100 {
		t.Errorf("%d runs for 20 that waited for half a day", runs)
	}
}

func TestABatchHasOneOfAKey(t *testing.T) {
	w := newOrderWorld(t, "", ", batch: {max_records: 10, linger: 1s}", succeeded())
	var all []dispatch.Task
	for _, key := range []string{"a", "b", "a", "c", "a", "b"} {
		all = append(all, w.about(t, key))
	}
	w.finish(t, all...)
	var batches []string
	for _, in := range w.steps.ran {
		var records []struct{ ID string }
		if err := json.Unmarshal([]byte(uploaded(in)), &records); err != nil {
			t.Fatal(err)
		}
		keys := ""
		for _, r := range records {
			keys += r.ID
		}
		batches = append(batches, sorted(keys)) // those that were freed together may come in any order
	}
	if got := strings.Join(batches, " "); got != "abc ab a" {
		t.Errorf("sent batches with %s", got)
	}
	for _, task := range all {
		w.is(t, task, tracking.Succeeded)
	}
	w.emptied(t)
}

func TestAKeyThatCannotBeMade(t *testing.T) {
	w := newOrderWorld(t, "", "", succeeded())
	for body, want := range map[string]string{
		`{"id":""}`: "empty", `{"id":null}`: "null", `{}`: "null", `{"id":[1]}`: "string", `{"id":{"a":1}}`: "string",
	} {
		mapped, faults := w.fanout.Map(map[string]any{}, []byte(body))
		if len(faults) != 1 || faults[0].Target != "crm" || !strings.Contains(faults[0].Error(), want) || len(mapped.Keys) != 0 {
			t.Errorf("%s: %v, want %q", body, faults, want)
		}
	}
	for body, want := range map[string]string{`{"id":7}`: "7", `{"id":"7"}`: "7", `{"id":12345678901234567890}`: "12345678901234567890", `{"id":true}`: "true"} {
		mapped, faults := w.fanout.Map(map[string]any{}, []byte(body))
		if len(faults) != 0 || mapped.Keys["crm"] != want {
			t.Errorf("%s: %q, %v; want %q", body, mapped.Keys["crm"], faults, want)
		}
	}
}

func sorted(text string) string {
	letters := []byte(text)
	slices.Sort(letters)
	return string(letters)
}
