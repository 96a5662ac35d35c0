package gateway

import (
	"context"
	"strings"
	"testing"
	"time"

	"headgate/dispatch"
)

// TestNoRoom: a request for which there is no room is refused with what is full and when
// to come back; a known key is answered all the same.
func TestNoRoom(t *testing.T) {
	for name, c := range map[string]struct {
		full   dispatch.FullError
		status int
		slug   string
		after  string
		names  string // what the detail names
	}{
		"backlog": {dispatch.FullError{What: dispatch.BacklogFull, Target: "crm", Limit: 100000, After: 1500 * time.Millisecond}, 503, "backlog-full", "2", "100000"},
		"tenant":  {dispatch.FullError{What: dispatch.TenantFull, Target: "crm", Limit: 10, After: 5 * time.Second}, 429, "tenant-backlog-full", "5", "crm"},
		"drained": {dispatch.FullError{What: dispatch.Draining, Target: "crm", After: 30 * time.Second}, 503, "target-draining", "30", "Target crm"},
		"memory":  {dispatch.FullError{What: dispatch.MemoryFull, After: 15 * time.Second}, 503, "storage-full", "15", "store"},
		"soon":    {dispatch.FullError{What: dispatch.MemoryFull}, 503, "storage-full", "1", "store"},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, nil)
			first := r.do("POST", "/profiles/42", body, "Idempotency-Key", "known")
			r.acceptor.onAccept = func(context.Context, dispatch.Intake) (dispatch.Receipt, error) { return dispatch.Receipt{}, &c.full }
			for _, key := range [][]string{nil, {"Idempotency-Key", "new"}} {
				res := r.do("POST", "/profiles/42", body, key...)
				if res.status != c.status || res.doc["type"] != "urn:headgate:problem:"+c.slug || res.header.Get("Retry-After") != c.after {
					t.Errorf("%d %s, Retry-After %s", res.status, res.body, res.header.Get("Retry-After"))
				}
				if detail, _ := res.doc["detail"].(string); !strings.Contains(detail, c.names) || !strings.Contains(detail, "Nothing was recorded") {
					t.Errorf("detail: %s", detail)
				}
			}
			if again := r.do("POST", "/profiles/42", body, "Idempotency-Key", "known"); again.status != 202 || again.body != first.body {
				t.Errorf("a known key is answered %d %s", again.status, again.body)
			}
		})
	}
}
