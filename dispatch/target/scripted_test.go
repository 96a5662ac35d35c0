package target

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"headgate/config/secret"
	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// recorded is a transport that answers by itself.
type recorded func(r *http.Request) string

func (f recorded) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(f(r))), Request: r}, nil
}

// TestScripted: no call of a scripted engine leaves it, no secret is read from its place,
// and a deadline is met to the nanosecond, however slow the machine.
func TestScripted(t *testing.T) {
	p := mustCompile(t, "https://crm.example", `
url: ${URL}
allow_hosts: [storage.example]
auth: {bearer: {env: CRM_TOKEN}}
steps:
- {name: where, post: /uploads, save: {to: "${{ .response.body.to }}"}}
- {name: put, put: "${{ .saved.to }}"}
- name: finish
  get: /jobs/1
  until: {state: "${{ .response.body.state }}", running: [busy], succeeded: [done], every: {first: 7m, factor: 1, max: 7m}, deadline: 1h}
`)
	t.Setenv("CRM_TOKEN", "from the environment")
	var seen []string
	e := NewScripted(recorded(func(r *http.Request) string {
		seen = append(seen, r.Host+" "+r.Header.Get("Authorization"))
		time.Sleep(time.Millisecond) // the machine's time counts for nothing
		return `{"to":"https://storage.example/x","state":"busy"}`
	}), func(ref secret.Ref) (secret.Value, error) { return secret.New("the secret " + ref.Env), nil })
	defer e.Close()
	d, states := drive(t, e, p, input())
	if d.State != tracking.Unknown || d.Reason != fault.JobDeadline || d.EndedAt.Sub(noon) != time.Hour {
		t.Errorf("%s %s after %s", d.State, d.Reason, d.EndedAt.Sub(noon))
	}
	// A poll every 7 minutes from the first moment on, and one at the deadline.
	if want := 2 + 9 + 1; len(states) != want || len(seen) != want {
		t.Errorf("%d runs and %d calls, want %d: %v", len(states), len(seen), want, states)
	}
	if len(seen) < 3 || seen[0] != "crm.example Bearer the secret CRM_TOKEN" || seen[1] != "storage.example " {
		t.Errorf("calls %q", seen)
	}
}

// A rehearsal asks no token server.
func TestScriptedAccessToken(t *testing.T) {
	b := newBackend(t, says(200, `{}`))
	p := mustCompile(t, b.URL, `{url: "${URL}", post: /a, auth: {oauth2: {token_url: "http://tokens.example/token", client_id: a, client_secret: {env: CRM_KEY}}}}`)
	e := NewScripted(http.DefaultTransport, func(secret.Ref) (secret.Value, error) { return secret.New("s"), nil })
	eventOf[tracking.Concluded](t, e.Run(t.Context(), p, input()))
	if got := b.seen()[0].Header.Get("Authorization"); got != "Bearer access-token" {
		t.Errorf("sent %q", got)
	}
}
