package target

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

const rulesYAML = `
url: ${URL}
post: /import
assert: ${{ .response.body.success != false }}
on_error:
- {when: '${{ .response.body.errors[0].code == "601" }}', then: retry}
- {when: '${{ .response.body.errors[0].code == "1016" }}', then: wait, every: 10m}
- {when: '${{ .response.status == 503 and .response.headers["x-queue"] == "full" }}', then: wait}
- {when: '${{ .response.status == 502 }}', then: abort}
`

// A backend's own words decide what follows from a failure, whatever its status.
func TestRules(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		header string
		body   string
		retry  bool          // an attempt that is made again
		wait   time.Duration // no attempt
		reason fault.Reason
	}{
		"a code in a 200":         {status: 200, body: `{"success":false,"errors":[{"code":"601"}]}`, retry: true, reason: fault.ServerError},
		"no room":                 {status: 200, body: `{"success":false,"errors":[{"code":"1016"}]}`, wait: 10 * time.Minute},
		"no room, by a header":    {status: 503, header: "full", wait: 30 * time.Second},
		"an ordinary 503":         {status: 503, retry: true, reason: fault.ServerError},
		"a 502 that will not do":  {status: 502, reason: fault.ServerError},
		"a code without a rule":   {status: 200, body: `{"success":false,"errors":[{"code":"603"}]}`, reason: fault.Rejected},
		"a body without any code": {status: 400, body: `text`, reason: fault.Rejected},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Queue", tt.header)
				says(tt.status, tt.body)(w, r)
			})
			event := newEngine(t).Run(t.Context(), mustCompile(t, b.URL, rulesYAML), input())
			if tt.wait > 0 {
				got := eventOf[tracking.Deferred](t, event)
				if got.After != tt.wait || got.HTTPStatus != tt.status || !strings.HasPrefix(got.Message, "the backend has no room now: ") {
					t.Errorf("%+v", got)
				}
				return
			}
			got := eventOf[tracking.AttemptFailed](t, event)
			if got.Final == tt.retry || got.Fault.Reason != tt.reason {
				t.Errorf("%+v %+v", got, got.Fault)
			}
		})
	}
}

// Waiting for room is no attempt, but it ends where a delivery may be tried no longer.
func TestWaitForRoom(t *testing.T) {
	b := newBackend(t, says(200, `{"success":false,"errors":[{"code":"1016"}]}`))
	in := input()
	end, states := drive(t, newEngine(t), mustCompile(t, b.URL, rulesYAML+"retry: {within: 3h, attempts: 2}\n"), in)
	if end.State != tracking.Failed || end.Reason != fault.ServerError || end.Attempts != 1 || len(states) != 18 || states[5] != tracking.Waiting {
		t.Errorf("%+v after %v", end, states)
	}
}

// What is to be tried again is no verdict on the record: once the budget is spent it is a
// dead letter, which can be replayed, and keeps what the backend said.
func TestRetriedIsNotRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		body   string
		state  tracking.State
		reason fault.Reason
	}{
		"a code in a 200":       {200, `{"success":false,"message":"locked","errors":[{"code":"601"}]}`, tracking.Failed, fault.ServerError},
		"a code in a 409":       {409, `{"message":"locked","errors":[{"code":"601"}]}`, tracking.Failed, fault.ServerError},
		"a code in a 429":       {429, `{"message":"locked","errors":[{"code":"601"}]}`, tracking.Failed, fault.RateLimited},
		"a code without a rule": {409, `{"message":"locked","errors":[{"code":"603"}]}`, tracking.Rejected, fault.Rejected},
	} {
		b := newBackend(t, says(tt.status, tt.body))
		end, _ := drive(t, newEngine(t), mustCompile(t, b.URL, rulesYAML+"retry: {attempts: 2}\n"), input())
		if end.State != tt.state || end.Reason != tt.reason || !strings.Contains(end.Message, "locked") {
			t.Errorf("%s: %s (%s) %s", name, end.State, end.Reason, end.Message)
		}
	}
}

// A refusal that is tried again leaves no doubt about what the call did.
func TestRetriedRefusalIsNotInDoubt(t *testing.T) {
	for status, want := range map[int]bool{409: false, 404: false, 503: true} {
		b := newBackend(t, says(status, `{}`))
		p := mustCompile(t, b.URL, `{url: "${URL}", retry: {on: [404]}, steps: [{name: make, post: /jobs, save: {job: "${{ .response.body.id }}"},
			on_error: [{when: "${{ .response.status == 409 }}", then: retry}],
			reconcile: {get: /jobs, found: "${{ .response.body.found }}", save: {job: "${{ .response.body.id }}"}}}]}`)
		got := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), p, input()))
		if got.Doubt != want || got.Final || got.Fault.Reason != fault.ServerError || got.Fault.Refusal == want {
			t.Errorf("%d: %+v %+v", status, got, got.Fault)
		}
	}
}

const stripYAML = `{url: "${URL}", post: /import, batch: {max_records: 10}, error: "${{ .response.body.detail }}",
	on_error: [{when: "${{ .response.status == 400 }}", then: strip,
	records: "${{ [.response.body.errors[].pointer | split(\"/\")[3] | tonumber] }}"}]}`

