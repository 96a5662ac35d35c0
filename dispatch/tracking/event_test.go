package tracking_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"headgate/dispatch/fault"
	. "headgate/dispatch/tracking" //nolint:revive // the table below reads like the document it checks
)

var (
	allStates = []State{
		Pending, Collecting, Delivering, Waiting, Retrying,
		Succeeded, Warned, Rejected, Failed, Unknown, Skipped, Superseded, Canceled,
	}
	start = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
)

// in gives a delivery that stands in a state, with something in every field.
func in(s State) Delivery {
	d := Delivery{
		Fence: Fence{Seq: 7, Token: "run"}, Phase: Running, Plan: "plan", State: s, Step: "import",
		Saved:    map[string]json.RawMessage{"old": json.RawMessage("1")},
		Attempts: 3, StepAttempts: 2, Polls: 5, PollFaults: 1,
		NextAt: start.Add(-time.Minute), StepSince: start.Add(-time.Hour),
		Reason: fault.Timeout, Message: "before", HTTPStatus: 504, JobID: "j-0", JobState: "queued",
		Doubts: "before",
	}
	if s.Final() {
		d.Token, d.Phase, d.NextAt, d.EndedAt = "", Ended, time.Time{}, start
	}
	return d
}

// event is one row of the table: what it makes of every state that is not final.
type event struct {
	e    Event
	want func(*Delivery) // changes to what every event does
}

