package dispatch_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
)

func TestOnlyTheNewestIsSent(t *testing.T) {
	w := newOrderWorld(t, ", coalesce: latest", "", again(time.Minute), succeeded())
	first := w.about(t, "a")
	w.run(t, first)
	retry := w.only(t)
	var waiting []dispatch.Task
	for range 4 {
		waiting = append(waiting, w.about(t, "a"))
		w.run(t, waiting[len(waiting)-1])
	}
	newest := waiting[3]
	// Those between are moot at once, without waiting for anybody.
	for i, task := range waiting[:3] {
		if d := w.is(t, task, tracking.Superseded); d.SupersededBy != waiting[i+1].Tracking {
			t.Errorf("number %d is superseded by %s, want %s", i, d.SupersededBy, waiting[i+1].Tracking)
		}
	}
	w.finish(t, retry)
	if d := w.is(t, first, tracking.Superseded); d.SupersededBy != newest.Tracking || d.Attempts != 1 || !strings.Contains(d.Message, "may have had effect") {
		t.Errorf("what was tried is %+v", d)
	}
	w.is(t, newest, tracking.Succeeded)
	w.sentAre(t, first, newest)
	w.emptied(t)
}

// Whoever has sent a first step goes on to its end: nothing is left half-done.
func TestWhatHasBegunIsNotSuperseded(t *testing.T) {
	w := newOrderWorld(t, ", coalesce: latest", "", tracking.Advanced{Next: "commit"}, again(time.Minute), succeeded())
	first := w.about(t, "a")
	w.run(t, first)
	begun := w.only(t)
	newer := w.about(t, "a")
	w.finish(t, newer, begun)
	w.is(t, first, tracking.Succeeded)
	w.is(t, newer, tracking.Succeeded)
	if len(w.steps.ran) != 4 {
		t.Errorf("%d calls", len(w.steps.ran))
	}
	w.emptied(t)
}

// Where only the newest is sent, an old one that is taken up again does not count as such.
func TestAReplayDoesNotSupersede(t *testing.T) {
	w := newOrderWorld(t, ", coalesce: latest", "", gaveUp, again(time.Minute), succeeded())
	first := w.about(t, "a")
	w.run(t, first)
	w.clock.Add(time.Second)
	second := w.about(t, "a")
	w.run(t, second)
	retry := w.only(t)
	var not *dispatch.NotReplayableError
	if _, err := w.operator().Replay(t.Context(), first.Ref, dispatch.ReplayOrder{}); !errors.As(err, &not) {
		t.Fatalf("Replay: %v", err)
	}
	w.finish(t, retry)
	w.is(t, second, tracking.Succeeded)
	if _, err := w.operator().Replay(t.Context(), first.Ref, dispatch.ReplayOrder{}); err != nil {
		t.Fatal(err)
	}
	w.drain(t)
	w.is(t, first, tracking.Succeeded)
	w.emptied(t)
}

// Of several that are taken up again, the newest is sent.
func TestReplaysCoalesceToTheNewest(t *testing.T) {
	w := newOrderWorld(t, ", coalesce: latest", "", gaveUp)
	var dead []dispatch.Task
	for range 3 {
		task := w.about(t, "a")
		w.run(t, task)
		dead = append(dead, task)
		w.clock.Add(time.Second)
	}
	w.steps.events = []tracking.Event{succeeded()}
	for _, task := range dead {
		if _, err := w.operator().Replay(t.Context(), task.Ref, dispatch.ReplayOrder{}); err != nil {
			t.Fatal(err)
		}
	}
	w.drain(t)
	w.is(t, dead[0], tracking.Superseded)
	w.is(t, dead[1], tracking.Superseded)
	w.is(t, dead[2], tracking.Succeeded)
	w.emptied(t)
}