// One bad record does not fail its batch: what the refusal names is taken out.
func TestStrip(t *testing.T) {
	for body, want := range map[string]string{
		`{"detail":"bad","errors":[{"pointer":"/data/profiles/1/email"}]}`:                                "srs",
		`{"detail":"bad","errors":[{"pointer":"/data/profiles/0/email"},{"pointer":"/data/profiles/2"}]}`: "rsr",
		`{"detail":"bad","errors":[{"pointer":"/data/profiles/1/a"},{"pointer":"/data/profiles/1/b"}]}`:   "srs",
		`{"detail":"bad","errors":[{"pointer":"/data/profiles/1/a"},{"pointer":"/data/profiles/7/b"}]}`:   "srs",
		`{"detail":"bad","errors":[{"pointer":"/data/profiles/7/a"}]}`:                                    "",
		`{"detail":"bad","errors":[]}`:                    "",
		`{"detail":"bad","errors":[{"pointer":"/data"}]}`: "",
		`{"detail":"bad"}`:                                "",
	} {
		b := newBackend(t, says(400, body))
		in := batchOf(`{}`, `{}`, `{}`)
		in.Delivery = tracking.Delivery{}
		in.Upload = &Upload{Records: [][]byte{[]byte(`{}`), []byte(`{}`), []byte(`{}`)}, Keys: []string{"a", "b", "c"}, Of: 3}
		event := newEngine(t).Run(t.Context(), mustCompile(t, b.URL, stripYAML), in)
		if want == "" {
			if got := eventOf[tracking.AttemptFailed](t, event); !got.Final || !strings.HasPrefix(got.Fault.Message, "bad") || got.Fault.Reason != fault.Rejected {
				t.Errorf("%s: %+v %+v", body, got, got.Fault)
			}
			continue
		}
		got := eventOf[tracking.Stripped](t, event)
		if have := ends(tracking.Concluded{State: tracking.Succeeded, Records: got.Records}, 3); have != want || got.HTTPStatus != 400 {
			t.Errorf("%s: %s, want %s: %+v", body, have, want, got)
		}
		for _, end := range got.Records {
			if end.Message != "bad" || end.Reason != fault.Rejected {
				t.Errorf("%s: %+v", body, end)
			}
		}
		if key := b.seen()[0].Header.Get("Idempotency-Key"); key != "bat_1:crm:3" {
			t.Errorf("the key is %s: without the stripped records it must be another", key)
		}
	}
}

func TestRulesAreChecked(t *testing.T) {
	for text, want := range map[string]string{
		`{when: "${{ true }}", then: retri}`:                      `did you mean "retry"`,
		`{when: "${{ true }}"}`:                                   "then",
		`{then: retry}`:                                           "when",
		`{when: "${{ true }}", then: strip, records: "${{ 1 }}"}`: "without batch",
		`{when: "${{ true }}", then: retry, records: "${{ 1 }}"}`: "records is only for strip",
		`{when: "${{ true }}", then: retry, every: 1s}`:           "every is only for wait",
		`{when: "${{ true }}", then: wait, every: 0s}`:            "more than 0",
	} {
		if _, report := compileText(t, "http://b.example", `{url: "${URL}", post: /a, on_error: [`+text+`]}`); report.Err() == nil || !strings.Contains(report.Err().Error(), want) {
			t.Errorf("%s\ngives %v, want %q", text, report.Err(), want)
		}
	}
	for text, want := range map[string]string{
		`batch: {}, post: /a, on_error: [{when: "${{ true }}", then: strip}]}`:                                                   "strip does not say which records",
		`get: /a, on_error: [{when: "${{ true }}", then: retry}], until: {state: "${{ .response.body.s }}", succeeded: [done]}}`: "a step that polls takes no rules but refresh_auth and setup",
		`post: /a, on_error: [{when: "${{ true }}", then: refresh_auth}]}`:                                                       "without oauth2 there is no access token",
		`steps: [{name: a, post: /a, auth: {bearer: {env: CRM_X}}, on_error: [{when: "${{ true }}", then: refresh_auth}]}]}`:     "without oauth2 there is no access token",
	} {
		if _, report := compileText(t, "http://b.example", `{url: "${URL}", `+text); report.Err() == nil || !strings.Contains(report.Err().Error(), want) {
			t.Errorf("%s\ngives %v, want %q", text, report.Err(), want)
		}
	}
}

// The number of records is part of the key of what sends them, and of nothing else: a step
// that only makes a job is given them on its first attempt and not on the next.
func TestKeysOfBatch(t *testing.T) {
	p := mustCompile(t, "http://b.example", `{url: "${URL}", batch: {max_records: 10}, steps: [
		{name: define, post: /jobs, json: {}}, {name: upload, put: /data, json: "${{ .records }}"}, {name: sync, post: /syncs, json: {}}]}`)
	for _, keys := range [][]string{nil, {"a"}, {"a", "b"}} {
		in := batchOf()
		in.Upload = &Upload{Records: make([][]byte, len(keys)), Keys: keys}
		for i, want := range []string{"bat_1:crm:define", fmt.Sprint("bat_1:crm:upload:", len(keys)), "bat_1:crm:sync"} {
			if got := p.idempotencyKey(p.steps[i], &in); got != want {
				t.Errorf("with %d records the key is %s, want %s", len(keys), got, want)
			}
		}
	}
}
