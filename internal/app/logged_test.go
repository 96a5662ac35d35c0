package app_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"headgate/dispatch/tracking"
)

// TestLogsHoldNothingPersonal: requests full of what is somebody's own business, to backends
// that repeat it and add more, good and refused, and a log at its most talkative.
func TestLogsHoldNothingPersonal(t *testing.T) {
	r := newReceiver(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", r.URL)
	w := newTracedWorld(t)
	w.people(t)
	for body, want := range map[string]tracking.State{`{"n":1,"email":"planted-mail@example.com"}`: tracking.Rejected} {
		status, text, err := w.do(t.Context(), http.MethodPost, "/refused/planted-id?q=planted-query", body, marks...)
		var accepted struct {
			ID string `json:"tracking_id"`
		}
		if err != nil || status != http.StatusAccepted || json.Unmarshal(text, &accepted) != nil {
			t.Fatalf("%d %s %v", status, text, err)
		}
		view := w.end(t, accepted.ID)
		for _, target := range view.Targets {
			if target.Name == "refusing" && (target.Value.State != want || !strings.Contains(target.Value.Message, "planted")) {
				t.Errorf("the record does not say what the backend did: %+v", target.Value)
			}
		}
	}
	good := w.token
	for name, one := range map[string]struct {
		method, path, body string
		claims             map[string]any
		want               int
	}{
		"mapping":       {http.MethodPost, "/refused/planted-id", `{"n":"planted-value"}`, nil, 422},
		"not JSON":      {http.MethodPost, "/people/planted-id", `planted-body`, nil, 400},
		"no route":      {http.MethodGet, "/planted/path?q=planted-query", "", nil, 404},
		"wrong method":  {http.MethodPut, "/people/planted-id", "{}", nil, 405},
		"no record":     {http.MethodGet, "/tracking/planted-id", "", nil, 404},
		"no callback":   {http.MethodPost, "/callbacks/planted-token", "planted-body", nil, 404},
		"bad path":      {http.MethodGet, "/people/planted%00id", "", nil, 400},
		"no scope":      {http.MethodPost, "/people/planted-id", "{}", map[string]any{"sub": "planted-subject", "org": "acme"}, 403},
		"no tenant":     {http.MethodPost, "/people/planted-id", "{}", map[string]any{"sub": "planted-subject", "org": []string{"planted-claim"}}, 403},
		"empty tenant":  {http.MethodPost, "/people/planted-id", "{}", map[string]any{"sub": "planted-subject", "org": ""}, 403},
		"expired":       {http.MethodPost, "/people/planted-id", "{}", map[string]any{"sub": "planted-subject", "exp": time.Now().Add(-time.Hour).Unix()}, 401},
		"not our token": {http.MethodPost, "/people/planted-id", "{}", nil, 401},
	} {
		w.token = good
		if one.claims != nil {
			w.token = w.sign(t, one.claims)
		}
		if name == "not our token" {
			w.token = "planted.token.text"
		}
		status, text, err := w.do(t.Context(), one.method, one.path, one.body, marks...)
		if err != nil || status != one.want {
			t.Errorf("%s: %d %s %v, want %d", name, status, text, err, one.want)
		}
	}
	w.flush()

	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	kinds := map[string]int{}
	for line := range strings.Lines(w.log.text.String()) {
		for _, leak := range []string{"planted", "203.0.113.77", "@example.com"} {
			if strings.Contains(line, leak) {
				t.Errorf("%q is in the log: %s", leak, line)
			}
		}
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		message, _ := entry["msg"].(string)
		kinds[message]++
		// What belongs to a request or a delivery names its trace. The first one's is known.
		if _, about := entry["tracking_id"]; (about || message == "request") && entry["trace_id"] == nil {
			t.Errorf("a line without its trace: %s", line)
		}
		if message == "delivery" && entry["span_id"] == nil {
			t.Errorf("a line without its span: %s", line)
		}
	}
	for _, message := range []string{"request", "delivery", "call", "a clean-up call did not work"} {
		if kinds[message] == 0 {
			t.Errorf("no line %q, only %v", message, kinds)
		}
	}
	if !strings.Contains(w.log.text.String(), clientTrace) {
		t.Error("the client's trace is in no line")
	}
}
