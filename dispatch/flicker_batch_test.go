package dispatch_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
)

var timedOut = &fault.Fault{Reason: fault.Timeout, Message: "no answer", Retry: true}

func batched(batch string) string {
	return `{url: "https://crm.example", post: /contacts, batch: ` + batch + `}`
}

func uploadAndPoll(batch string) string {
	return `{url: "https://crm.example", batch: ` + batch + `, steps: [{name: upload, post: /imports, save: {job: "${{ .response.body.id }}"}},
		{name: finish, get: "/imports/${{ .saved.job }}", until: {state: "${{ .response.body.state }}", succeeded: [done]}}]}`
}

// joinsAgain is how much later who has to join again may be sent: when another batch has lingered. When
// nobody learnt that a retry waits for its time, the reconciler's Grace comes on top.
const joinsAgain = 8 * time.Second

// second gives the place of the second request in an upload.
func second(u *target.Upload) (place int, ok bool) {
	for i, record := range u.Records {
		if number(record) == 1 {
			return i, true
		}
	}
	return 0, false
}

// refuse gives what comes of the records, when the second one has an end of its own.
func refuse(u *target.Upload, end tracking.End) map[int]tracking.End {
	if place, ok := second(u); ok {
		return map[int]tracking.End{place: end}
	}
	return nil
}

// readBack reads the records that were sent, as the engine does for an answer that names some.
func readBack(in targetInput, then func(u *target.Upload) tracking.Event) tracking.Event {
	u, err := in.Members(context.Background())
	if err != nil {
		return tracking.Concluded{State: tracking.Unknown, Message: err.Error()}
	}
	return then(u)
}

// The worker is stopped and the store is away while the records are read for which the backend has
// just told what became of them.
func TestRecordsAreReadWhileStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		plan := compile(t, "crm", uploadAndPoll(`{max_records: 2, linger: 1s}`))
		w.live = map[string]*target.Plan{"crm": plan}
		w.fanout.Bindings[0].Plan = plan
		store := flickering{w.store, new(flicker)}
		w.runner.Store = store
		ctx, stop := context.WithCancel(t.Context())
		w.steps.answer = func(in targetInput) tracking.Event {
			if in.Delivery.Step == "" {
				return tracking.Advanced{Next: "finish"}
			}
			stop()
			store.from = store.calls + 1
			return readBack(in, func(*target.Upload) tracking.Event {
				return tracking.Concluded{State: tracking.Succeeded, Poll: true, Records: map[int]tracking.End{1: rejectedBy("bad")}}
			})
		}
		first, queued := w.member(t, `{}`)
		second, more := w.member(t, `{}`)
		queued = append(queued, more...)
		for len(queued) > 0 && ctx.Err() == nil {
			w.clock.Add(queued[0].After)
			if err := w.runner.Run(ctx, queued[0]); err != nil {
				t.Fatal(err)
			}
			queued = append(queued[1:], w.queue.take()...)
		}
		w.finish(t, queued...)
		if a, b := w.track(t, first), w.track(t, second); a.State != tracking.Succeeded || b.State != tracking.Rejected {
			t.Errorf("%s %q and %s %q; away:%s", a.State, a.Message, b.State, b.Message, store.hit)
		}
	})
}

