package tracking_test

import (
	"encoding/json"
	"testing"

	"headgate/dispatch/fault"
	. "headgate/dispatch/tracking" //nolint:revive // as in the table of events
)

// A step is in doubt from when one of its runs was cut short, or says so, until it has worked.
func TestInDoubt(t *testing.T) {
	claimed := func(d Delivery) Delivery {
		d.Phase, d.Token = Running, "run"
		return d
	}
	d := Delivery{Fence: Fence{Seq: 1}, Phase: Queued, State: Pending}
	step := func(what string, next Delivery, want bool) {
		t.Helper()
		if d = next; d.InDoubt() != want {
			t.Errorf("%s: in doubt is %v (%q)", what, d.InDoubt(), d.Doubts)
		}
	}
	timeout := &fault.Fault{Reason: fault.Timeout}
	step("new", d, false)
	step("its task was lost", TakeOver(d), false)
	step("refused", Apply(claimed(d), AttemptFailed{Fault: timeout}, start), false)
	step("put back", PutBack(claimed(d)), false)
	step("its worker died", TakeOver(claimed(d)), true)
	step("and had to wait", Apply(claimed(d), Deferred{}, start), true)
	step("worked", Apply(claimed(d), Advanced{Next: "create"}, start), false)
	step("no answer", Apply(claimed(d), AttemptFailed{Fault: timeout, Doubt: true}, start), true)
	step("another worker died", TakeOver(claimed(d)), true)
	step("given up", Apply(claimed(d), AttemptFailed{Fault: timeout, Final: true}, start), true)
	step("replayed", Revive(d, Revival{}, start), false)
	step("the step before dies once more", TakeOver(claimed(d)), true)
	step("it comes to where it was", Apply(claimed(d), Advanced{Next: "create"}, start), true)
	step("which worked", Apply(claimed(d), Advanced{Next: "finish"}, start), false)
	if d.Doubts != "" {
		t.Errorf("what is left: %q", d.Doubts)
	}
}

// A member of a batch is not run by itself.
func TestMemberIsNotInDoubt(t *testing.T) {
	d := TakeOver(Delivery{Fence: Fence{Seq: 3, Token: "bat_1"}, Phase: Running, State: Delivering, Batch: "bat_1"})
	if d.InDoubt() {
		t.Errorf("%+v", d)
	}
}

// A run that only settles makes no call of a step.
func TestSettlingIsNotInDoubt(t *testing.T) {
	d := TakeOver(Delivery{Fence: Fence{Seq: 3, Token: "run"}, Phase: Running, State: Delivering, Verdict: Failed})
	if d.InDoubt() || d.Verdict != Failed {
		t.Errorf("%+v", d)
	}
}

// Until it is settled a delivery that has ended keeps what was saved, also by its last step.
func TestConcluding(t *testing.T) {
	from := in(Delivering)
	end := Concluding(from, Concluded{State: Succeeded, Saved: map[string]json.RawMessage{"more": json.RawMessage("2")}}, start)
	if end.Verdict != Succeeded || end.State != Delivering || end.Phase != Queued || !end.EndedAt.IsZero() || len(end.Saved) != 2 {
		t.Errorf("%+v", end)
	}
	if _, ok := Cancel(end, start); ok {
		t.Error("canceled although its end is known")
	}
	if CheckNext(from.Fence, end) != nil {
		t.Error("a store would refuse it")
	}
	if settled := Settled(end, start); settled.State != Succeeded || settled.Saved != nil || settled.EndedAt != start || settled.Seq != end.Seq+1 {
		t.Errorf("%+v", settled)
	}
	if unknown := Settled(Concluding(from, PollFailed{Fault: &fault.Fault{}, Final: true}, start), start); unknown.State != Unknown || len(unknown.Saved) != 1 {
		t.Errorf("%+v", unknown)
	}
	if next := Concluding(from, NotYet{}, start); next.Verdict != "" || next.State != Waiting {
		t.Errorf("%+v", next)
	}
}
