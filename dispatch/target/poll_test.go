package target

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

const polling = `
url: ${URL}
get: /jobs/${{ .saved.job }}
until:
  state: ${{ .response.body.state }}
  running: [running, 1, false]
  succeeded: [done, 2, true]
  warned: [warned]
  partial: [partial]
  failed: [failed]
  every: {first: 10s, factor: 2, max: 1m}
  deadline: 1h
  message: ${{ .response.body.note }}
result: {n: "${{ .response.body.n }}"}
`

// pollPlan is polling as the second step of a flow, without a server for the first one.
func pollPlan(t *testing.T, url, more string) *Plan { return pollPlanUnder(t, url, "", more) }

// pollPlanUnder has lines of the target itself above the steps.
func pollPlanUnder(t *testing.T, url, above, more string) *Plan {
	step := strings.ReplaceAll(strings.TrimPrefix(polling, "\nurl: ${URL}\n")+more, "\n", "\n  ")
	return mustCompile(t, url, "url: ${URL}\n"+above+"steps:\n- {name: up, post: /up, save: {job: '${{ .response.body.id }}'}}\n- name: poll\n  "+step)
}

func polledInput() Input {
	in := input()
	in.Delivery = tracking.Delivery{Step: "poll", State: tracking.Waiting, JobID: "j1",
		Saved: map[string]json.RawMessage{"job": json.RawMessage(`"j1"`)}, StepSince: noon.Add(-time.Minute)}
	return in
}

func TestPollStates(t *testing.T) {
	tests := map[string]struct {
		body    string
		state   tracking.State // empty: not yet
		word    string
		reason  fault.Reason
		message string
	}{
		"running":         {body: `{"state":"running","note":"half way"}`, word: "running", message: "half way"},
		"running number":  {body: `{"state":1}`, word: "1"},
		"running boolean": {body: `{"state":false}`, word: "false"},
		"done":            {body: `{"state":"done","n":12345678901234567890}`, state: tracking.Succeeded, word: "done"},
		"done number":     {body: `{"state":2}`, state: tracking.Succeeded, word: "2"},
		"done boolean":    {body: `{"state":true}`, state: tracking.Succeeded, word: "true"},
		"warned":          {body: `{"state":"warned","note":"dup"}`, state: tracking.Warned, word: "warned", message: "dup"},
		"partial":         {body: `{"state":"partial"}`, state: tracking.Unknown, word: "partial", reason: fault.JobFailed, message: "does not tell which"},
		"failed":          {body: `{"state":"failed","note":"disk full"}`, state: tracking.Failed, word: "failed", reason: fault.JobFailed, message: "disk full"},
		"unmapped":        {body: `{"state":"x"}`, word: "x", message: `the backend's job is in state "x", which no list names; waiting`},
		"no state":        {body: `{}`, message: `state ""`},
		"case matters":    {body: `{"state":"Done"}`, word: "Done", message: "which no list names"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, says(200, tt.body))
			got := newEngine(t).Run(t.Context(), pollPlan(t, b.URL, ""), polledInput())
			var answer tracking.Answer
			var message string
			if tt.state == "" {
				e := eventOf[tracking.NotYet](t, got)
				answer, message = e.Answer, e.Message
				if e.After != 10*time.Second {
					t.Errorf("after %s", e.After)
				}
			} else {
				e := eventOf[tracking.Concluded](t, got)
				answer, message = e.Answer, e.Message
				if e.State != tt.state || e.Reason != tt.reason || !e.Poll {
					t.Errorf("%+v", e)
				}
				if name == "done" && string(e.Result["n"]) != "12345678901234567890" {
					t.Errorf("result %s", e.Result)
				}
			}
			if answer.JobID != "j1" || answer.JobState != tt.word || answer.HTTPStatus != 200 || !strings.Contains(message, tt.message) {
				t.Errorf("%+v %q", answer, message)
			}
			if uri := b.seen()[0].URI; uri != "/jobs/j1" {
				t.Errorf("polled %s", uri)
			}
		})
	}
}

