package dispatch_test

import (
	"encoding/json"
	"testing"
	"time"

	"headgate/dispatch/tracking"
)

const threeSteps = `
url: https://crm.example
steps:
- {name: a, post: /a}
- {name: b, post: /b}
- {name: c, post: /c}
`

const asksFirst = `
url: https://crm.example
post: /orders
json: {ref: "${{ .tracking }}"}
reconcile: {get: "/orders?ref=${{ .tracking }}", found: "${{ .response.body.count > 0 }}"}
`

// sending gives a play that accepts a request for each key.
func sending(keys ...string) func(*testing.T, *trial) {
	return func(t *testing.T, tr *trial) {
		for _, key := range keys {
			tr.send(t, key)
		}
	}
}

func always(e tracking.Event) func(targetInput) tracking.Event {
	return func(targetInput) tracking.Event { return e }
}

// number is the how manieth request a record is.
func number(record []byte) int {
	var body struct{ N int }
	_ = json.Unmarshal(record, &body)
	return body.N
}

// failsOnce is what the first one comes to: its second attempt works, and so do all others.
func failsOnce(in targetInput) tracking.Event {
	if number(in.Payload) == 0 && in.Delivery.StepAttempts == 0 {
		return again(time.Second)
	}
	return succeeded()
}

// polls gives what a job comes to that has ended at the third look.
func polls(every time.Duration) func(in targetInput) tracking.Event {
	return func(in targetInput) tracking.Event {
		switch {
		case in.Delivery.Step == "":
			return tracking.Advanced{Next: "finish"}
		case in.Delivery.Polls < 2:
			return tracking.NotYet{After: every}
		}
		return tracking.Concluded{State: tracking.Succeeded, Poll: true}
	}
}

var singleScenarios = map[string]scenario{
	"three steps": {
		plan: threeSteps,
		answer: func(in targetInput) tracking.Event {
			switch {
			case in.Delivery.Step == "":
				return tracking.Advanced{Next: "b"}
			case in.Delivery.Step == "b" && in.Delivery.StepAttempts == 0:
				return again(time.Second)
			case in.Delivery.Step == "b":
				return tracking.Advanced{Next: "c"}
			}
			return succeeded()
		},
		play: sending("a"), want: "succeeded",
	},
	"poll": {plan: calledBack, answer: polls(2 * time.Second), play: sending("a"), want: "succeeded"},
	"called back while it waits": {
		plan: calledBack, answer: polls(20 * time.Second), want: "succeeded",
		play: func(t *testing.T, tr *trial) {
			ref := tr.send(t, "a")
			for range 2 {
				tr.until(t, ref, tracking.Waiting)
				time.Sleep(3 * time.Second)
				tr.repeat(t, func() error { _, err := tr.callbacks.Receive(t.Context(), ref); return err })
			}
		},
	},
	"in doubt": {
		plan: asksFirst, play: sending("a"), want: "succeeded",
		answer: func(in targetInput) tracking.Event {
			if !in.Delivery.InDoubt() {
				return tracking.AttemptFailed{Fault: timedOut, After: time.Second, Doubt: true}
			}
			return succeeded()
		},
	},
	"clean-up": {
		plan:   `{url: "https://crm.example", post: /a, save: {id: "${{ .response.body.id }}"}, finally: [{name: b, delete: "/a/${{ .saved.id }}"}]}`,
		answer: always(ended()), play: sending("a"), want: "warned",
	},
	"accepting": {plan: `{url: "https://crm.example", post: /a}`, answer: failsOnce, play: sending("a", "b"), want: "succeeded succeeded", doors: true,
		bound: aRound, // of one that was accepted and nobody learnt it, there is only the row
	},
}
