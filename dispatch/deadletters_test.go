package dispatch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/fault"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
	"headgate/dispatch/tracking/memory"
)

func (w *world) operator() *dispatch.Operator {
	return &dispatch.Operator{Store: w.store, Queue: w.queue, Plans: w.runner.Plans, Log: slog.New(slog.DiscardHandler)}
}

var gaveUp = tracking.AttemptFailed{Final: true, Fault: &fault.Fault{Reason: fault.ServerError, Message: "500"}}

// dead runs a delivery until it has given up.
func (w *world) dead(t *testing.T) dispatch.Task {
	t.Helper()
	task := w.one(t)
	w.run(t, task)
	if d := w.delivery(t, task); d.State != tracking.Failed {
		t.Fatalf("%+v", d)
	}
	return task
}

func TestReplayRunsAgain(t *testing.T) {
	w := newWorld(t, gaveUp, tracking.Concluded{State: tracking.Succeeded})
	task := w.dead(t)
	next, err := w.operator().Replay(t.Context(), task.Ref, dispatch.ReplayOrder{})
	if err != nil || next.State != tracking.Pending {
		t.Fatalf("%+v, %v", next, err)
	}
	w.run(t, task) // asynq runs the old one again: nothing happens
	if again := w.queue.take(); len(again) != 2 || again[0].Seq != next.Seq || again[1].Seq != next.Seq || len(w.steps.ran) != 1 {
		t.Fatalf("queued %+v after %d runs", again, len(w.steps.ran))
	}
	w.run(t, dispatch.Task{Ref: task.Ref, Seq: next.Seq})
	if d := w.delivery(t, task); d.State != tracking.Succeeded || d.Replays != 1 || d.PastAttempts != 1 {
		t.Errorf("%+v", d)
	}
}

// TestReplayWithoutQueue: the due row brings it to the reconciler.
func TestReplayWithoutQueue(t *testing.T) {
	w := newWorld(t, gaveUp, tracking.Concluded{State: tracking.Succeeded})
	task := w.dead(t)
	w.queue.down = errors.New("the queue is away")
	if _, err := w.operator().Replay(t.Context(), task.Ref, dispatch.ReplayOrder{}); err != nil {
		t.Fatal(err)
	}
	w.queue.down = nil
	w.clock.Add(time.Minute)
	w.look(t)
	w.run(t, w.only(t))
	if d := w.delivery(t, task); d.State != tracking.Succeeded {
		t.Errorf("%+v", d)
	}
}

func TestReplayRefuses(t *testing.T) {
	w := newWorld(t, tracking.Concluded{State: tracking.Succeeded})
	op := w.operator()
	task := w.one(t)
	var not *dispatch.NotReplayableError
	if _, err := op.Replay(t.Context(), task.Ref, dispatch.ReplayOrder{}); !errors.As(err, &not) || not.Why != "it is under way" {
		t.Errorf("one under way: %v", err)
	}
	w.run(t, task)
	if _, err := op.Replay(t.Context(), task.Ref, dispatch.ReplayOrder{}); !errors.As(err, &not) || not.Why != "it is succeeded" {
		t.Errorf("one that succeeded: %v", err)
	}
	if _, err := op.Replay(t.Context(), task.Ref, dispatch.ReplayOrder{Restart: true}); !errors.Is(err, tracking.ErrNoPayload) {
		t.Errorf("one whose payload was not kept: %v", err)
	}
	if next, err := op.Replay(t.Context(), task.Ref, dispatch.ReplayOrder{Restart: true, Payload: json.RawMessage(`{}`)}); err != nil || next.Replays != 1 {
		t.Errorf("one with a new payload: %+v, %v", next, err)
	}
	if _, err := op.Replay(t.Context(), tracking.Ref{Tracking: task.Tracking, Target: "other"}, dispatch.ReplayOrder{}); !errors.Is(err, tracking.ErrNotFound) {
		t.Errorf("none: %v", err)
	}
}

