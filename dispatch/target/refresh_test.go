package target

import (
	"net/http"
	"strings"
	"testing"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// stale is what a backend says in an answer with 200 when a token is good no more.
const stale = `{"success": false, "errors": [{"code": "602", "message": "Access token expired"}]}`

const refreshRule = `
assert: ${{ .response.body.success }}
on_error:
- {when: '${{ .response.body.errors[0].code | IN("601", "602") }}', then: refresh_auth}
`

// TestRefreshAuth: a token that is refused in the body is dropped; the next attempt has another.
func TestRefreshAuth(t *testing.T) {
	t.Setenv("CRM_SECRET", clientSecret)
	tokens := tokenServer(t)
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer planted-token-2" {
			says(200, stale)(w, r)
			return
		}
		says(200, `{"success": true}`)(w, r)
	})
	p := mustCompile(t, "", oauthTarget(b.URL, tokens.URL, "")+refreshRule)
	e := newEngine(t)
	got := eventOf[tracking.AttemptFailed](t, e.Run(t.Context(), p, input()))
	if got.Final || got.Fault.Reason != fault.Auth || got.Fault.Status != 200 || got.Fault.Message != "Access token expired" {
		t.Errorf("%+v %+v", got, got.Fault)
	}
	eventOf[tracking.Concluded](t, e.Run(t.Context(), p, input()))
	if n := len(tokens.seen()); n != 2 {
		t.Errorf("%d tokens asked for", n)
	}
	in := input()
	in.Delivery.StepAttempts = 7
	p = mustCompile(t, "", oauthTarget(b.URL, tokenServer(t).URL, "")+refreshRule)
	if got := eventOf[tracking.AttemptFailed](t, e.Run(t.Context(), p, in)); !got.Final {
		t.Errorf("it goes on after the last attempt: %+v", got)
	}
}

const refreshPoll = `
steps:
- name: wait
  get: /job
  assert: ${{ .response.body.success }}
  on_error:
  - {when: '${{ .response.body.errors[0].code | IN("601", "602") }}', then: refresh_auth}
  until: {state: "${{ .response.body.state }}", running: [busy], succeeded: [done], partial: [part]}
  rejects: {get: /job/rejects, items: "${{ .response.body.items }}", reason: "${{ .item }}"}
`

// On a step that polls it is a failed poll with a new token after it, and nothing is sent again.
// The pages of refused records say it in the same words, or with 401.
func TestRefreshAuthOfPolls(t *testing.T) {
	t.Setenv("CRM_SECRET", clientSecret)
	for name, tc := range map[string]struct {
		at     string // the path that refuses the first token
		status int
		body   string
	}{
		"poll by body": {"/job", 200, stale}, "poll by 401": {"/job", 401, "{}"},
		"rejects by body": {"/job/rejects", 200, stale}, "rejects by 401": {"/job/rejects", 401, "{}"},
	} {
		t.Run(name, func(t *testing.T) {
			tokens := tokenServer(t)
			b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == tc.at && r.Header.Get("Authorization") == "Bearer planted-token-1":
					says(tc.status, tc.body)(w, r)
				case r.URL.Path == "/job":
					says(200, `{"success": true, "state": "part"}`)(w, r)
				default:
					says(200, `{"success": true, "items": ["bad email"]}`)(w, r)
				}
			})
			text := oauthTarget(b.URL, tokens.URL, "")
			p := mustCompile(t, "", strings.Replace(text, "post: /x\n", "", 1)+refreshPoll)
			e := newEngine(t)
			got := eventOf[tracking.PollFailed](t, e.Run(t.Context(), p, input()))
			if got.Final || got.Fault.Reason != fault.Auth || got.Fault.Status != tc.status {
				t.Errorf("%+v %+v", got, got.Fault)
			}
			end := eventOf[tracking.Concluded](t, e.Run(t.Context(), p, input()))
			if n := len(tokens.seen()); n != 2 || end.State != tracking.Rejected || end.Message != "bad email" {
				t.Errorf("%d tokens asked for: %+v", n, end)
			}
		})
	}
}

// TestAuthOfSteps: a step may authenticate in any way, whatever the target does, or not at all.
func TestAuthOfSteps(t *testing.T) {
	t.Setenv("CRM_SECRET", clientSecret)
	t.Setenv("CRM_KEY", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	tokens := tokenServer(t)
	ways := map[string]struct{ auth, header, begins string }{
		"none":      {"none", "Authorization", ""},
		"bearer":    {"{bearer: {env: CRM_KEY}}", "Authorization", "Bearer whsec_"},
		"basic":     {"{basic: {user: a, password: {env: CRM_KEY}}}", "Authorization", "Basic "},
		"header":    {"{header: {name: X-Key, value: {env: CRM_KEY}}}", "X-Key", "whsec_"},
		"hmac":      {"{hmac: {header: X-S, secret: {env: CRM_KEY}, prefix: s=}}", "X-S", "s="},
		"webhook":   {"{webhook: {secret: {env: CRM_KEY}}}", "Webhook-Signature", "v1,"},
		"oauth2":    {"{oauth2: {token_url: " + tokens.URL + ", client_id: a, client_secret: {env: CRM_SECRET}}}", "Authorization", "Bearer planted-token"},
		"aws_sigv4": {"{aws_sigv4: {access_key: {env: CRM_SECRET}, secret_key: {env: CRM_KEY}, region: a, service: s3}}", "Authorization", "AWS4-HMAC-SHA256 "},
	}
	for of, outer := range ways {
		b := newBackend(t, says(200, "{}"))
		text := "url: ${URL}\nauth: " + outer.auth + "\nsteps:\n- {name: inherits, post: /inherits}\n"
		for _, name := range sortedKeys(ways) {
			text += "- {name: " + name + ", post: /" + name + ", auth: " + ways[name].auth + "}\n"
		}
		text += "- {name: query, post: /query, auth: {query: {name: k, value: {env: CRM_KEY}}}}\n"
		end, _ := drive(t, newEngine(t), mustCompile(t, b.URL, text), input())
		if end.State != tracking.Succeeded {
			t.Fatalf("%s: %+v", of, end)
		}
		for _, call := range b.seen() {
			name := strings.Trim(strings.Split(call.URI, "?")[0], "/")
			want := ways[name]
			switch name {
			case "inherits":
				want = outer
			case "query":
				if !strings.HasPrefix(call.URI, "/query?k=whsec_") {
					t.Errorf("%s: %s", of, call.URI)
				}
				want.header = "Authorization"
			}
			if got := call.Header.Get(want.header); !strings.HasPrefix(got, want.begins) || (got == "") != (want.begins == "") {
				t.Errorf("target with %s, step with %s: %s is %q", of, name, want.header, got)
			}
		}
	}
}
