package target

import (
	"net/http"
	"testing"
	"time"

	"headgate/dispatch/tracking"
)

// How long a backend wants to be left alone may stand anywhere in its answer. Half of what
// jitter may be comes on top: a twentieth.
func TestAfter(t *testing.T) {
	for name, tt := range map[string]struct {
		header, body string
		retry, wait  time.Duration
	}{
		"seconds":                 {"", `{"pause": 10}`, 10500 * time.Millisecond, 10 * time.Second},
		"a part of a second":      {"", `{"pause": 2.5}`, 2625 * time.Millisecond, 5 * time.Second},
		"seconds in a string":     {"", `{"pause": "10"}`, 10500 * time.Millisecond, 10 * time.Second},
		"a duration":              {"", `{"pause": "2m"}`, 126 * time.Second, 2 * time.Minute},
		"instead of Retry-After":  {"100", `{"pause": "10s"}`, 10500 * time.Millisecond, 10 * time.Second},
		"only Retry-After":        {"100", `{}`, 105 * time.Second, 100 * time.Second},
		"less than every":         {"", `{"pause": 1}`, 1050 * time.Millisecond, 5 * time.Second},
		"for ever":                {"", `{"pause": 1e30}`, 25*time.Hour + 12*time.Minute, 24 * time.Hour},
		"a day and more":          {"", `{"pause": "90d"}`, 25*time.Hour + 12*time.Minute, 24 * time.Hour},
		"in the past":             {"", `{"pause": -5}`, 500 * time.Millisecond, 5 * time.Second},
		"no time":                 {"", `{"pause": "soon"}`, 500 * time.Millisecond, 5 * time.Second},
		"no scalar":               {"", `{"pause": [5]}`, 500 * time.Millisecond, 5 * time.Second},
		"nothing to take it from": {"", `text`, 500 * time.Millisecond, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
				if tt.header != "" {
					w.Header().Set("Retry-After", tt.header)
				}
				says(400, tt.body)(w, r)
			})
			run := func(then string) tracking.Event {
				p := mustCompile(t, b.URL, `{url: "${URL}", post: /a, retry: {first: 1s, within: 72h},
					on_error: [{when: "${{ .response.status == 400 }}", after: "${{ .response.body.pause }}", `+then+`}]}`)
				return newEngine(t).Run(t.Context(), p, input())
			}
			if got := eventOf[tracking.AttemptFailed](t, run("then: retry")); got.After != tt.retry || got.Final {
				t.Errorf("tried again after %s, want %s", got.After, tt.retry)
			}
			if got := eventOf[tracking.Deferred](t, run("then: wait, every: 5s")); got.After != tt.wait {
				t.Errorf("waits %s, want %s", got.After, tt.wait)
			}
		})
	}
}

func TestAfterProblems(t *testing.T) {
	for _, rule := range []string{
		"{when: '${{ true }}', then: abort, after: '${{ 1 }}'}",
		"{when: '${{ true }}', then: retry, after: 10s}",
		"{when: '${{ true }}', then: retry, after: '${{ .payload.x | nothing }}'}",
	} {
		if p, report := compileText(t, "", "url: http://h\npost: /a\non_error: ["+rule+"]"); p != nil || report.Len() != 1 {
			t.Errorf("%s: %v", rule, report.Err())
		}
	}
}
