package dispatch_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

const calledBack = `
url: https://bulk.example
steps:
- name: submit
  post: /jobs
  json: {callback: "${{ .callback_url }}"}
  save: {job: "${{ .response.body.job }}"}
- name: finish
  get: /jobs/${{ .saved.job }}
  until: {state: "${{ .response.body.state }}", succeeded: [done]}
`

// newCallbackWorld has a target that is called back.
func newCallbackWorld(t *testing.T, events ...tracking.Event) (*world, *dispatch.Callbacks) {
	t.Helper()
	w := newWorld(t, events...)
	plan := compile(t, "crm", calledBack)
	w.live["crm"], w.fanout.Bindings[0].Plan = plan, plan
	c := &dispatch.Callbacks{Store: w.store, Queue: w.queue, PublicURL: "https://gate.example/api/", Log: slog.New(slog.DiscardHandler)}
	w.runner.Callbacks = c
	return w, c
}

// callBack calls the URL that the backend was told first.
func (w *world) callBack(t *testing.T, c *dispatch.Callbacks) dispatch.CallbackOutcome {
	t.Helper()
	token, ok := strings.CutPrefix(w.steps.ran[0].CallbackURL, "https://gate.example/api/callbacks/")
	if !ok {
		t.Fatalf("the backend was told %q", w.steps.ran[0].CallbackURL)
	}
	ref, ok, err := c.Open(t.Context(), token)
	if err != nil || !ok {
		t.Fatalf("Open: %t, %v", ok, err)
	}
	outcome, err := c.Receive(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return outcome
}

var hourly = tracking.NotYet{After: time.Hour}

func TestACallbackBringsThePollForward(t *testing.T) {
	w, c := newCallbackWorld(t, tracking.Advanced{Next: "finish"}, hourly, tracking.Concluded{State: tracking.Succeeded, Poll: true})
	w.run(t, w.one(t))
	w.run(t, w.only(t))
	planned := w.only(t)
	w.clock.Add(time.Minute)
	if got := w.callBack(t, c); got != dispatch.CallbackPolls {
		t.Errorf("a callback while the delivery waits came to %q", got)
	}
	next := w.only(t)
	if next.After != 0 || !next.Begun() || next.Seq <= planned.Seq {
		t.Fatalf("queued as %+v after %+v", next, planned)
	}
	w.run(t, next)
	if d := w.delivery(t, next); d.State != tracking.Succeeded || d.Attempts != 1 {
		t.Fatalf("%+v", d)
	}
	if got := w.callBack(t, c); got != dispatch.CallbackLate {
		t.Errorf("a callback after the end came to %q", got)
	}
	w.run(t, planned) // its time comes later, and it is behind the record
	if len(w.steps.ran) != 3 || len(w.queue.take()) != 0 {
		t.Errorf("%d runs after the end", len(w.steps.ran)-3)
	}
}

// Mistake 12: a callback that arrives before the answer to the submit is dropped. Here it counts,
// even if the backend's job is not over at the poll that follows at once.
func TestMistake12EarlyCallbackCounts(t *testing.T) {
	w, c := newCallbackWorld(t, tracking.Advanced{Next: "finish"}, hourly, succeeded())
	w.steps.during = func() {
		w.steps.during = nil
		if got := w.callBack(t, c); got != dispatch.CallbackKept {
			t.Errorf("a callback before the answer came to %q", got)
		}
	}
	w.run(t, w.one(t))
	w.run(t, w.only(t))
	next := w.only(t)
	if next.After > tracking.CallbackGap {
		t.Fatalf("the poll after the first one comes after %v", next.After)
	}
	w.run(t, next)
	if d := w.delivery(t, next); d.State != tracking.Succeeded {
		t.Fatalf("%+v", d)
	}
}

// A callback during a poll whose answer was already on its way is not lost either.
func TestACallbackDuringAPoll(t *testing.T) {
	w, c := newCallbackWorld(t, tracking.Advanced{Next: "finish"}, hourly, hourly, succeeded())
	w.run(t, w.one(t))
	w.steps.during = func() {
		w.steps.during = nil
		w.callBack(t, c)
		w.callBack(t, c)
	}
	w.run(t, w.only(t))
	w.run(t, w.only(t))
	if next := w.only(t); next.After < 59*time.Minute {
		t.Fatalf("two callbacks during one poll are more than one poll: the third comes after %v", next.After)
	}
}

// However often a backend calls, its job is polled once a second at most.
func TestManyCallbacksAreFewPolls(t *testing.T) {
	w, c := newCallbackWorld(t, tracking.Advanced{Next: "finish"}, hourly)
	w.run(t, w.one(t))
	w.run(t, w.only(t))
	w.queue.take()
	polls := func() int { return len(w.steps.ran) - 2 }
	for range 100 { // ten a second, for ten seconds
		w.clock.Add(100 * time.Millisecond)
		w.callBack(t, c)
		for _, task := range w.queue.take() {
			if task.After == 0 {
				w.run(t, task)
			}
		}
		w.look(t) // what is due by the record
		for _, task := range w.queue.take() {
			if task.After == 0 {
				w.run(t, task)
			}
		}
	}
	if n := polls(); n < 1 || n > 10 {
		t.Errorf("%d polls in ten seconds", n)
	}
}

// What was not to be tried again before its time stays so: a callback makes no attempt, and no
// poll of a backend whose polls fail.
func TestACallbackOnlyPolls(t *testing.T) {
	down := &fault.Fault{Reason: fault.ServerError, Status: 503, Retry: true}
	for name, events := range map[string][]tracking.Event{
		"an attempt that waits":           {tracking.AttemptFailed{Fault: down, After: time.Minute}},
		"a backend without room":          {tracking.Deferred{After: time.Minute}},
		"a poll that failed":              {tracking.PollFailed{Fault: down, After: time.Minute}},
		"a poll that failed after others": {hourly, tracking.PollFailed{Fault: down, After: time.Minute}},
	} {
		w, c := newCallbackWorld(t, events...)
		task := w.one(t)
		for range events {
			w.run(t, task)
			task = w.only(t)
		}
		before := w.delivery(t, task)
		if got := w.callBack(t, c); got != dispatch.CallbackKept {
			t.Errorf("%s: the callback came to %q", name, got)
		}
		if after := w.delivery(t, task); after.Fence != before.Fence || !after.NextAt.Equal(before.NextAt) || len(w.queue.take()) != 0 {
			t.Errorf("%s: %+v became %+v", name, before, after)
		}
	}
}

// Should the gateway die between what it writes and what it queues, the row brings the poll.
func TestACallbackWithoutATask(t *testing.T) {
	w, c := newCallbackWorld(t, tracking.Advanced{Next: "finish"}, hourly, succeeded())
	w.run(t, w.one(t))
	w.run(t, w.only(t))
	task := w.only(t)
	w.clock.Add(time.Minute)
	w.queue.down = errors.New("the queue is away")
	if got := w.callBack(t, c); got != dispatch.CallbackPolls {
		t.Errorf("came to %q", got)
	}
	w.queue.down = nil
	w.clock.Add(20 * time.Second)
	w.look(t)
	w.run(t, w.only(t))
	if d := w.delivery(t, task); d.State != tracking.Succeeded {
		t.Fatalf("%+v", d)
	}
}

func TestCallbackTokens(t *testing.T) {
	w, c := newCallbackWorld(t, succeeded())
	ref := tracking.Ref{Tracking: "bat_0712345678901234567890ab", Target: "news_letter-2"}
	url, err := c.URL(t.Context(), ref)
	again, _ := c.URL(t.Context(), ref)
	token, ok := strings.CutPrefix(url, "https://gate.example/api/callbacks/")
	if err != nil || !ok || url != again {
		t.Fatalf("%q, then %q: %v", url, again, err)
	}
	if strings.Contains(token, ref.Tracking) || strings.ContainsAny(token, "/?#%=.") {
		t.Errorf("the token is %q", token)
	}
	if got, ok, err := c.Open(t.Context(), token); err != nil || !ok || got != ref {
		t.Errorf("it stands for %+v, %t, %v", got, ok, err)
	}
	other, _ := c.URL(t.Context(), tracking.Ref{Tracking: ref.Tracking, Target: "crm"})
	if other == url {
		t.Error("two deliveries have one token")
	}
	forged := []string{"", ref.Tracking, token + "A", token[:len(token)-1], strings.Repeat("A", 10_000), "ä", token + "\n"}
	for i := range token {
		changed := []byte(token)
		changed[i] = map[bool]byte{true: 'B', false: 'A'}[changed[i] == 'A']
		forged = append(forged, string(changed))
	}
	for _, text := range forged {
		if got, ok, err := c.Open(t.Context(), text); ok || err != nil {
			t.Errorf("%.200q stands for %+v, %v", text, got, err)
		}
	}
	elsewhere := newWorld(t)
	c.Store = elsewhere.store
	if _, ok, err := c.Open(t.Context(), token); ok || err != nil {
		t.Errorf("another deployment takes it: %v", err)
	}
	c.Store, c.PublicURL = w.store, ""
	if url, err := c.URL(t.Context(), ref); url != "" || err != nil {
		t.Errorf("without a public URL: %q, %v", url, err)
	}
}

// A target that uses no callback URL is told none, and needs no key.
func TestNoCallbackURLUnasked(t *testing.T) {
	w := newWorld(t, succeeded())
	w.runner.Callbacks = &dispatch.Callbacks{PublicURL: "https://gate.example"} // without a store: it must not be asked
	w.run(t, w.one(t))
	if got := w.steps.ran[0].CallbackURL; got != "" {
		t.Errorf("told %q", got)
	}
}