func events() map[string]event {
	f := &fault.Fault{Reason: fault.ServerError, Message: "it said 503", Status: 503}
	no := &fault.Fault{Reason: fault.Rejected, Message: "no such list", Status: 422}
	saved := map[string]json.RawMessage{"job": json.RawMessage(`"j-1"`)}
	out := map[string]event{
		"Advanced": {Advanced{Answer{HTTPStatus: 202, JobID: "j-1", JobState: "new"}, "finish", saved, 7}, func(d *Delivery) {
			d.Sent = 7
			d.State, d.Phase, d.NextAt = Delivering, Queued, time.Time{}
			d.Attempts, d.Step, d.StepAttempts, d.PollFaults, d.StepSince = 4, "finish", 0, 0, start
			d.Saved = map[string]json.RawMessage{"old": json.RawMessage("1"), "job": json.RawMessage(`"j-1"`)}
			d.Reason, d.Message, d.HTTPStatus, d.JobID, d.JobState = "", "", 202, "j-1", "new"
		}},
		"NotYet": {NotYet{Answer{HTTPStatus: 200}, time.Minute, "its state is one that nobody mapped"}, func(d *Delivery) {
			d.State, d.Phase, d.NextAt = Waiting, Scheduled, start.Add(time.Minute)
			d.Polls, d.PollFaults, d.PolledAt = 6, 0, start
			d.Reason, d.Message, d.HTTPStatus = "", "its state is one that nobody mapped", 200
		}},
		"Deferred": {Deferred{Answer{HTTPStatus: 503, Done: 1, Total: 9}, time.Minute, "no room"}, func(d *Delivery) {
			d.State, d.Phase, d.NextAt = Waiting, Scheduled, start.Add(time.Minute)
			d.Reason, d.Message, d.HTTPStatus = "", "no room", 503
			d.JobDone, d.JobTotal = 1, 9
		}},
		"Stripped": {Stripped{Answer{HTTPStatus: 400}, map[int]End{1: {State: Rejected}}, "1 of 2"}, func(d *Delivery) {
			d.State, d.Phase, d.NextAt = Retrying, Queued, time.Time{}
			d.Attempts = 4
			d.Reason, d.Message, d.HTTPStatus = "", "1 of 2", 400
		}},
		"Split": {Split{Answer{HTTPStatus: 413}, 2, false, false, "in halves"}, func(d *Delivery) {
			d.State, d.Phase, d.NextAt = Retrying, Queued, time.Time{}
			d.Attempts, d.Window, d.WindowMax = 4, 0, 2
			d.Reason, d.Message, d.HTTPStatus = "", "in halves", 413
		}},
		"Split, unsent": {Split{Answer{}, 2, true, false, "too much"}, func(d *Delivery) {
			d.State, d.Phase, d.NextAt = Retrying, Queued, time.Time{}
			d.Window, d.WindowMax = 0, 2
			d.Reason, d.Message, d.HTTPStatus = "", "too much", 0
		}},
		"Split, anew": {Split{Answer{JobState: "failed"}, 1, false, true, "in halves"}, func(d *Delivery) {
			d.State, d.Phase, d.NextAt = Retrying, Queued, time.Time{}
			d.Step, d.Saved, d.Doubts, d.StepSince, d.ReplayedAt = "", nil, "", time.Time{}, start
			d.Attempts, d.StepAttempts, d.Polls, d.PollFaults, d.Window, d.WindowMax = 0, 0, 0, 0, 0, 1
			d.JobID, d.JobState, d.JobDone, d.JobTotal = "", "", 0, 0
			d.Reason, d.Message, d.HTTPStatus, d.KeySuffix = "", "in halves", 0, ":w8"
		}},
		"Again": {Again{Answer{HTTPStatus: 200, JobID: "j-1", JobState: "partial", Done: 1, Total: 2}, time.Minute, fault.JobFailed, "locked", false}, func(d *Delivery) {
			again(d)
			d.Attempts = 4
		}},
		"Again, by a poll": {Again{Answer{HTTPStatus: 200}, time.Minute, fault.JobFailed, "locked", true}, func(d *Delivery) {
			again(d)
			d.Polls = 6
		}},
		"AttemptFailed": {AttemptFailed{Fault: f, After: time.Minute}, func(d *Delivery) {
			d.State, d.Phase, d.NextAt = Retrying, Scheduled, start.Add(time.Minute)
			d.Attempts, d.StepAttempts = 4, 3
			d.Reason, d.Message, d.HTTPStatus = fault.ServerError, "it said 503", 503
		}},
		"AttemptFailed, in doubt": {AttemptFailed{Fault: f, After: time.Minute, Doubt: true}, func(d *Delivery) {
			d.State, d.Phase, d.NextAt = Retrying, Scheduled, start.Add(time.Minute)
			d.Attempts, d.StepAttempts, d.Doubts = 4, 3, "before import"
			d.Reason, d.Message, d.HTTPStatus = fault.ServerError, "it said 503", 503
		}},
		"AttemptFailed, final": {AttemptFailed{Fault: f, After: time.Minute, Final: true}, func(d *Delivery) {
			ended(d, Failed)
			d.Attempts, d.StepAttempts = 4, 3
			d.Reason, d.Message, d.HTTPStatus = fault.ServerError, "it said 503", 503
		}},
		"AttemptFailed, rejected": {AttemptFailed{Fault: no, Final: true}, func(d *Delivery) {
			ended(d, Rejected)
			d.Attempts, d.StepAttempts = 4, 3
			d.Reason, d.Message, d.HTTPStatus = fault.Rejected, "no such list", 422
		}},
		"PollFailed": {PollFailed{f, time.Minute, false}, func(d *Delivery) {
			d.State, d.Phase, d.NextAt = Waiting, Scheduled, start.Add(time.Minute)
			d.PollFaults = 2
			d.Reason, d.Message, d.HTTPStatus = fault.ServerError, "it said 503", 503
		}},
		"PollFailed, final": {PollFailed{f, time.Minute, true}, func(d *Delivery) {
			ended(d, Unknown)
			d.PollFaults = 2
			d.Reason, d.Message, d.HTTPStatus = fault.ServerError, "it said 503", 503
		}},
	}
	for _, s := range allStates {
		if !s.Final() {
			continue
		}
		out["Concluded "+string(s)] = event{
			Concluded{Answer: Answer{HTTPStatus: 200}, State: s, Reason: fault.JobFailed, Message: "said", Result: saved},
			func(d *Delivery) {
				ended(d, s)
				d.Attempts, d.HTTPStatus, d.Result = 4, 200, saved
				d.Reason, d.Message = fault.JobFailed, "said"
			},
		}
		out["Concluded by a poll "+string(s)] = event{Concluded{State: s, Poll: true}, func(d *Delivery) {
			ended(d, s)
			d.Polls, d.HTTPStatus, d.Reason, d.Message = 6, 0, "", ""
		}}
	}
	return out
}

