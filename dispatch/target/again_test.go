package target

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

const againYAML = `
url: ${URL}
retry: {attempts: 3, first: 10s, max: 1m, within: 1h}
steps:
- name: up
  post: /up
  save: {job: "${{ .response.body.job }}"}
- name: poll
  get: /jobs/${{ .saved.job }}
  until: {state: "${{ .response.body.state }}", running: [busy], succeeded: [done], partial: [partial]}
  rejects:
    items: ${{ .response.body.errors }}
    reason: ${{ .item.why }}
    means: retry
`

// A record that the backend wants to have again starts at the first step, under keys of its own,
// until its attempts or its time are used up.
func TestAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		busy    int // rounds in which the backend does not take it
		more    string
		replays bool
		keys    []string
		state   tracking.State
		message string
	}{
		"taken at once":                       {keys: []string{""}, state: tracking.Succeeded},
		"in the second round":                 {busy: 1, keys: []string{"", ".s2"}, state: tracking.Succeeded},
		"in the third":                        {busy: 2, keys: []string{"", ".s2", ".s3"}, state: tracking.Succeeded},
		"attempts are used up":                {busy: 9, keys: []string{"", ".s2", ".s3"}, state: tracking.Failed, message: "locked; it was sent 3 times, as often as retry.attempts says"},
		"time is used up":                     {busy: 9, more: "within: 3s", keys: []string{""}, state: tracking.Failed, message: "locked; its next try would be later than retry.within (3s) says"},
		"a replay goes on with the last keys": {busy: 4, replays: true, keys: []string{"", ".s2", ".s3", ".s3", ".s4"}, state: tracking.Succeeded},
	} {
		t.Run(name, func(t *testing.T) {
			uploads := 0
			b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == http.MethodPost:
					uploads++
					says(200, fmt.Sprintf(`{"job":"j%d"}`, uploads))(w, r)
				case r.URL.Path != fmt.Sprintf("/jobs/j%d", uploads):
					t.Errorf("asked for %s in round %d", r.URL, uploads)
				case uploads <= tt.busy:
					says(200, `{"state":"partial","errors":[{"why":"locked"}]}`)(w, r)
				default:
					says(200, `{"state":"done"}`)(w, r)
				}
			})
			text := againYAML
			if tt.more != "" {
				text = strings.Replace(text, "within: 1h", tt.more, 1)
			}
			e, p, in := newEngine(t), mustCompile(t, b.URL, text), input()
			d, states := drive(t, e, p, in)
			if tt.replays {
				in.Delivery = tracking.Revive(d, tracking.Revival{}, noon)
				d, _ = drive(t, e, p, in)
			}
			if d.State != tt.state || d.Message != tt.message {
				t.Errorf("%s: %s (%s), after %v", d.State, d.Message, d.Reason, states)
			}
			if d.State == tracking.Failed && d.Reason != fault.JobFailed {
				t.Errorf("reason %s", d.Reason)
			}
			var keys []string
			for _, call := range b.seen() {
				if call.Method == http.MethodPost {
					keys = append(keys, strings.TrimPrefix(call.Header.Get("Idempotency-Key"), "trk_1:crm:up"))
				}
			}
			if !slices.Equal(keys, tt.keys) {
				t.Errorf("keys %q, want %q", keys, tt.keys)
			}
			if tt.busy == 1 && (d.Rounds != 1 || d.Attempts != 2 || d.Polls != 2 || d.JobID != "j2" || !slices.Contains(states, tracking.Retrying)) {
				t.Errorf("%+v", d)
			}
		})
	}
}

// Rounds wait as tries do: longer each time, at random below a bound.
func TestAgainWaits(t *testing.T) {
	p := mustCompile(t, "http://b.example", againYAML)
	for rounds, want := range []time.Duration{5 * time.Second, 10 * time.Second} {
		got := p.Again(&tracking.Delivery{Rounds: rounds}, tracking.End{State: tracking.Retrying, Message: "locked"}, noon, noon, 0.5)
		if got.State != tracking.Retrying || got.After != want || got.Message != "locked" {
			t.Errorf("after %d rounds: %+v, want %s", rounds, got, want)
		}
	}
	late := tracking.End{State: tracking.Retrying}
	if got := p.Again(&tracking.Delivery{ReplayedAt: noon}, late, noon.Add(-time.Hour), noon, 0.5); got.State != tracking.Retrying {
		t.Errorf("the time of a replay does not count: %+v", got)
	}
	if got := p.Again(&tracking.Delivery{}, late, noon.Add(-time.Hour), noon.Add(time.Minute), 0.5); got.State != tracking.Failed {
		t.Errorf("too late: %+v", got)
	}
}
