package target

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

const calledBackYAML = `
url: ${URL}
steps:
- name: submit
  post: /jobs
  json: {to: "${{ .callback_url }}"}
  save: {job: "${{ .response.body.job }}"}
- name: finish
  get: /jobs/${{ .saved.job }}
  until: {state: "${{ .response.body.state }}", running: [active], succeeded: [done], EVERY deadline: 24h}
`

func calledBackAs(every string) string { return strings.Replace(calledBackYAML, "EVERY", every, 1) }

func TestTheBackendIsToldWhereToCallBack(t *testing.T) {
	b := newBackend(t, says(201, `{"job":"j1","state":"active"}`))
	p := mustCompile(t, b.URL, calledBackAs(""))
	if !p.CalledBack() || !p.NeedsCallbackURL("") || !p.NeedsCallbackURL("submit") || p.NeedsCallbackURL("finish") {
		t.Errorf("called back: %t; needed: %t, %t, %t", p.CalledBack(), p.NeedsCallbackURL(""), p.NeedsCallbackURL("submit"), p.NeedsCallbackURL("finish"))
	}
	in := input()
	in.CallbackURL = "https://gate.example/callbacks/t"
	e := newEngine(t)
	if got, ok := e.Run(t.Context(), p, in).(tracking.Advanced); !ok || got.Next != "finish" {
		t.Fatalf("%+v", got)
	}
	if calls := b.seen(); len(calls) != 1 || calls[0].Body != `{"to":"https://gate.example/callbacks/t"}` {
		t.Errorf("%+v", calls)
	}
	// A worker whose operator has taken public_url away sends nothing that says nowhere.
	in.CallbackURL = ""
	failed, ok := e.Run(t.Context(), p, in).(tracking.AttemptFailed)
	if !ok || failed.Final || failed.Fault.Reason != fault.Internal || !strings.Contains(failed.Fault.Message, "public_url") || len(b.seen()) != 1 {
		t.Errorf("%+v after %d calls", failed, len(b.seen()))
	}
	kept, err := FromSource("crm", p.Source)
	if err != nil || !kept.CalledBack() {
		t.Errorf("a plan that was kept: %v", err)
	}
}

// Who is called back polls only for the callback that never comes.
func TestPollsAreSlowerWithCallbacks(t *testing.T) {
	for every, want := range map[string]time.Duration{
		"":                       30 * time.Second,
		"every: {max: 20s},":     2 * time.Second,
		"every: {first: 500ms},": 500 * time.Millisecond,
	} {
		b := newBackend(t, says(http.StatusOK, `{"state":"active"}`))
		p := mustCompile(t, b.URL, calledBackAs(every))
		in := input()
		in.Delivery = tracking.Delivery{Step: "finish", Saved: map[string]json.RawMessage{"job": json.RawMessage(`"j"`)}}
		e := newEngine(t)
		e.random = func() float64 { return 0.5 } // no jitter
		got, ok := e.Run(t.Context(), p, in).(tracking.NotYet)
		if !ok || got.After != want {
			t.Errorf("%q: %+v, want it after %v", every, got, want)
		}
		in.Delivery.Polls = 100
		if got, ok := e.Run(t.Context(), p, in).(tracking.NotYet); every == "" && (!ok || got.After != 10*time.Minute) {
			t.Errorf("at last: %+v", got)
		}
	}
}

func TestACallbackNeedsAPoll(t *testing.T) {
	_, report := compileText(t, "https://crm.example", `
url: ${URL}
post: /contacts
headers: {X-Reply-To: "${{ .callback_url }}"}
`)
	err := report.Err()
	if err == nil || !strings.Contains(err.Error(), "t.yaml:4:23") || !strings.Contains(err.Error(), "a callback brings a poll forward, and no step polls") {
		t.Errorf("%v", err)
	}
}

func TestPreviewOfACallbackURL(t *testing.T) {
	p := mustCompile(t, "https://crm.example", calledBackAs(""))
	in := input()
	for want, given := range map[string]string{ExampleCallbackURL: "", "https://gate.example/callbacks/<token>": "https://gate.example/callbacks/<token>"} {
		in.CallbackURL = given
		shown, err := p.Preview(in)
		if err != nil || !strings.Contains(shown[0].Body, want) {
			t.Errorf("%+v, %v: want %s in it", shown, err, want)
		}
	}
}