// TestReplayPlan: a replay runs under the plan of the acceptance, under the current one
// when it is asked for or the old one is gone, and not at all without any.
func TestReplayPlan(t *testing.T) {
	for name, c := range map[string]struct {
		order      dispatch.ReplayOrder
		gone, live bool
		want       string
	}{
		"as accepted":       {dispatch.ReplayOrder{}, false, true, "old"},
		"current":           {dispatch.ReplayOrder{CurrentPlan: true}, false, true, "new"},
		"gone":              {dispatch.ReplayOrder{}, true, true, "new"},
		"left the files":    {dispatch.ReplayOrder{}, false, false, "old"},
		"nobody knows any":  {dispatch.ReplayOrder{}, true, false, ""},
		"current, but none": {dispatch.ReplayOrder{CurrentPlan: true}, false, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, gaveUp)
			task := w.dead(t)
			hashes := map[string]string{"old": w.live["crm"].Hash, "": ""}
			fresh := compile(t, "crm", `{url: "https://crm.example", post: /v2/contacts}`)
			hashes["new"] = fresh.Hash
			delete(w.live, "crm")
			if c.live {
				w.live["crm"] = fresh
			}
			op := w.operator()
			if c.gone {
				op.Plans = dispatch.NewPlans(func() map[string]*target.Plan { return w.live }, memory.New(nil))
			}
			next, err := op.Replay(t.Context(), task.Ref, c.order)
			if c.want == "" {
				if !errors.Is(err, dispatch.ErrPlanGone) {
					t.Errorf("%+v, %v", next, err)
				}
				return
			}
			if err != nil || next.Plan != hashes[c.want] {
				t.Errorf("%+v, %v; want the %s plan", next, err, c.want)
			}
			if _, err := w.store.PlanSource(t.Context(), next.Plan); err != nil {
				t.Errorf("the plan is not kept: %v", err)
			}
		})
	}
}

// TestReplayUnknown: it goes on polling, unless it is told to begin anew.
func TestReplayUnknown(t *testing.T) {
	for name, c := range map[string]struct {
		order dispatch.ReplayOrder
		step  string
	}{
		"goes on":   {dispatch.ReplayOrder{}, "finish"},
		"restarted": {dispatch.ReplayOrder{Restart: true}, ""},
		"new key":   {dispatch.ReplayOrder{NewKey: true}, ""},
		"corrected": {dispatch.ReplayOrder{Payload: json.RawMessage(`1`)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tracking.Advanced{Answer: tracking.Answer{JobID: "j"}, Next: "finish"}, tracking.Concluded{State: tracking.Unknown, Poll: true})
			plan := compile(t, "crm", `{url: "https://crm.example", steps: [
				{name: import, post: /jobs, save: {job: "${{ .response.body.id }}"}},
				{name: finish, get: "/jobs/${{ .saved.job }}", until: {state: "${{ .response.body.state }}", running: [r], succeeded: [s], failed: [f], every: {first: 1s}, deadline: 1h}}]}`)
			w.live["crm"], w.fanout.Bindings[0].Plan = plan, plan
			task := w.one(t)
			w.run(t, task)
			w.run(t, w.only(t))
			next, err := w.operator().Replay(t.Context(), task.Ref, c.order)
			if err != nil || next.Step != c.step || (c.step != "") != (next.JobID == "j") || (c.step != "") != (next.State == tracking.Waiting) {
				t.Errorf("%+v, %v", next, err)
			}
		})
	}
}