func again(d *Delivery) {
	d.Doubts = ""
	d.State, d.Phase, d.NextAt = Retrying, Scheduled, start.Add(time.Minute)
	d.Rounds, d.KeySuffix = 1, ".s2"
	d.Step, d.Saved, d.StepAttempts, d.PollFaults, d.StepSince = "", nil, 0, 0, time.Time{}
	d.JobID, d.JobState = "", ""
	d.Reason, d.Message, d.HTTPStatus = fault.JobFailed, "locked", 200
}

func ended(d *Delivery, s State) {
	d.State, d.Phase, d.NextAt, d.EndedAt = s, Ended, time.Time{}, start
	if s != Unknown {
		d.Saved = nil
	}
	if s == Succeeded || s == Warned {
		d.Doubts = ""
	}
}

// TestApplyTable goes through every pair of a state and an event.
func TestApplyTable(t *testing.T) {
	for name, e := range events() {
		for _, s := range allStates {
			t.Run(fmt.Sprintf("%s/%s", s, name), func(t *testing.T) {
				from, want := in(s), in(s)
				if !s.Final() {
					want.Seq, want.Token = 8, ""
					e.want(&want)
				}
				if got := Apply(from, e.e, start); !reflect.DeepEqual(got, want) {
					t.Errorf("got  %+v\nwant %+v", got, want)
				}
				if !reflect.DeepEqual(from, in(s)) {
					t.Errorf("the delivery it was given was changed to %+v", from)
				}
			})
		}
	}
}

func TestApplyStartsTheStepsClock(t *testing.T) {
	for name, e := range map[string]Event{
		"NotYet":        NotYet{After: time.Hour},
		"Deferred":      Deferred{After: time.Hour},
		"AttemptFailed": AttemptFailed{Fault: &fault.Fault{}},
		"PollFailed":    PollFailed{Fault: &fault.Fault{}},
	} {
		d := Apply(Delivery{State: Pending}, e, start)
		again := Apply(d, e, start.Add(time.Hour))
		if !d.StepSince.Equal(start) || !again.StepSince.Equal(start) {
			t.Errorf("%s: the step is run since %v, then %v; want %v", name, d.StepSince, again.StepSince, start)
		}
	}
}

func TestApplyPanicsOnWhatIsNoEnd(t *testing.T) {
	for _, e := range []Event{nil, Concluded{}, Concluded{State: Waiting}, Concluded{State: "done"}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%#v passed", e)
				}
			}()
			Apply(in(Delivering), e, start)
		}()
	}
}

func TestTakeOver(t *testing.T) {
	for _, s := range allStates {
		want := in(s)
		if !s.Final() {
			want.Seq, want.Token, want.Phase, want.NextAt = 8, "", Queued, time.Time{}
			want.Doubts = "before import"
		}
		if got := TakeOver(in(s)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", s, got, want)
		}
	}
}

func drawEvent(t *rapid.T) Event {
	answer := Answer{
		HTTPStatus: rapid.IntRange(0, 599).Draw(t, "status"),
		JobID:      rapid.SampledFrom([]string{"", "j-1", "j-2"}).Draw(t, "job"),
	}
	f := &fault.Fault{Reason: rapid.SampledFrom(fault.All()).Draw(t, "reason"), Status: answer.HTTPStatus}
	after := time.Duration(rapid.Int64Range(-int64(time.Minute), int64(time.Hour)).Draw(t, "after"))
	final := rapid.Bool().Draw(t, "final")
	switch rapid.IntRange(0, 6).Draw(t, "kind") {
	case 0:
		key := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "saved")
		return Advanced{Answer: answer, Next: rapid.StringN(1, 4, 8).Draw(t, "next"), Saved: map[string]json.RawMessage{key: json.RawMessage("1")}}
	case 1:
		return NotYet{Answer: answer, After: after}
	case 2:
		return AttemptFailed{Fault: f, After: after, Final: final}
	case 3:
		return PollFailed{Fault: f, After: after, Final: final}
	case 4:
		if !final { // ends are rare, so that runs get long
			return NotYet{Answer: answer, After: after}
		}
		state := rapid.SampledFrom(allStates[5:]).Draw(t, "state")
		return Concluded{Answer: answer, State: state, Poll: rapid.Bool().Draw(t, "poll")}
	case 5:
		return Again{Answer: answer, After: after, Reason: f.Reason, Poll: final}
	default:
		return nil // a take-over
	}
}