func TestPollGaps(t *testing.T) {
	b := newBackend(t, says(200, `{"state":"running"}`))
	p, e := pollPlan(t, b.URL, ""), newEngine(t)
	for polls, want := range []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute, time.Minute} {
		for _, draw := range []float64{0, 0.5, 0.999} {
			e.random = func() float64 { return draw }
			in := polledInput()
			in.Delivery.Polls = polls
			got := eventOf[tracking.NotYet](t, e.Run(t.Context(), p, in))
			if low, high := want*9/10, want*11/10; got.After < low || got.After > high || (draw == 0.5 && got.After != want) {
				t.Errorf("poll %d, draw %v: %s, want %s ± 10%%", polls, draw, got.After, want)
			}
		}
	}
	in := polledInput()
	in.Delivery.StepSince = noon.Add(-time.Hour + 3*time.Second)
	if got := eventOf[tracking.NotYet](t, e.Run(t.Context(), p, in)); got.After > 3*time.Second {
		t.Errorf("the last poll is later than the deadline: %s", got.After)
	}
}

func TestPollHeedsRetryAfter(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "90")
		says(200, `{"state":"running"}`)(w, r)
	})
	got := eventOf[tracking.NotYet](t, newEngine(t).Run(t.Context(), pollPlan(t, b.URL, ""), polledInput()))
	if got.After != 90*time.Second {
		t.Errorf("after %s", got.After)
	}
}

func TestPollDeadline(t *testing.T) {
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		state  tracking.State
	}{
		"still running":   {says(200, `{"state":"running"}`), tracking.Unknown},
		"poll fails":      {says(500, ``), tracking.Unknown},
		"done after all":  {says(200, `{"state":"done"}`), tracking.Succeeded},
		"unmapped to end": {says(200, `{"state":"x"}`), tracking.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, tt.answer)
			in := polledInput()
			in.Delivery.StepSince = noon.Add(-time.Hour)
			got := eventOf[tracking.Concluded](t, newEngine(t).Run(t.Context(), pollPlan(t, b.URL, ""), in))
			if got.State != tt.state || got.JobID != "j1" || !got.Poll {
				t.Errorf("%+v", got)
			}
			if tt.state == tracking.Unknown && (got.Reason != fault.JobDeadline || !strings.Contains(got.Message, "1h")) {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestPollFaults(t *testing.T) {
	for _, tt := range []struct {
		status int
		reason fault.Reason
	}{{500, fault.ServerError}, {401, fault.Auth}, {404, fault.Rejected}, {429, fault.RateLimited}, {302, fault.BadResponse}, {413, fault.TooLarge}} {
		b := newBackend(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "40")
			w.WriteHeader(tt.status)
		})
		p, e, in := pollPlan(t, b.URL, ""), newEngine(t), polledInput()
		got := eventOf[tracking.PollFailed](t, e.Run(t.Context(), p, in))
		if got.Final || got.Fault.Reason != tt.reason || got.After < 40*time.Second {
			t.Errorf("%d: %+v %+v", tt.status, got, got.Fault)
		}
		in.Delivery.PollFaults = 19
		if got = eventOf[tracking.PollFailed](t, e.Run(t.Context(), p, in)); !got.Final {
			t.Errorf("%d: the 20th fault in a row is not the last", tt.status)
		}
		d := tracking.Apply(in.Delivery, got, noon)
		if d.State != tracking.Unknown || d.JobID != "j1" {
			t.Errorf("%d: %+v", tt.status, d)
		}
	}
}

func TestPollWithoutUsableState(t *testing.T) {
	b := newBackend(t, says(200, `[1]`))
	got := eventOf[tracking.PollFailed](t, newEngine(t).Run(t.Context(), pollPlan(t, b.URL, ""), polledInput()))
	if got.Final || got.Fault.Reason != fault.BadResponse {
		t.Errorf("%+v %+v", got, got.Fault)
	}
}

func TestPollThatCannotBeMade(t *testing.T) {
	b := newBackend(t, says(200, `{"state":"done"}`))
	in := polledInput()
	in.Delivery.Saved = nil // a record that lost what was saved: nothing may be sent again
	got := eventOf[tracking.PollFailed](t, newEngine(t).Run(t.Context(), pollPlan(t, b.URL, ""), in))
	if !got.Final || got.Fault.Reason != fault.Internal || len(b.seen()) != 0 {
		t.Errorf("%+v %+v %v", got, got.Fault, b.seen())
	}
}

