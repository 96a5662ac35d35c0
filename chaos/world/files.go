package world

import (
	"fmt"
	"os"
	"path/filepath"
)

// Token opens the admin listeners.
const Token = "chaos"

const operatorFile = `
listen: 127.0.0.1:0
admin: {listen: "127.0.0.1:0", token: {env: HEADGATE_ADMIN_TOKEN}}
redis: {url: "${REDIS_URL}"%s}
routes_may_read: {env: [BACKENDS_URL, NEWSLETTER_KEY]}
limits: {shutdown: 8s, drain: %s}
%s`

// routesFile has a target that answers at once, one that takes an upload, hands out a
// job ID and wants to be polled, one that fails at times, and one that takes batches. Budgets are such that no
// fault of the matrix uses them up: whatever ends otherwise than well is told.
const routesFile = `
routes:
  - name: order-placed
    match: POST /orders/:id
    auth: none
    idempotency: required
    targets:
      crm: {transform: {order: "${{ .params.id }}", note: "%[1]s"}}
      newsletter: {transform: {email: "${{ .body.email }}"}}
      analytics: {transform: {order: "${{ .params.id }}"}}
      mailing: {transform: {order: "${{ .params.id }}"}}
%[2]s
targets:
  crm:
    url: ${BACKENDS_URL}/crm
    put: /contacts/${{ .params.id }}
    json: ${{ .payload }}
    limits: {concurrency: 8, timeout: %[3]s}
    retry: {attempts: 1000, first: 200ms, max: 2s, within: 2h}
    breaker: {failures: 20, open_for: 1s}
  newsletter:
    url: ${BACKENDS_URL}/newsletter
    auth: {bearer: {env: NEWSLETTER_KEY}}
    limits: {concurrency: 8, timeout: %[3]s}
    retry: {attempts: 1000, first: 200ms, max: 2s, within: 2h}
    breaker: {failures: 20, open_for: 1s}
    steps:
      - name: import
        put: /v3/marketing/contacts
        json: {contacts: ["${{ .payload }}"]}
        expect: [202]
        save: {job: "${{ .response.body.job_id }}"}
      - name: finish
        get: /v3/marketing/contacts/imports/${{ .saved.job }}
        until:
          state: ${{ .response.body.status }}
          running: [pending]
          succeeded: [completed]
          failed: [failed]
          every: {first: 500ms, factor: 1.5, max: 2s}
          attempts: 1000
  analytics:
    url: ${BACKENDS_URL}/analytics
    post: /events
    limits: {concurrency: 8, timeout: %[3]s}
    retry: {attempts: 1000, first: 200ms, max: 2s, within: 2h}
    breaker: {failures: 1000000}
  mailing:
    url: ${BACKENDS_URL}/mailing
    post: /rows
    batch: {max_records: 20, linger: 300ms}
    limits: {concurrency: 8, timeout: %[3]s}
    retry: {attempts: 1000, first: 200ms, max: 2s, within: 2h}
    breaker: {failures: 20, open_for: 1s}
%[4]s`

// Extra is a fourth target, for routes that change while they are used.
const Extra = `
  audit:
    url: ${BACKENDS_URL}/audit
    post: /entries
    retry: {attempts: 1000, first: 200ms, max: 2s, within: 2h}
`

// Routes is what the files of the platform team say.
type Routes struct {
	Note    string // part of what crm gets: a change of it is a change of the route
	Timeout string // of every call
	Extra   bool   // the fourth target is there
	Broken  bool   // the file does not pass the checks
}

// WriteRoutes writes the platform team's file; processes read it at their start and
// when they are told to.
func (w *World) WriteRoutes(r Routes) error {
	if r.Timeout == "" {
		r.Timeout = w.spec.Timeout
	}
	binding, target := "", ""
	if r.Extra {
		binding, target = "      audit: {transform: {order: \"${{ .params.id }}\"}}\n", Extra
	}
	text := fmt.Sprintf(routesFile, r.Note, binding, r.Timeout, target)
	if r.Broken {
		text += "\nroutes: [\n"
	}
	// Renamed into place: nobody reads half a file.
	path := filepath.Join(w.Dir, "routes", "orders.yaml")
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (w *World) writeFiles() error {
	if err := os.MkdirAll(filepath.Join(w.Dir, "routes"), 0o700); err != nil {
		return err
	}
	ack := ""
	if w.spec.Ack {
		ack = ", ack: {replicas: 1, timeout: 1s}"
	}
	if err := os.WriteFile(filepath.Join(w.Dir, "headgate.yaml"), fmt.Appendf(nil, operatorFile, ack, w.spec.Drain, w.spec.Operator), 0o600); err != nil {
		return err
	}
	if w.spec.Routes != "" {
		return os.WriteFile(filepath.Join(w.Dir, "routes", "routes.yaml"), []byte(w.spec.Routes), 0o600)
	}
	return w.WriteRoutes(Routes{})
}
