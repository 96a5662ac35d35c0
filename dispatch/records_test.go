package dispatch_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// Each record has its own outcome, by its place in the upload: also after one of them has
// left.
func TestRecordsOfBatchEndByThemselves(t *testing.T) {
	rejected := tracking.End{State: tracking.Rejected, Reason: fault.Rejected, Message: "E1 bad"}
	w := newBatchWorld(t, `{max_records: 5}`,
		tracking.Advanced{Answer: tracking.Answer{JobID: "j1"}, Next: "poll"},
		tracking.Concluded{State: tracking.Succeeded, Result: map[string]json.RawMessage{"x": []byte("1")}, Poll: true,
			Records: map[int]tracking.End{0: rejected, 2: rejected, 3: {State: tracking.Unknown}}},
	)
	var refs []tracking.Ref
	var queued []dispatch.Task
	for i := range 5 {
		ref, more := w.member(t, fmt.Sprintf(`{"n":%d}`, i))
		refs, queued = append(refs, ref), append(queued, more...)
		if i == 1 { // this one never is sent: the places are those of the others
			if _, err := w.store.Cancel(t.Context(), ref.Tracking, "t"); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.run(t, queued[len(queued)-1]) // the upload
	queued = w.queue.take()
	if got := uploaded(w.steps.ran[0]); got != `[{"n":0},{"n":2},{"n":3},{"n":4}]` {
		t.Fatalf("sent %s", got)
	}
	// One leaves after the upload: the others keep their places.
	left := w.track(t, refs[4])
	if err := w.store.Apply(t.Context(), refs[4], left.Fence, tracking.TakeOver(left)); err != nil {
		t.Fatal(err)
	}
	w.finish(t, queued...)
	if in := w.steps.ran[1]; in.Upload != nil {
		t.Errorf("a poll was given %s", uploaded(in))
	}
	for i, want := range []tracking.State{tracking.Rejected, tracking.Canceled, tracking.Succeeded, tracking.Rejected, tracking.Pending} {
		d := w.track(t, refs[i])
		if d.State != want {
			t.Errorf("record %d ended %s, want %s", i, d.State, want)
		}
		if want == tracking.Rejected && (d.Message != rejected.Message || d.Reason != fault.Rejected || d.Result != nil || d.JobID != "j1") {
			t.Errorf("record %d is %+v", i, d)
		}
		if want == tracking.Succeeded && string(d.Result["x"]) != "1" {
			t.Errorf("record %d has the result %v", i, d.Result)
		}
	}
}

// Records that the backend refuses with the whole upload are taken out, and the others are
// sent again: also when the run dies before the batch goes on.
func TestRecordsAreStripped(t *testing.T) {
	bad := func(places ...int) tracking.Stripped {
		e := tracking.Stripped{Answer: tracking.Answer{HTTPStatus: 400}, Records: map[int]tracking.End{}}
		for _, place := range places {
			e.Records[place] = tracking.End{State: tracking.Rejected, Reason: fault.Rejected, Message: "bad"}
		}
		return e
	}
	w := newBatchWorld(t, `{max_records: 4}`, bad(1), bad(0, 2), succeeded())
	var refs []tracking.Ref
	var queued []dispatch.Task
	for i := range 4 {
		ref, more := w.member(t, fmt.Sprintf(`{"n":%d}`, i))
		refs, queued = append(refs, ref), append(queued, more...)
	}
	w.finish(t, queued[len(queued)-1])
	var sent []string
	for _, in := range w.steps.ran {
		sent = append(sent, uploaded(in))
	}
	if got := strings.Join(sent, " "); got != `[{"n":0},{"n":1},{"n":2},{"n":3}] [{"n":0},{"n":2},{"n":3}] [{"n":2}]` {
		t.Errorf("sent %s", got)
	}
	for i, want := range []tracking.State{tracking.Rejected, tracking.Rejected, tracking.Succeeded, tracking.Rejected} {
		d := w.track(t, refs[i])
		if d.State != want || (want == tracking.Rejected && (d.Message != "bad" || d.HTTPStatus != 400)) {
			t.Errorf("record %d is %+v, want %s", i, d, want)
		}
	}

	// All of them: there is nothing left to send.
	w = newBatchWorld(t, `{max_records: 2}`, bad(0, 1))
	one, _ := w.member(t, `1`)
	_, queued = w.member(t, `2`)
	w.finish(t, queued[len(queued)-1])
	if d := w.track(t, one); d.State != tracking.Rejected || len(w.steps.ran) != 1 {
		t.Errorf("%+v after %d calls", d, len(w.steps.ran))
	}
}

// What a dying run has done of telling records apart does no harm to the run after it.
func TestRunDiesWhileRecordsAreToldApart(t *testing.T) {
	rejected := tracking.End{State: tracking.Rejected, Reason: fault.Rejected, Message: "bad"}
	for name, second := range map[string]map[int]tracking.End{"the same": {1: rejected}, "other records": {0: rejected}, "none": nil} {
		t.Run("outcomes are noted, then "+name, func(t *testing.T) {
			w := newBatchWorld(t, `{max_records: 2}`,
				tracking.Advanced{Next: "poll"}, tracking.Concluded{State: tracking.Succeeded, Poll: true, Records: second})
			one, _ := w.member(t, `1`)
			two, queued := w.member(t, `2`)
			w.run(t, queued[0])
			poll := w.only(t)
			if _, err := w.store.Claim(t.Context(), poll.Ref, poll.Seq, "dead.run", time.Minute); err != nil {
				t.Fatal(err)
			}
			if err := w.store.Judge(t.Context(), poll.Ref, map[string]tracking.End{two.Tracking: rejected}, time.Hour); err != nil {
				t.Fatal(err)
			}
			w.takeOver(t, poll.Ref)
			w.finish(t, w.queue.take()...)
			for place, ref := range []tracking.Ref{one, two} {
				want := tracking.Succeeded
				if _, is := second[place]; is {
					want = tracking.Rejected
				}
				if d := w.track(t, ref); d.State != want {
					t.Errorf("record %d ended %s, want %s", place, d.State, want)
				}
			}
		})
	}
	t.Run("a record was stripped", func(t *testing.T) {
		w := newBatchWorld(t, `{max_records: 2}`, succeeded())
		one, _ := w.member(t, `1`)
		two, queued := w.member(t, `2`)
		send := queued[0]
		if _, err := w.store.Claim(t.Context(), send.Ref, send.Seq, "dead.run", time.Minute); err != nil {
			t.Fatal(err)
		}
		members, err := w.store.Board(t.Context(), send.Ref, []string{one.Tracking, two.Tracking}, true)
		if err != nil {
			t.Fatal(err)
		}
		end := tracking.MemberEnd(members[0].Delivery, tracking.Delivery{}, rejected, w.clock.Now())
		if err := w.store.Apply(t.Context(), one, members[0].Delivery.Fence, end); err != nil {
			t.Fatal(err)
		}
		w.takeOver(t, send.Ref)
		w.finish(t, w.queue.take()...)
		w.sentOnce(t, two, `[2]`)
		if d := w.track(t, one); d.State != tracking.Rejected {
			t.Errorf("what was stripped is %s", d.State)
		}
	})
}
