package dispatch_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// members accepts n records, each its number; it gives what was queued for their batch.
func (w *world) members(t *testing.T, n int) (refs []tracking.Ref, queued []dispatch.Task) {
	t.Helper()
	for i := range n {
		ref, more := w.member(t, fmt.Sprint(i))
		refs, queued = append(refs, ref), append(queued, more...)
	}
	return refs, queued
}

// uploads are what went out, call by call.
func (w *world) uploads() string {
	var out []string
	for _, in := range w.steps.ran {
		if in.Upload != nil {
			out = append(out, uploaded(in))
		}
	}
	return strings.Join(out, " ")
}

func (w *world) states(t *testing.T, refs []tracking.Ref) string {
	t.Helper()
	var out strings.Builder
	for _, ref := range refs {
		out.WriteByte(string(w.track(t, ref).State)[0])
	}
	return out.String()
}

func rejectedBy(message string) tracking.End {
	return tracking.End{State: tracking.Rejected, Reason: fault.Rejected, Message: message}
}

// With a job for each chunk, all steps are gone through for one after the other, under keys
// of their own, and each record gets the end of its own job.
func TestChunkIntoJob(t *testing.T) {
	w := newBatchWorld(t, `{max_records: 5, chunk: {into: job, max_records: 2}}`,
		succeeded(),
		tracking.Concluded{State: tracking.Succeeded, Records: map[int]tracking.End{1: rejectedBy("bad")}},
		tracking.Concluded{State: tracking.Unknown, Reason: fault.JobFailed})
	refs, queued := w.members(t, 5)
	w.finish(t, queued[len(queued)-1])
	if got := w.uploads(); got != `[0,1] [2,3] [4]` {
		t.Errorf("sent %s", got)
	}
	if got := w.states(t, refs); got != "sssru" {
		t.Errorf("ended %s", got)
	}
	keys := map[string]bool{}
	for _, in := range w.steps.ran {
		keys[in.Delivery.KeySuffix] = true
		if in.Delivery.Attempts != 0 || in.Delivery.JobID != "" {
			t.Errorf("a job begins as %+v", in.Delivery)
		}
	}
	if len(keys) != 3 {
		t.Errorf("the jobs have the keys %v, want three", keys)
	}
}

// A worker that dies at any step boundary of a chunk, or in the middle of settling one,
// neither loses nor doubles a record.
func TestWorkerDiesBetweenChunks(t *testing.T) {
	for dies := range 12 {
		for _, settling := range []int{0, 1} {
			t.Run(fmt.Sprint(dies, settling), func(t *testing.T) {
				w := newBatchWorld(t, `{max_records: 6, chunk: {into: job, max_records: 3}}`,
					tracking.Advanced{Next: "poll"}, tracking.Concluded{State: tracking.Succeeded, Poll: true, Records: map[int]tracking.End{1: rejectedBy("bad")}},
					tracking.Advanced{Next: "poll"}, tracking.Concluded{State: tracking.Warned, Poll: true})
				refs, queued := w.members(t, 6)
				queued = queued[len(queued)-1:]
				for n := 0; len(queued) > 0; n++ {
					task := queued[0]
					if n == dies {
						w.dies(t, task, settling)
						queued = w.queue.take()
						continue
					}
					w.run(t, task)
					queued = w.queue.take()
				}
				if got := w.uploads(); got != `[0,1,2] [3,4,5]` {
					t.Errorf("sent %s", got)
				}
				if got := w.states(t, refs); got != "srswww" {
					t.Errorf("ended %s", got)
				}
			})
		}
	}
}

