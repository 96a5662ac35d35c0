package main

import (
	"net/http"
	"strings"
	"testing"
)

// TestWorkerKilledInAStep kills a worker while its call hangs, once in an upload and
// once in a poll: another one goes on at the recorded step, and what was done before is
// not done again.
func TestWorkerKilledInAStep(t *testing.T) {
	for name, tt := range map[string]struct {
		hang, method, path string
		seen               map[string]int // requests of the backend at the end
	}{
		"upload": {
			hang: `{"path": "/api/bulk/2.0/contacts/imports/", "method": "POST", "behave": "hang"}`, method: "POST", path: "/data",
			seen: map[string]int{"POST /api/bulk/2.0/contacts/imports": 1, "POST /api/bulk/2.0/syncs": 1},
		},
		"poll": {
			hang: `{"path": "/api/bulk/2.0/syncs/", "method": "GET", "behave": "hang"}`, method: "GET", path: "/syncs/",
			seen: map[string]int{
				"POST /api/bulk/2.0/contacts/imports": 1, "POST /api/bulk/2.0/contacts/imports/{id}/data": 1,
				"POST /api/bulk/2.0/syncs": 1,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newCrashWorld(t, marketingTarget)
			w.up("worker", "--role", "worker", "--admin-listen", "127.0.0.1:0")
			w.backend("marketing", http.MethodPost, "/__behave", tt.hang, nil)
			id := w.post("/orders/7", "")
			w.eventually("the call hangs", func() bool {
				r := w.lastRequest("marketing")
				return r.Method == tt.method && strings.Contains(r.Path, tt.path) && r.Status == 0
			})
			w.processes["worker"].kill()

			w.backend("marketing", http.MethodDelete, "/__behave", "", nil)
			w.up("successor", "--role", "worker", "--admin-listen", "127.0.0.1:0")
			doc := w.track(id)
			if state := doc.Targets["target"].State; doc.Status != "succeeded" || state != "succeeded" {
				t.Errorf("the delivery is %s, want succeeded: %s", state, doc.text)
			}
			stats := w.stats("marketing")
			for call, want := range tt.seen {
				if got := stats.ByPath[call]; got != want {
					t.Errorf("%s: %d requests, want %d", call, got, want)
				}
			}
			if stats.Duplicates != 0 {
				t.Errorf("%d calls that had been answered were repeated", stats.Duplicates)
			}
			if !strings.Contains(w.log("successor"), `"msg":"delivery repaired"`) {
				t.Errorf("the reconciler says nothing of a repair:\n%s", w.log("successor"))
			}
		})
	}
}

// TestTaskHandedToASecondWorker does by hand what asynq's recoverer does when clocks
// disagree: it takes a running task for orphaned and queues it again. The second worker
// gets the task, and must leave the delivery alone.
func TestTaskHandedToASecondWorker(t *testing.T) {
	t.Parallel()
	w := newCrashWorld(t, crmTarget)
	w.up("one", "--role", "worker", "--admin-listen", "127.0.0.1:0")
	w.up("other", "--role", "worker", "--admin-listen", "127.0.0.1:0")
	w.backend("crm", http.MethodPost, "/__behave", `{"path": "/", "behave": "delay=5s", "times": 1}`, nil)
	id := w.post("/orders/7", "")
	w.eventually("the call is under way", func() bool { return w.stats("crm").InFlight == 1 })

	rdb, ctx := w.redis.Client(t), t.Context()
	const queue = "asynq:{target}:"
	tasks, err := rdb.LRange(ctx, queue+"active", 0, -1).Result()
	if err != nil || len(tasks) != 1 || !strings.HasPrefix(tasks[0], id+":target:") {
		t.Fatalf("active tasks are %v (%v), want one of %s", tasks, err, id)
	}
	tx := rdb.TxPipeline()
	tx.ZRem(ctx, queue+"lease", tasks[0])
	tx.LRem(ctx, queue+"active", 0, tasks[0])
	tx.HSet(ctx, queue+"t:"+tasks[0], "state", "pending")
	tx.LPush(ctx, queue+"pending", tasks[0])
	tx.Publish(ctx, "hg:wake", "target") // as for whatever is queued
	if _, err := tx.Exec(ctx); err != nil {
		t.Fatal(err)
	}
	// A worker has one slot, and the one that made the call has none left: that the task is
	// gone while the call goes on means that the other worker has run it.
	w.eventually("the other worker has run the task", func() bool {
		n, err := rdb.Exists(ctx, queue+"t:"+tasks[0]).Result()
		return err == nil && n == 0
	})
	if s := w.stats("crm"); s.InFlight != 1 || s.Requests != 1 {
		t.Fatalf("after the hand-over the backend has seen %d calls, %d of them open; want one that is open", s.Requests, s.InFlight)
	}

	doc := w.track(id)
	if doc.Status != "succeeded" || doc.Targets["target"].Attempts != 1 {
		t.Errorf("it ended %s after %d attempts, want succeeded after 1", doc.Status, doc.Targets["target"].Attempts)
	}
	// What comes after it in the same slots is run as ever, and the call is not repeated.
	w.track(w.post("/orders/8", ""))
	w.track(w.post("/orders/9", ""))
	if s := w.stats("crm"); s.Requests != 3 || s.UniqueKeys != 3 {
		t.Errorf("the backend has seen %d calls of %d deliveries, want 3 of 3", s.Requests, s.UniqueKeys)
	}
}

const crmTarget = `
    url: ${BACKENDS_URL}/crm
    put: /contacts/${{ .params.id }}
    limits: {concurrency: 1}
`

// marketingTarget is that of examples/quickstart with little patience.
const marketingTarget = `
    url: ${BACKENDS_URL}/marketing/api/bulk/2.0
    auth: {basic: {user: 'Acme\integration', password: {env: MARKETING_PASSWORD}}}
    limits: {timeout: 2s}
    steps:
      - name: define
        post: /contacts/imports
        json:
          name: Headgate ${{ .tracking }}
          fields: {C_EmailAddress: "{{Contact.Field(C_EmailAddress)}}"}
          identifierFieldName: C_EmailAddress
        expect: [201]
        save: {import: '${{ .response.body.uri | split("/") | last }}'}
      - name: upload
        post: /contacts/imports/${{ .saved.import }}/data
        json: [{C_EmailAddress: "${{ .payload.email }}"}]
        expect: [204]
      - name: sync
        post: /syncs
        json: {syncedInstanceUri: "/contacts/imports/${{ .saved.import }}"}
        expect: [201]
        save: {job: '${{ .response.body.uri | split("/") | last }}'}
      - name: finish
        get: /syncs/${{ .saved.job }}
        until:
          state: ${{ .response.body.status }}
          running: [pending, active]
          succeeded: [success]
          failed: [error]
          every: {first: 1s}
`
