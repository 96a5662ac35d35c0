package tracking_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

func TestCancelByState(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for _, state := range allStates {
		for _, phase := range []tracking.Phase{tracking.Queued, tracking.Scheduled, tracking.Running, tracking.Ended} {
			if state.Final() != (phase == tracking.Ended) {
				continue
			}
			d := tracking.Delivery{Fence: tracking.Fence{Seq: 3}, State: state, Phase: phase, JobID: "j", Attempts: 2, NextAt: now}
			next, ok := tracking.Cancel(d, now)
			if want := !state.Final() && phase != tracking.Running; ok != want {
				t.Errorf("%s in phase %c can be canceled: %v", state, phase, ok)
			}
			switch {
			case !ok && !reflect.DeepEqual(next, d):
				t.Errorf("%s in phase %c changed to %+v", state, phase, next)
			case ok && (next.State != tracking.Canceled || next.Phase != tracking.Ended || next.Seq != 4 || next.Reason != fault.Canceled ||
				next.Message == "" || next.JobID != "j" || next.Attempts != 2 || !next.NextAt.IsZero() || !next.EndedAt.Equal(now)):
				t.Errorf("%s canceled is %+v", state, next)
			}
		}
	}
}

func TestReviveForgetsAndRemembers(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	saved := map[string]json.RawMessage{"job": json.RawMessage("1")}
	old := tracking.Delivery{
		Fence: tracking.Fence{Seq: 7}, Phase: tracking.Ended, State: tracking.Unknown, Plan: "p1", Step: "finish", Saved: saved,
		Attempts: 2, StepAttempts: 1, Polls: 9, PollFaults: 3, EndedAt: now.Add(-time.Hour), StepSince: now.Add(-2 * time.Hour),
		Reason: fault.JobDeadline, Message: "m", HTTPStatus: 200, JobID: "j", JobState: "s", Result: saved, KeySuffix: ".r1", Replays: 1, PastAttempts: 5,
		Doubts: "create",
	}
	fresh := tracking.Delivery{
		Fence: tracking.Fence{Seq: 8}, Phase: tracking.Queued, Lane: tracking.LaneNew, State: tracking.Pending, Plan: "p1",
		Replays: 2, ReplayedAt: now, PastAttempts: 7, KeySuffix: ".r1",
		Doubts: "create",
	}
	renewed := fresh
	renewed.Plan, renewed.KeySuffix, renewed.Doubts = "p2", ".r2", ""
	resumed := fresh
	resumed.State, resumed.Step, resumed.Saved, resumed.StepSince = tracking.Waiting, "finish", saved, now
	resumed.JobID, resumed.JobState = "j", "s"
	resumed.Lane = tracking.LaneResume
	mass := fresh
	mass.Lane = tracking.LaneBulk
	for name, c := range map[string]struct {
		how  tracking.Revival
		want tracking.Delivery
	}{
		"as it was": {tracking.Revival{}, fresh},
		"renewed":   {tracking.Revival{Plan: "p2", NewKey: true}, renewed},
		"resumed":   {tracking.Revival{Resume: true}, resumed},
		"of many":   {tracking.Revival{Mass: true}, mass},
	} {
		if got := tracking.Revive(old, c.how, now); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n%+v, want\n%+v", name, got, c.want)
		}
	}
}

// The keys of a round are ones that the backend has not seen, also after a replay: that begins
// the count of rounds anew.
func TestKeysOfRounds(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	d := tracking.Delivery{State: tracking.Delivering, Phase: tracking.Running}
	var keys []string
	round := func() {
		d = tracking.Apply(d, tracking.Again{}, now)
		keys = append(keys, d.KeySuffix)
	}
	round()
	round()
	d = tracking.Revive(tracking.Apply(d, tracking.Concluded{State: tracking.Failed}, now), tracking.Revival{}, now)
	keys = append(keys, d.KeySuffix)
	round()
	d = tracking.Revive(tracking.Apply(d, tracking.Concluded{State: tracking.Failed}, now), tracking.Revival{NewKey: true}, now)
	keys = append(keys, d.KeySuffix)
	round()
	if got := strings.Join(keys, " "); got != ".s2 .s3 .s3 .s4 .r2 .r2.s2" || d.Rounds != 1 {
		t.Errorf("keys end in %s, after %d rounds", got, d.Rounds)
	}
}
