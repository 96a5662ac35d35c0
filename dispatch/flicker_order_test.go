package dispatch_test

import (
	"testing"
	"time"

	"headgate/dispatch/tracking"
)

func inOrder(more string) string {
	return `{url: "https://crm.example", post: /contacts, order: {key: "${{ .payload.id }}"` + more + `}}`
}

// firstGivesUp is what comes of a line whose first one fails until it is replayed.
func firstGivesUp(in targetInput) tracking.Event {
	if number(in.Payload) == 0 && in.Delivery.Replays == 0 {
		return gaveUp
	}
	return succeeded()
}

var orderScenarios = map[string]scenario{
	"order":              {plan: inOrder(""), answer: failsOnce, play: sending("a", "a", "b", "a"), want: "succeeded succeeded succeeded succeeded"},
	"a failure may pass": {plan: inOrder(""), answer: firstGivesUp, play: sending("a", "a", "a"), want: "failed succeeded succeeded"},
	"accepting in order": {plan: inOrder(""), answer: failsOnce, play: sending("a", "a"), want: "succeeded succeeded", doors: true,
		bound: tracking.HoleAfter + soon, // a place that could not be given back
	},
	"only the newest": {
		plan: inOrder(", coalesce: latest"), want: "superseded superseded superseded succeeded",
		answer: func(in targetInput) tracking.Event {
			if number(in.Payload) == 0 {
				return again(time.Second)
			}
			return succeeded()
		},
		play: func(t *testing.T, tr *trial) {
			tr.until(t, tr.send(t, "a"), tracking.Retrying)
			sending("a", "a", "a")(t, tr)
		},
	},
	"dropping lets others pass": {
		plan: inOrder(", on_failure: block"), answer: firstGivesUp, want: "failed succeeded succeeded",
		play: func(t *testing.T, tr *trial) {
			first := tr.send(t, "a")
			sending("a", "a")(t, tr)
			tr.until(t, first, tracking.Failed)
			time.Sleep(2 * time.Second)
			tr.drop(t, first)
		},
	},
	"a replay lets others pass": {
		plan: inOrder(", on_failure: block"), answer: firstGivesUp, want: "succeeded succeeded succeeded",
		play: func(t *testing.T, tr *trial) {
			first := tr.send(t, "a")
			sending("a", "a")(t, tr)
			tr.until(t, first, tracking.Failed)
			time.Sleep(2 * time.Second)
			tr.replay(t, first)
		},
	},
	"canceling lets others pass": {
		plan: inOrder(""), want: "canceled succeeded succeeded",
		bound: tracking.LeaveGrace + 2*soon, // who cancels does not wait for the line
		answer: func(in targetInput) tracking.Event {
			if number(in.Payload) == 0 {
				return again(time.Hour)
			}
			return succeeded()
		},
		play: func(t *testing.T, tr *trial) {
			first := tr.send(t, "a")
			sending("a", "a")(t, tr)
			tr.until(t, first, tracking.Retrying)
			tr.cancel(t, first)
		},
	},
}
