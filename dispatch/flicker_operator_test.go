package dispatch_test

import (
	"errors"
	"testing"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
)

func (tr *trial) replay(t *testing.T, ref tracking.Ref) {
	t.Helper()
	tr.repeat(t, func() error {
		_, err := tr.operator.Replay(t.Context(), ref, dispatch.ReplayOrder{})
		var not *dispatch.NotReplayableError
		if errors.As(err, &not) && tr.at(t, ref).Replays > 0 {
			return nil // it was done before, and nobody learnt it
		}
		return err
	})
}

func (tr *trial) drop(t *testing.T, ref tracking.Ref) {
	t.Helper()
	tried := false
	tr.repeat(t, func() error {
		err := tr.operator.Drop(t.Context(), ref)
		if tried && errors.Is(err, tracking.ErrNotFound) {
			return nil
		}
		tried = true
		return err
	})
}

func (tr *trial) cancel(t *testing.T, ref tracking.Ref) {
	t.Helper()
	tr.repeat(t, func() error { _, err := tr.operator.Cancel(t.Context(), ref.Tracking, "t"); return err })
}

var operatorScenarios = map[string]scenario{
	"replay": {
		plan: threeSteps, answer: firstGivesUp, want: "succeeded",
		play: func(t *testing.T, tr *trial) {
			ref := tr.send(t, "a")
			tr.until(t, ref, tracking.Failed)
			tr.replay(t, ref)
		},
	},
	"a job goes on": {
		plan: calledBack, want: "succeeded",
		answer: func(in targetInput) tracking.Event {
			switch {
			case in.Delivery.Step == "":
				return tracking.Advanced{Next: "finish"}
			case in.Delivery.Replays == 0:
				return tracking.Concluded{State: tracking.Unknown, Poll: true}
			}
			return tracking.Concluded{State: tracking.Succeeded, Poll: true}
		},
		play: func(t *testing.T, tr *trial) {
			ref := tr.send(t, "a")
			tr.until(t, ref, tracking.Unknown)
			tr.replay(t, ref)
		},
	},
	"drop": {
		plan: threeSteps, answer: always(gaveUp), want: "failed",
		play: func(t *testing.T, tr *trial) {
			ref := tr.send(t, "a")
			tr.until(t, ref, tracking.Failed)
			tr.drop(t, ref)
		},
	},
	"cancel": {
		plan: threeSteps, answer: always(again(time.Hour)), want: "canceled",
		play: func(t *testing.T, tr *trial) {
			ref := tr.send(t, "a")
			tr.until(t, ref, tracking.Retrying)
			tr.cancel(t, ref)
		},
	},
	"cancel what collects": {
		plan: batched(`{max_records: 5, linger: 20s}`), answer: always(succeeded()), want: "canceled succeeded",
		play: func(t *testing.T, tr *trial) {
			ref := tr.send(t, "a")
			tr.until(t, ref, tracking.Collecting)
			tr.send(t, "b")
			tr.cancel(t, ref)
		},
	},
}
