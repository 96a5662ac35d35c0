package tracking_test

import (
	"testing"
	"time"

	. "headgate/dispatch/tracking" //nolint:revive // the package under test
)

// waiting is a delivery whose last poll, at start, came to "not yet", the next one being planned
// for an hour later.
func waiting() Delivery {
	d := Delivery{Fence: Fence{Seq: 3}, State: Delivering, Phase: Running}
	return Apply(d, NotYet{After: time.Hour}, start)
}

func TestPollSooner(t *testing.T) {
	for name, c := range map[string]struct {
		after, at time.Duration // when the callback comes, and when the poll does
	}{
		"while the last poll was written down": {0, CallbackGap},
		"soon after it":                        {CallbackGap / 4, CallbackGap},
		"a while after it":                     {CallbackGap, 0},
		"long after it":                        {time.Hour / 2, 0},
		"by a clock that was set back":         {-time.Minute, CallbackGap},
	} {
		d := PollSooner(waiting(), start.Add(c.after))
		switch {
		case d.Fence != waiting().Fence || d.State != Waiting || d.Polls != 1:
			t.Errorf("%s: %+v", name, d)
		case c.at == 0 && (d.Phase != Queued || d.Lane != LaneResume || !d.NextAt.IsZero()):
			t.Errorf("%s: not at once: %+v", name, d)
		case c.at > 0 && (d.Phase != Scheduled || !d.NextAt.Equal(start.Add(c.at))):
			t.Errorf("%s: %+v", name, d)
		}
		if err := CheckNext(Fence{Seq: 3}, d); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	soon := waiting()
	soon.NextAt = start.Add(CallbackGap / 2)
	if d := PollSooner(soon, start); !d.NextAt.Equal(soon.NextAt) {
		t.Errorf("a poll that was to come sooner comes at %v", d.NextAt.Sub(start))
	}
}

func TestAwaitsPoll(t *testing.T) {
	if !AwaitsPoll(waiting()) {
		t.Error("one whose last poll came to \"not yet\" does not")
	}
	for name, e := range events() {
		for _, before := range []Delivery{in(Delivering), waiting()} {
			if d := Apply(before, e.e, start); AwaitsPoll(d) != (name == "NotYet") {
				t.Errorf("%s, then %s: %t", before.State, name, AwaitsPoll(d))
			}
		}
	}
	if AwaitsPoll(TakeOver(waiting())) {
		t.Error("one whose poll comes at once awaits its time")
	}
}
