package simulate

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
)

const (
	pagerDutyMaxBytes = 512 << 10
	pagerDutyKey      = 32 // characters of a routing key
)

// NewPagerDuty makes a simulation of PagerDuty's POST /v2/enqueue. The routing key is in the
// body. To acknowledge or resolve an alert that is not open is no error, as with the vendor.
func NewPagerDuty(opts VendorOptions) *Backend {
	key := opts.Secret
	opts.Secret = "" // it is looked for in the body
	anybody := func(*http.Request) string { return "anybody" }
	v := newVendor("pagerduty", opts, anybody, func(w http.ResponseWriter, status int, message string) {
		writeJSON(w, status, map[string]any{"status": "invalid event", "message": "Event object is invalid", "errors": []string{message}})
	})
	count := 0
	v.on("POST /v2/enqueue", pagerDutyMaxBytes, func(w http.ResponseWriter, _ *http.Request, body []byte) {
		var in struct {
			Key     string         `json:"routing_key"`
			Action  string         `json:"event_action"`
			Dedup   string         `json:"dedup_key"`
			Payload map[string]any `json:"payload"`
		}
		if !v.read(w, body, &in) {
			return
		}
		trigger := in.Action == "trigger"
		var wrong string
		switch {
		case len(in.Key) != pagerDutyKey, key != "" && in.Key != key:
			wrong = fmt.Sprintf("Length of 'routing_key' is incorrect (should be %d characters)", pagerDutyKey)
		case !slices.Contains([]string{"trigger", "acknowledge", "resolve"}, in.Action):
			wrong = "'event_action' is invalid (must be one of the following: 'trigger', 'acknowledge' or 'resolve')"
		case !trigger && in.Dedup == "":
			wrong = "'dedup_key' is missing or blank"
		case trigger && textOf(in.Payload, "summary") == "":
			wrong = "'payload.summary' is missing or blank"
		case trigger && textOf(in.Payload, "source") == "":
			wrong = "'payload.source' is missing or blank"
		case trigger && !slices.Contains([]string{"critical", "error", "warning", "info"}, textOf(in.Payload, "severity")):
			wrong = "'payload.severity' is invalid"
		}
		if wrong != "" {
			v.refuse(w, http.StatusBadRequest, wrong)
			return
		}
		count++
		writeJSON(w, http.StatusAccepted, map[string]string{
			"status": "success", "message": "Event processed", "dedup_key": cmp.Or(in.Dedup, fmt.Sprintf("%032d", count)),
		})
	})
	return v.backend()
}
