package target

import (
	"testing"
	"time"

	"headgate/dispatch/tracking"
)

func TestReplayKeepsOrChangesTheKey(t *testing.T) {
	for suffix, want := range map[string]string{"": "trk_1:crm", ".r2": "trk_1:crm.r2"} {
		p := &Plan{Name: "crm"}
		in := &Input{Tracking: "trk_1", Delivery: tracking.Delivery{KeySuffix: suffix}}
		if got := p.idempotencyKey(&step{name: "send"}, in); got != want {
			t.Errorf("key %s, want %s", got, want)
		}
		p.flow = true
		if got := p.idempotencyKey(&step{name: "send"}, in); got != "trk_1:crm:send"+suffix {
			t.Errorf("key of a step %s", got)
		}
	}
}

// TestReplayHasTimeOfItsOwn: retry.within counts from the replay, since the delivery's
// first time was over before it.
func TestReplayHasTimeOfItsOwn(t *testing.T) {
	b := newBackend(t, says(503, ""))
	p := mustCompile(t, b.URL, "url: ${URL}\npost: /x\nretry: {attempts: 5, first: 1s, max: 2s, within: 1h}")
	in := input()
	in.AcceptedAt = in.Now.Add(-30 * 24 * time.Hour)
	for replayed, final := range map[time.Time]bool{{}: true, in.Now.Add(-2 * time.Hour): true, in.Now.Add(-time.Minute): false} {
		in.Delivery.ReplayedAt = replayed
		if got := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), p, in)); got.Final != final {
			t.Errorf("replayed at %v: final %v, want %v", replayed, got.Final, final)
		}
	}
}

func TestPolls(t *testing.T) {
	p := &Plan{steps: []*step{{name: "import"}, {name: "finish", poll: &poll{}}}}
	for name, want := range map[string]bool{"": false, "import": false, "finish": true, "gone": false} {
		if p.Polls(name) != want {
			t.Errorf("step %q polls: %v", name, !want)
		}
	}
}