// dies claims a task and goes no further than having settled some of the records.
func (w *world) dies(t *testing.T, task dispatch.Task, settled int) {
	t.Helper()
	claimed, err := w.store.Claim(t.Context(), task.Ref, task.Seq, "dead.run", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if claimed.Delivery.Verdict != "" && settled > 0 {
		ids, err := w.store.Seal(t.Context(), task.Ref, claimed.Delivery.Window)
		if err != nil {
			t.Fatal(err)
		}
		ids = ids[:min(settled, len(ids))]
		own, err := w.store.Ends(t.Context(), task.Ref, ids)
		if err != nil {
			t.Fatal(err)
		}
		members, err := w.store.Board(t.Context(), task.Ref, ids, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range members {
			end := tracking.MemberEnd(m.Delivery, claimed.Delivery, own[m.Tracking], claimed.Now)
			if err := w.store.Apply(t.Context(), m.Ref, m.Delivery.Fence, end); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.store.Settled(t.Context(), task.Ref, ids); err != nil {
			t.Fatal(err)
		}
	}
	w.takeOver(t, task.Ref)
}

// What an upload is refused for is found by sending it in halves; the others are delivered.
func TestSplitFindsTheBadRecord(t *testing.T) {
	for bad := range 9 {
		w := newBatchWorld(t, `{max_records: 9}`, succeeded())
		w.steps.answer = func(in targetInput) tracking.Event {
			if !strings.Contains(","+strings.Trim(uploaded(in), "[]")+",", fmt.Sprint(",", bad, ",")) {
				return succeeded()
			}
			if n := len(in.Upload.Records); n > 1 {
				return tracking.Split{Answer: tracking.Answer{HTTPStatus: 400}, Most: n / 2, Message: "in halves"}
			}
			return tracking.AttemptFailed{Final: true, Fault: &fault.Fault{Reason: fault.Rejected, Message: "bad", Status: 400}}
		}
		refs, queued := w.members(t, 9)
		ran := w.finish(t, queued[len(queued)-1])
		want := []byte("sssssssss")
		want[bad] = 'r'
		if got := w.states(t, refs); got != string(want) {
			t.Errorf("ended %s, want %s; sent %s", got, want, w.uploads())
		}
		if ran > 20 {
			t.Errorf("%d runs to find record %d: %s", ran, bad, w.uploads())
		}
	}
}

// An upload that turns out too large as it is written is sent without its last records,
// which join another batch.
func TestTooMuchAsWrittenJoinsAnotherBatch(t *testing.T) {
	w := newBatchWorld(t, `{max_records: 5}`, tracking.Split{Most: 3, Unsent: true, Message: "too much"}, succeeded())
	refs, queued := w.members(t, 5)
	w.finish(t, queued[len(queued)-1])
	if got := w.uploads(); got != `[0,1,2,3,4] [0,1,2] [3,4]` {
		t.Errorf("sent %s", got)
	}
	if one, other := w.track(t, refs[0]), w.track(t, refs[4]); one.Batch == other.Batch || other.Place != 2 || one.Place != 1 {
		t.Errorf("records of %+v and %+v", one, other)
	}
	if got := w.states(t, refs); got != "sssss" {
		t.Errorf("ended %s", got)
	}
}

// A job that failed for one record is made again with half of them.
func TestFailedJobIsMadeAgainInHalves(t *testing.T) {
	w := newBatchWorld(t, `{max_records: 2}`,
		tracking.Advanced{Next: "poll"}, tracking.Split{Most: 1, Anew: true, Message: "in halves"},
		tracking.Advanced{Next: "poll"}, tracking.Concluded{State: tracking.Failed, Poll: true, Message: "bad"},
		tracking.Advanced{Next: "poll"}, tracking.Concluded{State: tracking.Succeeded, Poll: true})
	refs, queued := w.members(t, 2)
	w.finish(t, queued[len(queued)-1])
	if got, states := w.uploads(), w.states(t, refs); got != `[0,1] [0] [1]` || states != "fs" {
		t.Errorf("sent %s, ended %s", got, states)
	}
}

// A step that is repeated sends what comes next; what is uploaded is not sent again after a
// crash, and all records end with the one job.
func TestChunkIntoStep(t *testing.T) {
	w := newStepChunkWorld(t)
	refs, queued := w.members(t, 5)
	queued = queued[len(queued)-1:]
	for n := 0; len(queued) > 0; n++ {
		if n == 2 {
			w.dies(t, queued[0], 0)
		} else {
			w.run(t, queued[0])
		}
		queued = w.queue.take()
	}
	var got []string
	for _, in := range w.steps.ran {
		if in.Upload != nil {
			got = append(got, fmt.Sprintf("%s at %d of %d", uploaded(in), in.Upload.First, in.Upload.Of))
		}
	}
	want := `[] at 0 of 5, [0,1] at 0 of 5, [2,3] at 2 of 5, [4] at 4 of 5`
	if strings.Join(got, ", ") != want {
		t.Errorf("sent %s\nwant %s", strings.Join(got, ", "), want)
	}
	if states := w.states(t, refs); states != "ssrss" {
		t.Errorf("ended %s", states)
	}
}

func newStepChunkWorld(t *testing.T) *world {
	t.Helper()
	w := newBatchWorld(t, `{}`,
		tracking.Advanced{Next: "upload"}, tracking.Advanced{Next: "upload", Sent: 2}, tracking.Advanced{Next: "upload", Sent: 4},
		tracking.Advanced{Next: "sync"}, tracking.Concluded{State: tracking.Succeeded, Records: map[int]tracking.End{2: rejectedBy("bad")}})
	plan := compile(t, "crm", `{url: "https://crm.example", batch: {max_records: 5, chunk: {into: step, max_records: 2}}, steps: [
		{name: define, post: /imports, json: {}}, {name: upload, foreach: chunk, post: /data}, {name: sync, post: /syncs, json: {}}]}`)
	w.live["crm"] = plan
	w.fanout.Bindings[0].Plan = plan
	return w
}

// A record that is too large by itself never joins.
func TestOversizedRecordIsRejectedByItself(t *testing.T) {
	w := newBatchWorld(t, `{max_records: 2, max_record_bytes: 5}`, succeeded())
	large, _ := w.member(t, `"0123456789"`)
	refs, queued := w.members(t, 2)
	w.finish(t, queued[len(queued)-1])
	if d := w.track(t, large); d.State != tracking.Rejected || d.Reason != fault.TooLarge || d.Batch != "" {
		t.Errorf("the large one: %+v", d)
	}
	if got, states := w.uploads(), w.states(t, refs); got != `[0,1]` || states != "ss" {
		t.Errorf("sent %s, ended %s", got, states)
	}
}

// Batches wait while as many as may be are under way, and the end of one has the next begin
// at once.
func TestBatchesInFlight(t *testing.T) {
	w := newBatchWorld(t, `{max_records: 1, max_in_flight: 1}`, tracking.Advanced{Next: "poll"}, succeeded(),
		tracking.Advanced{Next: "poll"}, succeeded())
	one, first := w.member(t, `1`)
	two, second := w.member(t, `2`)
	w.run(t, first[len(first)-1])
	first = w.queue.take()
	w.run(t, second[len(second)-1])
	waiting := w.only(t)
	if d := w.track(t, two); d.State != tracking.Collecting || !strings.Contains(d.Message, "batch.max_in_flight") || waiting.After == 0 {
		t.Fatalf("the second is %+v, its task %+v", d, waiting)
	}
	if _, err := w.store.Cancel(t.Context(), two.Tracking, "other"); err == nil {
		t.Error("another tenant canceled it")
	}
	now := w.clock.Now()
	w.finish(t, first...)
	if got, states := w.uploads(), w.states(t, []tracking.Ref{one, two}); got != `[1] [2]` || states != "ss" {
		t.Errorf("sent %s, ended %s", got, states)
	}
	if passed := w.clock.Now().Sub(now); passed != 0 {
		t.Errorf("the second waited for %s after the end of the first", passed)
	}
	for _, in := range w.steps.ran {
		if in.Delivery.Attempts > 1 {
			t.Errorf("waiting counted as an attempt: %+v", in.Delivery)
		}
	}
}