var batchScenarios = map[string]scenario{
	"full long before its time": {plan: batched(`{max_records: 2, linger: 1m}`), answer: always(succeeded()), play: sending("a", "b"), want: "succeeded succeeded",
		bound: time.Minute + soon, // that it is full is the answer to who joins last
	},
	"one lingers": {plan: batched(`{max_records: 2, linger: 2s}`), answer: always(succeeded()), play: sending("a"), want: "succeeded"},
	"batch in order": {
		plan:   `{url: "https://crm.example", post: /contacts, batch: {max_records: 3, linger: 1s}, order: {key: "${{ .payload.id }}"}}`,
		answer: always(succeeded()), play: sending("a", "a", "b", "a"), want: "succeeded succeeded succeeded succeeded",
		bound: tracking.LeaveGrace + 2*soon, // many leave at a time, once
	},
	"own ends": {
		bound: joinsAgain,
		plan:  batched(`{max_records: 3, linger: 2s}`), play: sending("a", "b", "c"), want: "succeeded rejected succeeded",
		answer: func(in targetInput) tracking.Event {
			return tracking.Concluded{State: tracking.Succeeded, Records: refuse(in.Upload, rejectedBy("bad"))}
		},
	},
	"one comes again": {
		bound: joinsAgain,
		plan:  batched(`{max_records: 3, linger: 2s}`), play: sending("a", "b", "c"), want: "succeeded succeeded succeeded",
		answer: func(in targetInput) tracking.Event {
			end := tracking.End{State: tracking.Retrying, Reason: fault.ServerError, Message: "locked"}
			if place, ok := second(in.Upload); ok && strings.Contains(in.Upload.Keys[place], ".s2") {
				return succeeded()
			}
			return tracking.Concluded{State: tracking.Succeeded, Records: refuse(in.Upload, end)}
		},
	},
	"own ends of a job": {
		bound: joinsAgain,
		plan:  uploadAndPoll(`{max_records: 4, linger: 2s, chunk: {into: job, max_records: 2}}`), play: sending("a", "b", "c", "d"),
		want: "succeeded rejected succeeded succeeded",
		answer: func(in targetInput) tracking.Event {
			switch {
			case in.Delivery.Step == "":
				return tracking.Advanced{Next: "finish"}
			case in.Delivery.Polls == 0:
				return tracking.NotYet{After: time.Second}
			}
			return readBack(in, func(u *target.Upload) tracking.Event {
				return tracking.Concluded{State: tracking.Succeeded, Poll: true, Records: refuse(u, rejectedBy("bad"))}
			})
		},
	},
	"part by part": {
		bound: joinsAgain,
		plan: `{url: "https://crm.example", batch: {max_records: 3, linger: 2s, chunk: {into: step, max_records: 2}}, steps: [
			{name: define, post: /imports, json: {}}, {name: upload, foreach: chunk, post: /data}, {name: sync, post: /syncs, json: {}}]}`,
		play: sending("a", "b", "c"), want: "succeeded rejected succeeded",
		answer: func(in targetInput) tracking.Event {
			switch in.Delivery.Step {
			case "":
				return tracking.Advanced{Next: "upload"}
			case "upload":
				if in.Upload.First+len(in.Upload.Records) < in.Upload.Of {
					return tracking.Advanced{Next: "upload", Sent: in.Upload.First + len(in.Upload.Records)}
				}
				return tracking.Advanced{Next: "sync"}
			}
			return readBack(in, func(u *target.Upload) tracking.Event {
				return tracking.Concluded{State: tracking.Succeeded, Records: refuse(u, rejectedBy("bad"))}
			})
		},
	},
	"strip": {
		bound: joinsAgain,
		plan:  batched(`{max_records: 3, linger: 2s}`), play: sending("a", "b", "c"), want: "succeeded rejected succeeded",
		answer: func(in targetInput) tracking.Event {
			if refused := refuse(in.Upload, rejectedBy("bad")); refused != nil {
				return tracking.Stripped{Records: refused, Message: "without it"}
			}
			return succeeded()
		},
	},
	"split": {
		bound: joinsAgain,
		plan:  batched(`{max_records: 4, linger: 2s}`), play: sending("a", "b", "c", "d"), want: "succeeded rejected succeeded succeeded",
		answer: func(in targetInput) tracking.Event {
			switch _, bad := second(in.Upload); {
			case !bad:
				return succeeded()
			case len(in.Upload.Records) > 1:
				return tracking.Split{Most: len(in.Upload.Records) / 2, Message: "in halves"}
			}
			return tracking.AttemptFailed{Final: true, Fault: &fault.Fault{Reason: fault.Rejected, Message: "bad", Status: 400}}
		},
	},
	"too much as written": {
		bound: joinsAgain,
		plan:  batched(`{max_records: 3, linger: 2s}`), play: sending("a", "b", "c"), want: "succeeded succeeded succeeded",
		answer: func(in targetInput) tracking.Event {
			if len(in.Upload.Records) > 2 {
				return tracking.Split{Most: 2, Unsent: true, Message: "too much"}
			}
			return succeeded()
		},
	},
	"too many bytes": {
		bound: joinsAgain,
		plan:  batched(`{max_records: 3, max_bytes: 40, linger: 2s}`), play: sending("a", "b", "c"), want: "succeeded succeeded succeeded",
		answer: always(succeeded()),
	},
	"too large by itself": {
		bound: joinsAgain,
		plan:  batched(`{max_records: 2, max_record_bytes: 30, linger: 2s}`), play: sending("a", "a key that is very long", "c"), want: "succeeded rejected succeeded",
		answer: always(succeeded()),
	},
	"one in flight": {
		plan: uploadAndPoll(`{max_records: 1, max_in_flight: 1}`), answer: polls(time.Second), play: sending("a", "b", "c"),
		want:  "succeeded succeeded succeeded",
		bound: 10 * time.Second, // who is to begin is the answer to who ends
	},
	"clean-up of a batch": {
		bound: joinsAgain,
		plan:  `{url: "https://crm.example", post: /a, batch: {max_records: 2, linger: 2s}, save: {id: "${{ .response.body.id }}"}, finally: [{name: b, delete: "/a/${{ .saved.id }}"}]}`,
		play:  sending("a", "b"), want: "warned warned", answer: always(ended()),
	},
}
