package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// Many deliveries to one host go over as many connections as the target has slots, and
// those are used again.
func TestConnectionsToAHostAreBounded(t *testing.T) {
	const slots, requests = 4, 120
	backend := serve(t, "127.0.0.1:0", func(w http.ResponseWriter, _ *http.Request) { says(w, 200, `{}`) })
	backend.Config.SetKeepAlivesEnabled(true)
	r := attacked(t, "", fmt.Sprintf(`
targets: {crm: {url: %q, post: /, limits: {concurrency: %d}}}
routes: [{name: records, match: POST /records, auth: none, targets: {crm: }}]
`, backend.URL, slots), nil)
	each(16, requests, func(int) { r.deliver(t, "/records", `{}`) })
	connections := map[string]int{}
	for _, req := range backend.requests() {
		connections[req.RemoteAddr]++
	}
	// Each slot has a connection; one that both sides gave up at the same time is opened anew.
	if len(connections) > slots+2 || len(backend.requests()) != requests {
		t.Errorf("%d requests over %d connections: %v", len(backend.requests()), len(connections), connections)
	}
}

// A backend's head without end is cut off like its body.
func TestAttackEndlessHead(t *testing.T) {
	backend := serve(t, "127.0.0.1:0", func(w http.ResponseWriter, _ *http.Request) {
		for i := range 200 {
			w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("x", 1<<10))
		}
		says(w, 200, `{}`)
	})
	r := attacked(t, "", `
targets: {crm: {url: "`+backend.URL+`", post: /, retry: {attempts: 1}}}
routes: [{name: records, match: POST /records, auth: none, targets: {crm: }}]
`, nil)
	if d := r.deliver(t, "/records", `{}`); d.State != "failed" || len(d.Message) > 500 {
		t.Errorf("%+v", d)
	}
}
