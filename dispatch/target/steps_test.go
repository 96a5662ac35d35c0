package target

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

const conditionalYAML = `
url: ${URL}
steps:
- name: define
  post: /define
  when: ${{ .payload.big }}
  json: {}
  save: {list: "${{ .response.body.id }}"}
- name: upload
  put: /upload
  timeout: 20s
  when: ${{ .payload.email != "" }}
  json: ${{ .payload }}
- name: finish
  post: /finish
  when: ${{ .saved.list != null or .payload.always == true }}
  json: {list: "${{ .saved.list }}"}
`

// A step whose condition is false is passed over: no call, no attempt, and the next one is
// made in its place.
func TestStepsArePassedOver(t *testing.T) {
	for payload, want := range map[string]string{
		`{"big":true,"email":"a"}`:                "/define /upload /finish",
		`{"big":false,"email":"a"}`:               "/upload",
		`{"big":true,"email":""}`:                 "/define /finish",
		`{"big":false,"email":"","always":true}`:  "/finish",
		`{"big":false,"email":"","always":false}`: "",
	} {
		b := newBackend(t, says(200, `{"id":"l1"}`))
		in := input()
		in.Payload = []byte(payload)
		end, _ := drive(t, newEngine(t), mustCompile(t, b.URL, conditionalYAML), in)
		var paths []string
		keys := map[string]bool{}
		for _, c := range b.seen() {
			paths = append(paths, c.URI)
			keys[c.Header.Get("Idempotency-Key")] = true
		}
		if got := strings.Join(paths, " "); got != want || end.State != tracking.Succeeded || len(keys) != len(paths) {
			t.Errorf("%s: called %q with %d keys, want %q; ended %s %s", payload, got, len(keys), want, end.State, end.Message)
		}
		if want == "" && !strings.Contains(end.Message, "conditions") {
			t.Errorf("it does not say why nothing was sent: %q", end.Message)
		}
	}
	p := mustCompile(t, "http://b.example", conditionalYAML)
	if hold := p.Hold(""); hold != 20*time.Second {
		t.Errorf("the first run may take %v, want the longest of those that it may come to", hold)
	}
}

func TestConditionThatFails(t *testing.T) {
	b := newBackend(t, says(200, `{}`))
	in := input()
	in.Payload = []byte(`{"big":"yes","email":"a"}`)
	got := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), mustCompile(t, b.URL, conditionalYAML), in))
	if !got.Final || !strings.Contains(got.Fault.Message, "when: ") || len(b.seen()) != 0 {
		t.Errorf("%+v %+v after %d calls", got, got.Fault, len(b.seen()))
	}
}

// Some backends answer errors with 200.
func TestAssert(t *testing.T) {
	for _, tt := range []struct {
		body    string
		reason  fault.Reason // none: it worked
		message string
	}{
		{`{"success":true}`, "", ""},
		{`{"success":false,"message":"quota is used up"}`, fault.Rejected, "quota is used up"},
		{`{"success":false}`, fault.Rejected, "the backend answered 200, but what assert asks for does not hold"},
		{`{}`, fault.BadResponse, "assert: "},
		{`"Not authenticated."`, fault.BadResponse, "assert: "},
	} {
		b := newBackend(t, says(200, tt.body))
		event := newEngine(t).Run(t.Context(), mustCompile(t, b.URL, `{url: "${URL}", post: /a, assert: "${{ .response.body.success }}"}`), input())
		if tt.reason == "" {
			eventOf[tracking.Concluded](t, event)
			continue
		}
		got := eventOf[tracking.AttemptFailed](t, event)
		if !got.Final || got.Fault.Reason != tt.reason || !strings.HasPrefix(got.Fault.Message, tt.message) || got.Fault.Status != 200 {
			t.Errorf("%s: %+v %+v", tt.body, got, got.Fault)
		}
	}
	// Of a poll it is a failed poll: the job goes on.
	b := newBackend(t, says(200, `{"state":"done","success":false}`))
	got := eventOf[tracking.PollFailed](t, newEngine(t).Run(t.Context(), pollPlan(t, b.URL, "assert: ${{ .response.body.success }}\n"), polledInput()))
	if got.Final {
		t.Errorf("%+v", got)
	}
}

const headersFromYAML = `
url: ${URL}
steps:
- name: one
  post: /one
  json: {}
  save: {headers: "${{ .response.body.headers }}"}
- name: two
  put: /two
  headers: {X-Kind: mine}
  headers_from: ${{ .saved.headers }}
  json: {}
`

// Headers that an answer asks for are sent with the next call, and checked like ours.
func TestHeadersFrom(t *testing.T) {
	for headers, want := range map[string]string{
		`[{"header":"x-kind","value":"theirs"},{"header":"X-N","value":7}]`: "theirs 7",
		`[{"name":"X-N","value":"a"}]`:                                      "mine a",
		`{"X-N":"a"}`:                                                       "mine a",
		`[{"header":"Host","value":"evil"}]`:                                "not sent: headers_from: Host cannot be set",
		`[{"header":"X N","value":"a"}]`:                                    `not sent: headers_from: "X N" is no name`,
		`{"X-N":"a\r\nX-Evil: b"}`:                                          "not sent: headers_from: the value for X-N",
		`{"X-N":{"a":1}}`:                                                   "not sent: headers_from: the value for X-N",
		`["a"]`:                                                             `not sent: headers_from: "" is no name`,
		`"text"`:                                                            "not sent: headers_from: it gives neither",
	} {
		b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			says(200, `{"headers":`+headers+`}`)(w, r)
		})
		end, _ := drive(t, newEngine(t), mustCompile(t, b.URL, headersFromYAML), input())
		got := end.Message
		if calls := b.seen(); len(calls) == 2 {
			got = calls[1].Header.Get("X-Kind") + " " + calls[1].Header.Get("X-N")
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", headers, got, want)
		}
	}
}

func TestPreviewOfConditionsAndHeaders(t *testing.T) {
	in := input()
	in.Payload = []byte(`{"big":false,"email":"a"}`)
	calls, err := mustCompile(t, "http://b.example", conditionalYAML).Preview(in)
	if err != nil || len(calls) != 3 || calls[0].When != "${{ .payload.big }}" {
		t.Errorf("%+v, %v", calls, err)
	}
	calls, err = mustCompile(t, "http://b.example", headersFromYAML).Preview(in)
	if err != nil || len(calls) != 2 || calls[1].More != "${{ .saved.headers }}" || calls[1].Header["X-Kind"] != "mine" || calls[1].Body != "{}" {
		t.Errorf("%+v, %v", calls, err)
	}
}