func TestPollOwnJobID(t *testing.T) {
	b := newBackend(t, says(200, `{"state":"running","job":77}`))
	p := mustCompile(t, b.URL, "url: ${URL}\nget: /x\nuntil: {state: '${{ .response.body.state }}', succeeded: [a], job: '${{ .response.body.job }}'}")
	in := input()
	got := eventOf[tracking.NotYet](t, newEngine(t).Run(t.Context(), p, in))
	if got.JobID != "77" {
		t.Errorf("%+v", got)
	}
	b.Close()
	in.Delivery.JobID = "76" // from an earlier answer: kept when there is none
	in.Now = noon.Add(25 * time.Hour)
	in.Delivery.StepSince = noon
	if end := eventOf[tracking.Concluded](t, newEngine(t).Run(t.Context(), p, in)); end.JobID != "76" || end.Reason != fault.JobDeadline {
		t.Errorf("%+v", end)
	}
}

// A job that is done may have refused records all the same.
func TestPartialIf(t *testing.T) {
	for body, want := range map[string]tracking.State{
		`{"state":"done","failed":0}`:    tracking.Succeeded,
		`{"state":"done","failed":2}`:    tracking.Unknown, // which of them is not told
		`{"state":"warned","failed":2}`:  tracking.Unknown,
		`{"state":"failed","failed":0}`:  tracking.Failed,
		`{"state":"running","failed":2}`: "",
		`{"state":"done","failed":"no"}`: "", // not even whether: it is asked again
	} {
		b := newBackend(t, says(200, body))
		p := pollPlan(t, b.URL, "")
		event := newEngine(t).Run(t.Context(), mustCompile(t, b.URL, strings.Replace(string(p.Source), `"until":{`, `"until":{"partial_if":"${{ (.response.body.failed | tonumber) > 0 }}",`, 1)), polledInput())
		got, _ := event.(tracking.Concluded)
		if got.State != want {
			t.Errorf("%s: %T %+v, want %q", body, event, event, want)
		}
	}
}

func TestProgress(t *testing.T) {
	for body, want := range map[string][2]int64{
		`{"state":"running","n":3,"of":10}`:      {3, 10},
		`{"state":"running","n":"3","of":null}`:  {3, 0},
		`{"state":"running","n":-3,"of":"many"}`: {0, 0},
		`{"state":"running"}`:                    {0, 0},
		`{"state":"done","n":10,"of":10}`:        {10, 10},
	} {
		b := newBackend(t, says(200, body))
		p := mustCompile(t, b.URL, strings.Replace(string(pollPlan(t, b.URL, "").Source), `"until":{`,
			`"until":{"progress":{"done":"${{ .response.body.n }}","total":"${{ .response.body.of }}"},`, 1))
		in := polledInput()
		d := tracking.Apply(in.Delivery, newEngine(t).Run(t.Context(), p, in), in.Now)
		if d.JobDone != want[0] || d.JobTotal != want[1] {
			t.Errorf("%s: %d of %d, want %v", body, d.JobDone, d.JobTotal, want)
		}
	}
}

