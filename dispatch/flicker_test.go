package dispatch_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
)

// scenario is one way of deliveries from end to end.
type scenario struct {
	plan   string // YAML of the target
	answer func(in targetInput) tracking.Event
	play   func(t *testing.T, tr *trial)
	want   string // the states, in the order of the requests
	doors  bool   // accepting is hit as well
	// bound is how much later the end may come when the store flickers; 0: soon. Another one says
	// what it is that somebody waits for.
	bound time.Duration
}

func (s scenario) run(t *testing.T, plan *target.Plan, f flickerFault) (out came) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(s, plan, f)
		out = tr.run(t, s.play)
	})
	return out
}

// How much later an end may come than undisturbed.
const (
	// soon is for what the run itself tries again, with pauses of 20, 40 and 80 ms.
	soon = 2 * time.Second
	// aRound is how long it takes the reconciler to bring on what is not queued: QueuedAge of the
	// test's world, and the next looks, of which three may fail.
	aRound = 15 * time.Second
)

// mode is what goes wrong in a trial.
type mode struct {
	name  string
	deaf  bool // runs can queue nothing: the reconciler brings everything on
	queue bool // the queue flickers, and not the store
	lost  bool // what is asked for is done, and only the answer is lost
}

var modes = []mode{
	{name: "the store refuses"},
	{name: "the store's answers are lost", lost: true},
	{name: "the queue refuses", queue: true},
	{name: "the queue's answers are lost", queue: true, lost: true},
	{name: "the store refuses while the reconciler heals", deaf: true},
	{name: "the store's answers are lost while the reconciler heals", deaf: true, lost: true},
}

// bound is how much later an end may come than without the flicker.
func (m mode) bound(s scenario) time.Duration {
	switch {
	case m.deaf:
		return max(s.bound, soon) + 3*aRound // each call that is cut short costs another round
	case m.queue && !m.lost:
		return max(s.bound, soon) + 2*aRound // one task that is lost may be followed by another
	}
	return max(s.bound, soon)
}

// at gives what goes wrong when it begins with the from-th call.
func (m mode) at(from int) (f flickerFault, one *flicker) {
	f = flickerFault{store: new(flicker), queue: new(flicker), deaf: m.deaf}
	if one = f.store; m.queue {
		one = f.queue
	}
	one.from, one.lost, one.looks = from, m.lost, m.deaf
	return f, one
}

// Whatever is away for three calls in a row, at any place in the life of deliveries: they come to the
// same end, soon or within what the scenario states; nothing is sent twice or counted that was not
// made, and nothing is left over.
func TestFlicker(t *testing.T) {
	all := map[string]scenario{}
	for _, some := range []map[string]scenario{singleScenarios, orderScenarios, batchScenarios, operatorScenarios} {
		maps.Copy(all, some)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		for _, m := range modes {
			t.Run(name+", "+m.name, func(t *testing.T) {
				t.Parallel()
				flickers(t, all[name], m)
			})
		}
	}
}

func flickers(t *testing.T, s scenario, m mode) {
	plan := compile(t, "crm", s.plan)
	f, _ := m.at(0)
	base := s.run(t, plan, f)
	if base.states != s.want || len(base.left) > 0 {
		t.Fatalf("undisturbed it comes to %s\nand leaves %s", base, base.left)
	}
	first, stride := 1, 1
	if m.deaf { // mostly looks that find nothing: each call is hit once, in one of the two ways
		stride = 2 * inARow
		if m.lost {
			first += inARow
		}
	}
	for from := first; from <= base.positions; from += stride {
		f, one := m.at(from)
		got := s.run(t, plan, f)
		where := fmt.Sprintf("from call %d on (%s)", from, strings.TrimSpace(one.hit))
		// Who joins again may be sent with others.
		if together := strings.Contains(one.hit, "join") || m.queue; got.states != base.states || !together && got.String() != base.String() {
			t.Errorf("%s it comes to %s\nnot to %s", where, got, base)
		}
		if len(got.left) > 0 {
			t.Errorf("%s it leaves %s", where, got.left)
		}
		if late := got.ended - base.ended; late > m.bound(s) {
			t.Errorf("%s it ends %v later", where, late)
		}
		// That a line was left is told to nobody but the reconciler, by a row that nobody waits for.
		if late := got.emptied - base.emptied; late > max(m.bound(s), tracking.LeaveGrace+soon) {
			t.Errorf("%s it is tidied up %v later", where, late)
		}
	}
}
