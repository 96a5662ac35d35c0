package target

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"headgate/dispatch/tracking"
)

// However the backend writes what it repeats: JSON has several ways for one string.
func TestConcealedHoweverItIsWritten(t *testing.T) {
	t.Setenv("CRM_TOKEN", `planted<secret>&"quoted"`)
	for _, written := range []string{
		`planted<secret>&\"quoted\"`, `planted\u003csecret\u003e\u0026\"quoted\"`, `\u0070lanted<secret>&\u0022quoted\u0022`,
	} {
		b := newBackend(t, says(200, `{"`+written+`": ["`+written+`"], "nested": {"x": "a `+written+` b"}}`))
		p := mustCompile(t, b.URL, `{url: "${URL}", auth: {header: {name: X-Key, value: {env: CRM_TOKEN}}}, post: /x, result: {all: "${{ .response.body }}"}}`)
		got := eventOf[tracking.Concluded](t, newEngine(t).Run(t.Context(), p, input()))
		const want = `{"***":["***"],"nested":{"x":"a *** b"}}`
		if string(got.Result["all"]) != want {
			t.Errorf("%s: kept %s", written, got.Result["all"])
		}
	}
}

// A backend that repeats our credentials must not get them into what we keep and show.
func TestCredentialsInAnswersAreConcealed(t *testing.T) {
	t.Setenv("CRM_TOKEN", "planted-secret")
	for name, auth := range map[string]string{
		"bearer": `{bearer: {env: CRM_TOKEN}}`,
		"basic":  `{basic: {user: u, password: {env: CRM_TOKEN}}}`,
		"header": `{header: {name: X-Key, value: {env: CRM_TOKEN}}}`,
		"query":  `{query: {name: key, value: {env: CRM_TOKEN}}}`,
		"hmac":   `{hmac: {header: Authorization, secret: {env: CRM_TOKEN}}}`,
	} {
		for _, status := range []int{http.StatusOK, http.StatusUnprocessableEntity, http.StatusServiceUnavailable} {
			b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Echo", r.Header.Get("Authorization")+r.URL.RawQuery)
				w.WriteHeader(status)
				_, _ = fmt.Fprintf(w, `{"message": "bad token %s %s planted-secret"}`, r.Header.Get("Authorization"), r.URL.RawQuery)
			})
			e := NewEngine(Outgoing{}, nil)
			p := mustCompile(t, b.URL, `{url: "${URL}", auth: `+auth+`, post: /x, result: {m: "${{ .response.body.message }}", h: "${{ .response.headers[\"x-echo\"] }}"}}`)
			event := e.Run(t.Context(), p, Input{Tracking: "trk_1", Payload: []byte(`{}`), Now: time.Now(), AcceptedAt: time.Now()})
			e.Close()
			d := tracking.Apply(tracking.Delivery{State: tracking.Pending}, event, time.Now())
			kept := fmt.Sprintf("%+v %s %s", d, d.Result["m"], d.Result["h"])
			if sent := b.seen()[0].Header.Get("Authorization"); sent != "" && strings.Contains(kept, sent) {
				t.Errorf("%s, %d: %s is in %s", name, status, sent, kept)
			}
			if strings.Contains(kept, "planted-secret") || strings.Contains(kept, "dTpwbGFudGVkLXNlY3JldA==") {
				t.Errorf("%s, %d: %s", name, status, kept)
			}
			if !strings.Contains(kept, "bad token") && status != http.StatusServiceUnavailable {
				t.Errorf("%s, %d: the message is lost: %s", name, status, kept)
			}
		}
	}
}