// What has no job of its own to poll is not sent again unasked: the backend may have it.
func TestUnknownWithoutAJobIsNotSentAgainUnasked(t *testing.T) {
	lost := tracking.Concluded{Answer: tracking.Answer{JobID: "j"}, State: tracking.Unknown, Reason: fault.JobDeadline, Poll: true}
	const polls = `get: /jobs/1, until: {state: "${{ .response.body.state }}", succeeded: [s]}`
	for name, c := range map[string]struct{ target, why string }{
		"a record of a batch":               {`{url: "https://crm.example", batch: {max_records: 1}, post: /contacts}`, "the job of its batch"},
		"a record of a batch, first polled": {`{url: "https://crm.example", batch: {max_records: 1}, ` + polls + `}`, "the job of its batch"},
		"a target that does not poll":       {`{url: "https://crm.example", post: /contacts}`, "no job of it to poll"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, lost)
			plan := compile(t, "crm", c.target)
			w.live["crm"], w.fanout.Bindings[0].Plan = plan, plan
			task := w.one(t)
			w.finish(t, task)
			if d := w.track(t, task.Ref); d.State != tracking.Unknown || d.JobID != "j" {
				t.Fatalf("%+v", d)
			}
			var not *dispatch.NotReplayableError
			if _, err := w.operator().Replay(t.Context(), task.Ref, dispatch.ReplayOrder{}); !errors.As(err, &not) ||
				!strings.Contains(not.Why, c.why) || !strings.Contains(not.Why, "with restart") {
				t.Fatalf("%v", err)
			}
			for _, order := range []dispatch.ReplayOrder{{Restart: true}, {NewKey: true}, {Payload: json.RawMessage(`1`)}} {
				next, err := w.operator().Replay(t.Context(), task.Ref, order)
				if err != nil || next.State != tracking.Pending || next.Step != "" {
					t.Fatalf("%+v: %+v, %v", order, next, err)
				}
				w.finish(t, w.only(t)) // it is unknown again
			}
		})
	}
}

func TestReplayFailedOfOwner(t *testing.T) {
	w := newWorld(t, gaveUp)
	task := w.dead(t)
	op := w.operator()
	if _, err := op.ReplayFailed(t.Context(), task.Tracking, "other", nil); !errors.Is(err, tracking.ErrNotFound) {
		t.Errorf("another tenant: %v", err)
	}
	var unknown *dispatch.UnknownTargetsError
	if _, err := op.ReplayFailed(t.Context(), task.Tracking, "t", []string{"crm", "x"}); !errors.As(err, &unknown) || fmt.Sprint(unknown.Names) != "[x]" {
		t.Errorf("unknown targets: %v", err)
	}
	done, err := op.ReplayFailed(t.Context(), task.Tracking, "t", nil)
	if err != nil || fmt.Sprint(done.Targets) != "[crm]" || done.Dispatch.Status() != tracking.InProgress {
		t.Fatalf("%+v, %v", done, err)
	}
	if done, err = op.ReplayFailed(t.Context(), task.Tracking, "t", []string{"crm"}); err != nil || len(done.Targets) != 0 || done.Refused["crm"] != "it is under way" {
		t.Errorf("repeated: %+v, %v", done, err)
	}
	w.run(t, w.only(t))
	if err := op.Drop(t.Context(), task.Ref); err != nil {
		t.Fatal(err)
	}
	if done, err = op.ReplayFailed(t.Context(), task.Tracking, "t", nil); err != nil || done.Refused["crm"] != "its payload is no longer kept" {
		t.Errorf("dropped: %+v, %v", done, err)
	}
}

func TestCancelLeavesAStaleTask(t *testing.T) {
	w := newWorld(t, tracking.Concluded{State: tracking.Succeeded})
	task := w.one(t)
	d, err := w.operator().Cancel(t.Context(), task.Tracking, "t")
	if err != nil || d.Status() != tracking.DispatchCanceled {
		t.Fatalf("%+v, %v", d, err)
	}
	w.run(t, task)
	if len(w.steps.ran) != 0 || len(w.queue.take()) != 0 {
		t.Error("the task of a canceled delivery did something")
	}
}

// TestBulkIsPaced runs on a clock of its own.
func TestBulkIsPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, gaveUp)
		for range 30 {
			w.dead(t)
		}
		op, begun, lines := w.operator(), time.Now(), 0
		p, err := op.Bulk(t.Context(), dispatch.BulkOrder{Verb: dispatch.VerbReplay, Rate: 10}, func(dispatch.Progress) error { lines++; return nil })
		if err != nil || !p.Finished || p.Done != 30 || p.Cursor != "" {
			t.Fatalf("%+v, %v", p, err)
		}
		if took := time.Since(begun); took < 2900*time.Millisecond || took > 3*time.Second {
			t.Errorf("30 at 10 a second took %v", took)
		}
		if lines < 10 || lines > 15 { // four a second
			t.Errorf("%d lines in 3 seconds", lines)
		}
	})
}

