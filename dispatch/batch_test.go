package dispatch_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/fault"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
)

// newBatchWorld is a world whose only target takes batches.
func newBatchWorld(t *testing.T, batch string, events ...tracking.Event) *world {
	t.Helper()
	w := newWorld(t, events...)
	plan := compile(t, "crm", `{url: "https://crm.example", post: /contacts, batch: `+batch+`}`)
	w.live = map[string]*target.Plan{"crm": plan}
	w.fanout.Bindings[0].Plan = plan
	return w
}

// member accepts one record and runs its task: it joins a batch. It gives what was queued.
func (w *world) member(t *testing.T, payload string) (ref tracking.Ref, queued []dispatch.Task) {
	t.Helper()
	receipt, err := w.dispatcher.Accept(t.Context(), w.fanout,
		dispatch.Mapped{Payloads: map[string]json.RawMessage{"crm": []byte(payload)}}, dispatch.Intake{Tenant: "t", Retention: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ref = tracking.Ref{Tracking: receipt.ID, Target: "crm"}
	w.run(t, w.only(t))
	return ref, w.queue.take()
}

// uploaded is what a run of a batch sends.
func uploaded(in target.Input) string {
	if in.Upload == nil {
		return ""
	}
	return "[" + string(bytes.Join(in.Upload.Records, []byte(","))) + "]"
}

// finish runs tasks until none is queued, and gives how many it ran.
func (w *world) finish(t *testing.T, queued ...dispatch.Task) (ran int) {
	t.Helper()
	for len(queued) > 0 {
		w.clock.Add(queued[0].After)
		w.run(t, queued[0])
		queued = append(queued[1:], w.queue.take()...)
		if ran++; ran > 1000 {
			t.Fatal("there is no end to it")
		}
	}
	return ran
}

func (w *world) track(t *testing.T, ref tracking.Ref) tracking.Delivery {
	t.Helper()
	d, err := w.dispatcher.Track(t.Context(), ref.Tracking, "t", 0)
	if err != nil {
		t.Fatal(err)
	}
	return d.Deliveries[ref.Target]
}

func TestFullBatchIsSentOnce(t *testing.T) {
	w := newBatchWorld(t, `{max_records: 3, linger: 1h}`,
		tracking.Concluded{Answer: tracking.Answer{HTTPStatus: 202, JobID: "j1"}, State: tracking.Warned, Message: "fine"})
	var refs []tracking.Ref
	var queued []dispatch.Task
	for i := range 3 {
		ref, more := w.member(t, fmt.Sprintf(`{"n":%d}`, i))
		if d := w.track(t, ref); i < 2 && (d.State != tracking.Collecting || d.Batch == "") {
			t.Errorf("record %d is %+v, want it collecting", i, d)
		}
		refs, queued = append(refs, ref), append(queued, more...)
	}
	// One task for when its time has come, and one because it is full.
	if len(queued) != 2 || queued[0].After != time.Hour || queued[1].After != 0 || !queued[1].Begun() {
		t.Fatalf("queued %+v", queued)
	}
	if ran := w.finish(t, queued[1]); ran != 1 || len(w.steps.ran) != 1 {
		t.Fatalf("the backend was called %d times by %d tasks", len(w.steps.ran), ran)
	}
	in := w.steps.ran[0]
	if got := uploaded(in); got != `[{"n":0},{"n":1},{"n":2}]` {
		t.Errorf("sent %s", got)
	}
	if want := refs[1].Tracking + ":crm"; len(in.Upload.Keys) != 3 || in.Upload.Keys[1] != want {
		t.Errorf("its keys are %v, want the second to be %s", in.Upload.Keys, want)
	}
	if !tracking.IsBatch(in.Tracking) {
		t.Errorf("sent as %s", in.Tracking)
	}
	for _, ref := range refs {
		d := w.track(t, ref)
		if d.State != tracking.Warned || d.Attempts != 1 || d.HTTPStatus != 202 || d.JobID != "j1" || d.Message != "fine" || d.Batch != in.Tracking {
			t.Errorf("ended as %+v", d)
		}
		if w.store.Payload(ref) != nil {
			t.Error("the payload is kept")
		}
	}
	if _, err := w.dispatcher.Track(t.Context(), in.Tracking, "", 0); err == nil {
		t.Error("a batch can be tracked like a dispatch")
	}
	w.finish(t, queued[0])
	if len(w.steps.ran) != 1 {
		t.Errorf("the backend was called %d times once the batch's time had come", len(w.steps.ran))
	}
}

func TestBatchLingers(t *testing.T) {
	w := newBatchWorld(t, `{max_records: 100, linger: 10s}`, succeeded())
	ref, queued := w.member(t, `{}`)
	_, more := w.member(t, `{}`)
	if len(queued) != 1 || len(more) != 0 || queued[0].After != 10*time.Second {
		t.Fatalf("queued %+v and %+v", queued, more)
	}
	w.finish(t, queued...)
	if d := w.track(t, ref); d.State != tracking.Succeeded || len(w.steps.ran) != 1 {
		t.Errorf("%+v after %d calls", d, len(w.steps.ran))
	}
}

// A batch is retried and polled like a delivery, with the same records; what its members
// show meanwhile is how it stands.
func TestBatchGoesItsWay(t *testing.T) {
	w := newBatchWorld(t, `{max_records: 2}`,
		tracking.AttemptFailed{Fault: &fault.Fault{Reason: fault.ServerError, Message: "503", Status: 503}, After: time.Second},
		tracking.Advanced{Answer: tracking.Answer{JobID: "j1"}, Next: "poll"},
		tracking.NotYet{Answer: tracking.Answer{JobState: "busy"}, After: time.Minute},
		succeeded(),
	)
	one, _ := w.member(t, `1`)
	_, queued := w.member(t, `2`)
	for _, want := range []tracking.State{tracking.Retrying, tracking.Delivering, tracking.Waiting} {
		w.run(t, queued[0])
		queued = w.queue.take()
		d := w.track(t, one)
		if d.State != want || (want == tracking.Waiting && (d.JobID != "j1" || d.JobState != "busy" || d.NextAt.IsZero())) {
			t.Errorf("shown as %+v, want %s", d, want)
		}
		if _, err := w.store.Cancel(t.Context(), one.Tracking, "t"); err != nil {
			t.Fatal(err)
		}
	}
	w.finish(t, queued...)
	if d := w.track(t, one); d.State != tracking.Succeeded || d.Attempts != 3 || d.Polls != 1 {
		t.Errorf("ended as %+v", d)
	}
	for i, in := range w.steps.ran[:2] {
		if uploaded(in) != `[1,2]` {
			t.Errorf("call %d sent %s", i, uploaded(in))
		}
	}
}

func TestBatchFailsForEachRecord(t *testing.T) {
	for _, c := range []struct {
		event tracking.Event
		want  tracking.State
	}{
		{tracking.AttemptFailed{Final: true, Fault: &fault.Fault{Reason: fault.Timeout, Message: "no answer"}}, tracking.Failed},
		{tracking.AttemptFailed{Final: true, Fault: &fault.Fault{Reason: fault.Rejected, Message: "no"}}, tracking.Rejected},
		{tracking.PollFailed{Final: true, Fault: &fault.Fault{Reason: fault.JobDeadline, Message: "late"}}, tracking.Unknown},
	} {
		w := newBatchWorld(t, `{max_records: 2}`, c.event)
		one, _ := w.member(t, `1`)
		two, queued := w.member(t, `2`)
		w.finish(t, queued...)
		for _, ref := range []tracking.Ref{one, two} {
			d := w.track(t, ref)
			if d.State != c.want || d.Reason == "" || string(w.store.Payload(ref)) == "" {
				t.Errorf("%T: ended as %+v with payload %q", c.event, d, w.store.Payload(ref))
			}
		}
	}
}

// What is replayed are records; the record of their batch stays as it ended.
func TestBatchIsNotReplayed(t *testing.T) {
	w := newBatchWorld(t, `{max_records: 1}`,
		tracking.AttemptFailed{Final: true, Fault: &fault.Fault{Reason: fault.Timeout, Message: "no answer"}}, succeeded())
	ref, queued := w.member(t, `1`)
	w.finish(t, queued...)
	batch := tracking.Ref{Tracking: w.track(t, ref).Batch, Target: ref.Target}
	var not *dispatch.NotReplayableError
	if _, err := w.operator().Replay(t.Context(), batch, dispatch.ReplayOrder{Payload: []byte(`[2]`)}); !errors.As(err, &not) {
		t.Errorf("replaying the batch: %v, want it refused", err)
	}
	if _, err := w.operator().Replay(t.Context(), ref, dispatch.ReplayOrder{}); err != nil {
		t.Fatal(err)
	}
	w.finish(t, w.queue.take()...)
	if d := w.track(t, ref); d.State != tracking.Succeeded || d.Batch == batch.Tracking || len(w.steps.ran) != 2 {
		t.Errorf("replayed, it is %+v after %d calls", d, len(w.steps.ran))
	}
}

func TestBatchWithinItsBytes(t *testing.T) {
	w := newBatchWorld(t, `{max_records: 4, max_bytes: 20, linger: 1s}`, succeeded())
	var refs []tracking.Ref
	var queued []dispatch.Task
	for _, payload := range []string{`"12345678"`, `"123456789012"`, `"this one is far too large"`, `1`} {
		ref, more := w.member(t, payload)
		refs, queued = append(refs, ref), append(queued, more...)
	}
	w.finish(t, queued...)
	for i, want := range []tracking.State{tracking.Succeeded, tracking.Succeeded, tracking.Rejected, tracking.Succeeded} {
		if d := w.track(t, refs[i]); d.State != want || (want == tracking.Rejected) != (d.Reason == fault.TooLarge) {
			t.Errorf("record %d ended as %+v, want %s", i, d, want)
		}
	}
	// The second record made the first batch full and did not fit into it.
	var sent []string
	for _, in := range w.steps.ran {
		if len(uploaded(in)) > 20 {
			t.Errorf("a call of %d bytes: %s", len(uploaded(in)), uploaded(in))
		}
		sent = append(sent, uploaded(in))
	}
	if got := strings.Join(sent, " "); got != `["12345678"] [1] ["123456789012"]` {
		t.Errorf("sent %s", got)
	}
}

func TestCanceledRecordIsNotSent(t *testing.T) {
	w := newBatchWorld(t, `{max_records: 2}`, succeeded())
	one, first := w.member(t, `1`)
	if _, err := w.store.Cancel(t.Context(), one.Tracking, "t"); err != nil {
		t.Fatal(err)
	}
	w.finish(t, first...)
	if len(w.steps.ran) != 0 {
		t.Fatalf("sent %s", uploaded(w.steps.ran[0]))
	}
	two, queued := w.member(t, `2`)
	w.finish(t, queued...)
	if d := w.track(t, two); d.State != tracking.Succeeded || uploaded(w.steps.ran[0]) != `[2]` {
		t.Errorf("the next is %+v, sent %s", d, uploaded(w.steps.ran[0]))
	}
	if d := w.track(t, one); d.State != tracking.Canceled {
		t.Errorf("the canceled one is %+v", d)
	}
}

// A worker that is killed at any point loses nothing and sends nothing twice, for its
// tasks come again under raised numbers.
func TestKilledWhileBatching(t *testing.T) {
	t.Run("before the end of joining is written", func(t *testing.T) {
		w := newBatchWorld(t, `{max_records: 1}`, succeeded())
		task := w.one(t)
		claimed, err := w.store.Claim(t.Context(), task.Ref, task.Seq, "dead.run", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		id, _ := tracking.NewBatchID("crm")
		joined, err := w.store.Join(t.Context(), task.Ref, tracking.Gathering{
			Candidate: id, Plan: claimed.Delivery.Plan, MaxRecords: 1, Until: w.clock.Now(), Retention: time.Hour,
		})
		if err != nil || !joined.Full {
			t.Fatalf("joined %+v, %v", joined, err)
		}
		w.takeOver(t, task.Ref)
		w.finish(t, append([]dispatch.Task{{Ref: joined.Batch, Seq: joined.Seq}}, w.queue.take()...)...)
		w.sentOnce(t, task.Ref, `[{"a":1}]`)
	})
	t.Run("before the batch is queued", func(t *testing.T) {
		w := newBatchWorld(t, `{max_records: 2}`, succeeded())
		_, _ = w.member(t, `1`)
		ref, _ := w.member(t, `2`)
		w.queue.presence = dispatch.Enqueued
		w.clock.Add(time.Minute)
		w.look(t)
		w.finish(t, w.queue.take()...)
		w.sentOnce(t, ref, `[1,2]`)
	})
	t.Run("while it settles", func(t *testing.T) {
		w := newBatchWorld(t, `{max_records: 2}`, succeeded())
		one, _ := w.member(t, `1`)
		two, queued := w.member(t, `2`)
		w.stopped(t, queued[0])
		settle := w.only(t)
		claimed, err := w.store.Claim(t.Context(), settle.Ref, settle.Seq, "dead.run", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		members, err := w.store.Board(t.Context(), settle.Ref, []string{one.Tracking}, false)
		if err != nil {
			t.Fatal(err)
		}
		end := tracking.MemberEnd(members[0].Delivery, claimed.Delivery, tracking.End{}, claimed.Now)
		if err := w.store.Apply(t.Context(), one, members[0].Delivery.Fence, end); err != nil {
			t.Fatal(err)
		}
		w.takeOver(t, settle.Ref)
		w.finish(t, w.queue.take()...)
		w.sentOnce(t, one, `[1,2]`)
		w.sentOnce(t, two, `[1,2]`)
	})
}

// takeOver does what the reconciler does with the run of a dead process.
func (w *world) takeOver(t *testing.T, ref tracking.Ref) {
	t.Helper()
	w.clock.Add(2 * time.Minute)
	w.look(t)
	if d, err := w.store.Load(t.Context(), ref.Tracking); err != nil || d.Deliveries[ref.Target].Phase != tracking.Queued {
		t.Fatalf("not taken over: %+v, %v", d, err)
	}
}

func (w *world) sentOnce(t *testing.T, ref tracking.Ref, body string) {
	t.Helper()
	if len(w.steps.ran) != 1 || uploaded(w.steps.ran[0]) != body {
		t.Errorf("%d calls: %+v, want one of %s", len(w.steps.ran), w.steps.ran, body)
	}
	if d := w.track(t, ref); d.State != tracking.Succeeded {
		t.Errorf("ended as %+v", d)
	}
}

// A batch whose record was lost, as a fail-over may lose it, gives its members free.
func TestLostBatchFreesItsMembers(t *testing.T) {
	w := newBatchWorld(t, `{max_records: 10}`, succeeded())
	ref, _ := w.member(t, `1`)
	w.clock.Add(tracking.BatchLook + time.Second)
	w.look(t) // the batch is there: nothing happens to the member
	if d := w.track(t, ref); d.State != tracking.Collecting {
		t.Fatalf("%+v", d)
	}
	w.queue.take()
	w.store.Lose(w.track(t, ref).Batch)
	w.clock.Add(tracking.BatchLook + time.Second)
	w.look(t)
	w.finish(t, w.queue.take()...)
	w.sentOnce(t, ref, `[1]`)
}