// What follows from a poll that does not say how the job is is the target's to say.
func TestUnclearPolls(t *testing.T) {
	for name, tt := range map[string]struct {
		until   string
		status  int
		body    string
		state   tracking.State // empty: it is polled again
		reason  fault.Reason
		faults  int // failed polls in a row, of 2 before
		message string
	}{
		"a 404":                        {"", 404, `{}`, "", fault.Rejected, 3, "404"},
		"a 404 waited out":             {"not_found: wait", 404, `{}`, "", "", 0, "the backend does not know the job: it answered 404; waiting"},
		"a 410 waited out":             {"not_found: wait", 410, `{}`, "", "", 0, "it answered 410; waiting"},
		"a 404 of a purged job":        {"not_found: unknown", 404, `{}`, tracking.Unknown, fault.BadResponse, 2, "it answered 404"},
		"a 404 of a job that failed":   {"not_found: failed", 404, `{}`, tracking.Failed, fault.JobFailed, 2, "it answered 404"},
		"a 400 is no 404":              {"not_found: failed", 400, `{}`, "", fault.Rejected, 3, ""},
		"a 500 is no 404":              {"not_found: failed", 500, `{}`, "", fault.ServerError, 3, ""},
		"an unlisted state":            {"", 200, `{"state":"x"}`, "", "", 0, "which no list names; waiting"},
		"an unlisted state waited out": {"unknown_state: wait", 200, `{"state":"x"}`, "", "", 0, "which no list names; waiting"},
		"an unlisted state is the end": {"unknown_state: unknown", 200, `{"state":"x"}`, tracking.Unknown, fault.BadResponse, 2, `state "x", which no list names`},
		"an unlisted state is failed":  {"unknown_state: failed", 200, `{"state":"x"}`, tracking.Failed, fault.JobFailed, 2, `ended in state "x"`},
		"no state is never the end":    {"unknown_state: failed", 200, `{}`, "", "", 0, "waiting"},
		"nor is an empty one":          {"unknown_state: unknown", 200, `{"state":""}`, "", "", 0, "waiting"},
		"a listed state":               {"unknown_state: failed", 200, `{"state":"done"}`, tracking.Succeeded, "", 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, says(tt.status, tt.body))
			p := pollPlan(t, b.URL, "")
			if key, word, ok := strings.Cut(tt.until, ": "); ok {
				p = mustCompile(t, b.URL, strings.Replace(string(p.Source), `"until":{`, fmt.Sprintf(`"until":{%q:%q,`, key, word), 1))
			}
			in := polledInput()
			in.Delivery.PollFaults = 2
			d := tracking.Apply(in.Delivery, newEngine(t).Run(t.Context(), p, in), in.Now)
			if want := cmp.Or(tt.state, tracking.Waiting); d.State != want || d.Reason != tt.reason || d.PollFaults != tt.faults || !strings.Contains(d.Message, tt.message) || d.JobID != "j1" {
				t.Errorf("%+v", d)
			}
		})
	}
}

// Waiting for a job that the backend does not know ends at the deadline, whatever attempts says.
func TestUnknownJobIsWaitedForUntilTheDeadline(t *testing.T) {
	b := newBackend(t, says(404, `{}`))
	p := pollPlan(t, b.URL, "")
	p = mustCompile(t, b.URL, strings.Replace(string(p.Source), `"until":{`, `"until":{"not_found":"wait","attempts":2,`, 1))
	in := polledInput()
	in.Delivery.StepSince = noon
	d, states := drive(t, newEngine(t), p, in)
	if d.State != tracking.Unknown || d.Reason != fault.JobDeadline || d.EndedAt.Sub(noon).Round(time.Second) != time.Hour || len(states) < 60 {
		t.Errorf("%+v after %d polls", d, len(states))
	}
}

func TestUntilIsChecked(t *testing.T) {
	for text, want := range map[string]string{
		"succeeded: [done], not_found: waits":                         `"waits" is nothing that not_found can be`,
		"succeeded: [done], unknown_state: retry":                     `"retry" is nothing that unknown_state can be`,
		"succeeded: [done, done]":                                     `"done" is in succeeded already`,
		"succeeded: [done], states: [done, active]":                   `no list says what the state "active" means`,
		"succeeded: [done], states: [done, done]":                     `"done" is in states already`,
		"succeeded: [done], failed: [eror], states: [done, error]":    `failed names the state "eror", which is not in states`,
		"succeeded: [1], running: [2], states: [1, 2, true]":          `the state "true"`,
		"succeeded: [done], states: [done, [x]]":                      "a state is a word",
		"succeeded: [done], deadline: 0s":                             "deadline should be more than 0",
		"succeeded: [1], running: [true], states: [1, true], x: nope": `unknown key "x"`,
	} {
		_, report := compileText(t, "http://b.example", `{url: "${URL}", get: /a, until: {state: "${{ .response.body.s }}", `+text+`}}`)
		if report.Err() == nil || !strings.Contains(report.Err().Error(), want) || report.Len() != 1 && !strings.Contains(text, "eror") {
			t.Errorf("%s\ngives %v, want %q", text, report.Err(), want)
		}
	}
	mustCompile(t, "http://b.example", `{url: "${URL}", get: /a, until: {state: "${{ .response.body.s }}",
		states: [wait, 2, true], running: [wait], succeeded: [2], failed: [true], not_found: wait, unknown_state: unknown}}`)
}