// TestBulkGoesOn: interrupted after each one, it does each once, also when all fail again.
func TestBulkGoesOn(t *testing.T) {
	w := newWorld(t, gaveUp)
	for range 250 {
		w.dead(t)
		w.clock.Add(time.Millisecond)
	}
	op, cursor, done, orders := w.operator(), "", 0, 0
	for finished := false; !finished; orders++ {
		ctx, cancel := context.WithCancel(t.Context())
		seen := 0
		p, err := op.Bulk(ctx, dispatch.BulkOrder{Verb: dispatch.VerbReplay, Query: tracking.DeadQuery{Cursor: cursor, Limit: 7}}, func(dispatch.Progress) error {
			if seen++; seen == 1 {
				cancel()
			}
			return nil
		})
		cancel()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		w.clock.Add(time.Second)
		for _, task := range w.queue.take() {
			w.run(t, task) // it fails again
		}
		done += p.Done
		cursor, finished = p.Cursor, p.Finished
		if orders > 1000 {
			t.Fatal("it does not end")
		}
	}
	page, err := w.store.DeadLetters(t.Context(), tracking.DeadQuery{Limit: 1000})
	if err != nil || done != 250 || len(page.Letters) != 250 || orders < 200 {
		t.Errorf("%d done in %d orders, %d dead again (%v)", done, orders, len(page.Letters), err)
	}
	for _, l := range page.Letters {
		if l.Delivery.Replays != 1 {
			t.Fatalf("%s was replayed %d times", l.Tracking, l.Delivery.Replays)
		}
	}
}

func TestBulkOfAList(t *testing.T) {
	w := newWorld(t, gaveUp)
	a, b := w.dead(t).Ref, w.dead(t).Ref
	op := w.operator()
	var problems []string
	report := func(p dispatch.Progress) error {
		if p.Problem != nil {
			problems = append(problems, p.Problem.Target+": "+p.Problem.Why)
		}
		return nil
	}
	order := dispatch.BulkOrder{Verb: dispatch.VerbDrop, Refs: []tracking.Ref{a, {Tracking: a.Tracking, Target: "mail"}, b}}
	order.DryRun = true
	if p, err := op.Bulk(t.Context(), order, report); err != nil || p.Done != 2 || p.Skipped != 1 {
		t.Errorf("the dry run: %+v, %v", p, err)
	}
	order.DryRun, problems = false, nil
	p, err := op.Bulk(t.Context(), order, report)
	const none = "it is not among the dead letters: dropped or replayed already, kept no longer, or never one"
	if err != nil || p.Matched != 3 || p.Done != 2 || p.Skipped != 1 || fmt.Sprint(problems) != "[mail: "+none+"]" {
		t.Errorf("%+v, %v, %v", p, problems, err)
	}
	order.Refs, problems = []tracking.Ref{a}, nil
	if p, err := op.Bulk(t.Context(), order, report); err != nil || p.Skipped != 1 || fmt.Sprint(problems) != "["+a.Target+": "+none+"]" {
		t.Errorf("dropped again: %+v, %v, %v", p, problems, err)
	}
	if _, err := w.store.Load(t.Context(), a.Tracking); err != nil {
		t.Errorf("the record of what was dropped: %v", err)
	}
	stop := errors.New("the client went away")
	if _, err := op.Bulk(t.Context(), order, func(dispatch.Progress) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("a report that fails: %v", err)
	}
}

// TestExpiryRuns removes what is over at once, and again later.
func TestExpiryRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, gaveUp)
		task := w.dead(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { w.operator().Run(ctx); close(ended) }()
		synctest.Wait()
		if l, err := w.store.Letter(t.Context(), task.Ref); err != nil || !l.Dead || l.Payload == nil {
			t.Fatalf("%+v, %v", l, err)
		}
		// The record, too, is kept no longer than its last dead letter.
		w.clock.Add(tracking.DeadLetterRetention)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if _, err := w.store.Letter(t.Context(), task.Ref); !errors.Is(err, tracking.ErrNotFound) {
			t.Errorf("after its time: %v", err)
		}
		cancel()
		<-ended
	})
}
