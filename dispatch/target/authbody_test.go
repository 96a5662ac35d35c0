package target

import (
	"encoding/json"
	"strings"
	"testing"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

func TestSecretInTheBody(t *testing.T) {
	t.Setenv("CRM_KEY", `pl"anted-<secret>`)
	const added = `"routing_key":"pl\"anted-\u003csecret\u003e"}`
	for call, want := range map[string]string{
		"post: /x":                      `{"email":"a@b.example","n":12345678901234567890,` + added,
		"post: /x\njson: {a: {b: '}'}}": `{"a":{"b":"}"},` + added,
		"post: /x\njson: {}":            `{` + added,
		"steps: [{name: a, post: /x, json: {a: 1}, auth: {body: {field: routing_key, value: {env: CRM_KEY}}}}]": `{"a":1,` + added,
	} {
		b := newBackend(t, says(200, `{"echo": "pl\"anted-<secret>"}`))
		in := input()
		before := string(in.Payload)
		p := mustCompile(t, b.URL, "url: ${URL}\n"+call+"\nauth: {body: {field: routing_key, value: {env: CRM_KEY}}}")
		eventOf[tracking.Concluded](t, newEngine(t).Run(t.Context(), p, in))
		if got := b.seen()[0].Body; got != want || !json.Valid([]byte(got)) {
			t.Errorf("%s: sent %s, want %s", call, got, want)
		}
		if string(in.Payload) != before {
			t.Errorf("the payload was changed to %s", in.Payload)
		}
		shown, err := p.Preview(in)
		if err != nil || !strings.Contains(shown[0].Body, `"routing_key":"***"`) || strings.Contains(shown[0].Body, "anted") {
			t.Errorf("%+v, %v", shown, err)
		}
	}
}

// What a backend repeats of the body is not kept.
func TestSecretInTheBodyIsConcealed(t *testing.T) {
	t.Setenv("CRM_KEY", `pl"anted-<secret>`)
	for _, echo := range []string{`pl\"anted-<secret>`, `pl\"anted-\u003csecret\u003e`} {
		b := newBackend(t, says(400, `{"message":"bad `+echo+`"}`))
		p := mustCompile(t, b.URL, "url: ${URL}\npost: /x\nauth: {body: {field: key, value: {env: CRM_KEY}}}")
		got := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), p, input()))
		if strings.Contains(got.Fault.Message, "anted") {
			t.Errorf("%q", got.Fault.Message)
		}
	}
}

// A record cannot put another credential in the secret's place.
func TestBodyHasNoPlaceForTheSecret(t *testing.T) {
	t.Setenv("CRM_KEY", "planted")
	for _, payload := range []string{`{"key":"mine"}`, `{"KEY":"mine"}`, `[1]`, `"text"`, `null`} {
		b := newBackend(t, says(200, ""))
		p := mustCompile(t, b.URL, "url: ${URL}\npost: /x\nauth: {body: {field: key, value: {env: CRM_KEY}}}")
		in := input()
		in.Payload = json.RawMessage(payload)
		got := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), p, in))
		if !got.Final || got.Fault.Reason != fault.Rejected || !strings.HasPrefix(got.Fault.Message, "not sent: the body ") || len(b.seen()) > 0 {
			t.Errorf("%s: %+v", payload, got)
		}
	}
}

func TestBodyAuthProblems(t *testing.T) {
	const auth = "\nauth: {body: {field: key, value: {env: CRM_KEY}}}"
	for text, want := range map[string]string{
		"url: http://h\nget: /x" + auth:                                           "t.yaml:1:1: auth: body needs a body that is a JSON object",
		"url: http://h\npost: /x\nform: {a: b}" + auth:                            "t.yaml:1:1: auth: body needs a body",
		"url: http://h\npost: /x\ngzip: true" + auth:                              "t.yaml:1:1: auth: body needs a body",
		"url: http://h\npost: /x\nmultipart: [{name: a, raw: b}]" + auth:          "t.yaml:1:1: auth: body needs a body",
		"url: http://h\nsteps: [{name: a, post: /x}, {name: b, get: /y}]" + auth:  "t.yaml:2:30: auth: body needs a body",
		"url: http://h\npost: /x\nauth: {body: {field: key, value: {env: PATH}}}": "t.yaml:3:34: routes may not read",
		"url: http://h\npost: /x\nauth: {body: {value: {env: CRM_KEY}}}":          `"field" is missing`,
	} {
		p, report := compileText(t, "", text)
		if err := report.Err(); p != nil || err == nil || report.Len() != 1 || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