// TestApplyInvariants runs any sequence of events, each on a claimed delivery.
func TestApplyInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Delivery{Fence: Fence{Seq: 1}, Phase: Queued, State: Pending, Plan: "plan"}
		now := start
		for range rapid.IntRange(1, 30).Draw(t, "length") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "passed")))
			claimed := d
			if !d.State.Final() {
				claimed.Phase, claimed.Token = Running, "run"
			}
			kept := maps.Clone(claimed.Saved)
			var next Delivery
			e := drawEvent(t)
			if e == nil {
				next = TakeOver(claimed)
			} else {
				next = Apply(claimed, e, now)
			}
			holds(t, claimed, e, next, now)
			if !reflect.DeepEqual(kept, claimed.Saved) {
				t.Fatalf("%T changed what was saved before: %v", e, claimed.Saved)
			}
			d = next
		}
	})
}

// holds checks one change against the invariants.
func holds(t *rapid.T, before Delivery, e Event, after Delivery, now time.Time) {
	fail := func(what string) { t.Fatalf("%s\nbefore %+v\nevent  %#v\nafter  %+v", what, before, e, after) }
	if before.State.Final() {
		if !reflect.DeepEqual(before, after) {
			fail("a final delivery changed")
		}
		return
	}
	if after.Seq != before.Seq+1 || after.Token != "" {
		fail("the fence is not raised, or the claim not given up")
	}
	if CheckNext(before.Fence, after) != nil {
		fail("a store would refuse it")
	}
	if (after.Phase == Ended) != after.State.Final() || after.State.Final() == after.EndedAt.IsZero() {
		fail("phase, end and state disagree")
	}
	if (after.Phase == Scheduled) == after.NextAt.IsZero() {
		fail("a next time and the phase disagree")
	}
	if waits := after.State == Waiting || after.State == Retrying; e != nil && waits != (after.Phase == Scheduled) {
		fail("waiting or retrying and not scheduled, or the reverse")
	}
	if after.Attempts < before.Attempts || after.Polls < before.Polls || after.Plan != before.Plan {
		fail("a count went down, or the plan changed")
	}
	if after.State.Final() && after.State != Unknown && after.Saved != nil {
		fail("what was saved for later steps is kept although there are none")
	}
	_, again := e.(Again)
	for key := range before.Saved {
		if _, ok := after.Saved[key]; !ok && !again && (!after.State.Final() || after.State == Unknown) {
			fail("something saved is lost")
		}
	}
	if before.JobID != "" && after.JobID == "" && !again {
		fail("the job ID is lost")
	}
	tries, polls := after.Attempts-before.Attempts, after.Polls-before.Polls
	switch e := e.(type) {
	case nil:
		if tries+polls != 0 || after.State != before.State {
			fail("a take-over counted as a try, or changed the state")
		}
	case NotYet:
		if tries != 0 || polls != 1 || after.PollFaults != 0 || after.StepAttempts != before.StepAttempts {
			fail("not yet is a poll and never an attempt")
		}
	case PollFailed:
		if tries != 0 || polls != 0 || after.PollFaults != before.PollFaults+1 || (after.State == Unknown) != e.Final {
			fail("a failed poll is no attempt, and ends as unknown")
		}
	case AttemptFailed:
		if tries != 1 || after.StepAttempts != before.StepAttempts+1 || after.State.Final() != e.Final {
			fail("a failed attempt counts once")
		}
	case Advanced:
		if after.Step != e.Next || after.StepAttempts != 0 || after.PollFaults != 0 || !after.StepSince.Equal(now) {
			fail("a new step starts with fresh budgets")
		}
	case Again:
		if tries+polls != 1 || (polls == 1) != e.Poll || after.Rounds != before.Rounds+1 || after.KeySuffix == before.KeySuffix || after.Step != "" || len(after.Saved) > 0 {
			fail("it does not begin anew, or under the keys that it had")
		}
	case Concluded:
		if tries+polls != 1 || (polls == 1) != e.Poll || after.State != e.State || !after.EndedAt.Equal(now) {
			fail("the end is not the one that was given")
		}
	}
}
