package dispatch_test

import (
	"strings"
	"testing"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/fault"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
)

// newAgainWorld is a world with batches of two, whose records are sent three times at most.
func newAgainWorld(t *testing.T, events ...tracking.Event) *world {
	t.Helper()
	w := newWorld(t, events...)
	plan := compile(t, "crm", `{url: "https://crm.example", post: /contacts, batch: {max_records: 2, linger: 1s}, retry: {attempts: 3, first: 10s, max: 20s}}`)
	w.live = map[string]*target.Plan{"crm": plan}
	w.fanout.Bindings[0].Plan = plan
	return w
}

// locked is the end of a batch that did not take the record at place.
func locked(place int) tracking.Concluded {
	return tracking.Concluded{Answer: tracking.Answer{HTTPStatus: 207, JobID: "j"}, State: tracking.Succeeded, Records: map[int]tracking.End{
		place: {State: tracking.Retrying, Reason: fault.ServerError, Message: "locked"},
	}}
}

// A record that the backend wants to have again joins a new batch after a wait, and the others
// end with theirs.
func TestRecordsAreSentAgain(t *testing.T) {
	w := newAgainWorld(t, locked(1), locked(0), succeeded())
	one, _ := w.member(t, `1`)
	two, queued := w.member(t, `2`)
	w.run(t, queued[len(queued)-1])
	again := w.only(t)
	first := w.track(t, two)
	if w.track(t, one).State != tracking.Succeeded || first.State != tracking.Retrying || first.Rounds != 1 || first.Message != "locked" || first.Batch != "" || first.JobID != "" {
		t.Fatalf("%+v", first)
	}
	if again.Ref != two || again.After > 10*time.Second || (first.NextAt.Sub(w.clock.Now())-again.After).Abs() > time.Second {
		t.Fatalf("queued %+v, to be sent at %s", again, first.NextAt)
	}
	w.finish(t, again)
	end := w.track(t, two)
	if end.State != tracking.Succeeded || end.Rounds != 2 || end.Attempts != 3 || end.Batch == "" {
		t.Errorf("%+v", end)
	}
	var sent []string
	keys := map[string]bool{}
	for _, in := range w.steps.ran {
		sent = append(sent, uploaded(in))
		keys[in.Tracking] = true
		for _, key := range in.Upload.Keys {
			keys[key] = true
		}
	}
	// Three batches, and the keys of four records in them.
	if got := strings.Join(sent, " "); got != `[1,2] [2] [2]` || len(keys) != 3+4 {
		t.Errorf("sent %s with the keys %v", got, keys)
	}
}

func TestRecordsAreNotSentAgainForEver(t *testing.T) {
	t.Run("attempts", func(t *testing.T) {
		w := newAgainWorld(t, locked(0))
		one, queued := w.member(t, `1`)
		w.finish(t, queued...)
		d := w.track(t, one)
		if d.State != tracking.Failed || d.Reason != fault.ServerError || d.Message != "locked; it was sent 3 times, as often as retry.attempts says" || len(w.steps.ran) != 3 {
			t.Errorf("%+v after %d calls", d, len(w.steps.ran))
		}
		if letters, err := w.store.DeadLetters(t.Context(), tracking.DeadQuery{}); err != nil || len(letters.Letters) != 1 {
			t.Errorf("dead letters %+v (%v)", letters, err)
		}
	})
	t.Run("the plan has gone", func(t *testing.T) {
		w := newAgainWorld(t, locked(0))
		one, queued := w.member(t, `1`)
		w.stopped(t, queued[0])
		settle := w.only(t)
		d := w.delivery(t, settle)
		changed := d
		changed.Seq, changed.Plan = d.Seq+1, "0000000000000000"
		if err := w.store.Apply(t.Context(), settle.Ref, d.Fence, changed); err != nil {
			t.Fatal(err)
		}
		settle.Seq++
		w.finish(t, settle)
		if d := w.track(t, one); d.State != tracking.Failed || d.Reason != fault.TargetGone || d.Rounds != 0 {
			t.Errorf("%+v", d)
		}
	})
}

// A run that dies between handing the end on and queueing the task leaves it to the due row.
func TestRunDiesBeforeTheRecordIsQueued(t *testing.T) {
	w := newAgainWorld(t, locked(1), succeeded())
	w.member(t, `1`)
	two, queued := w.member(t, `2`)
	w.stopped(t, queued[len(queued)-1])
	settle := w.only(t)
	members, err := w.store.Board(t.Context(), settle.Ref, []string{two.Tracking}, false)
	if err != nil {
		t.Fatal(err)
	}
	// What the dying run has done of it.
	if _, err := w.store.Claim(t.Context(), settle.Ref, settle.Seq, "dead.run", time.Minute); err != nil {
		t.Fatal(err)
	}
	own, err := w.store.Ends(t.Context(), settle.Ref, []string{two.Tracking})
	if err != nil {
		t.Fatal(err)
	}
	end := own[two.Tracking]
	end.After = time.Second
	batch := w.delivery(t, settle)
	next := tracking.MemberEnd(members[0].Delivery, batch, end, w.clock.Now())
	if err := w.store.Apply(t.Context(), two, members[0].Delivery.Fence, next); err != nil {
		t.Fatal(err)
	}
	w.takeOver(t, settle.Ref)
	var after []dispatch.Task
	for _, task := range w.queue.take() {
		w.run(t, task)
		after = append(after, w.queue.take()...)
	}
	w.clock.Add(time.Minute)
	w.look(t)
	w.finish(t, append(after, w.queue.take()...)...)
	if d := w.track(t, two); d.State != tracking.Succeeded || d.Rounds != 1 || len(w.steps.ran) != 2 {
		t.Errorf("%+v after %d calls", d, len(w.steps.ran))
	}
}
