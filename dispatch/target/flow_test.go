package target

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// bulk is a flow in the manner of Eloqua's Bulk API: create an import, put data into it,
// sync it, poll the sync, read what was refused.
const bulk = `
url: ${URL}/api/bulk/2.0
allow_hosts: []
auth: {basic: {user: 'Company\user', password: {env: CRM_TOKEN}}}
headers: {X-Flow: "${{ .tracking }}"}
steps:
- name: create
  post: /contacts/imports
  json: {name: "${{ .tracking }}", fields: {C_EmailAddress: "{{Contact.Field(C_EmailAddress)}}"}}
  expect: [201]
  save: {import: "${{ .response.body.uri }}"}
- name: data
  post: ${{ .saved.import + "/data" }}
  json: ["${{ .payload }}"]
  expect: [204]
- name: sync
  post: /syncs
  json: {syncedInstanceUri: "${{ .saved.import }}"}
  save: {job: "${{ .response.body.uri }}"}
- name: finish
  get: ${{ .saved.job }}
  until:
    state: ${{ .response.body.status }}
    running: [pending, active]
    succeeded: [success]
    warned: [warning]
    failed: [error, errored]
    every: {first: 2s, factor: 2, max: 10s}
    deadline: 1h
    attempts: 3
  result: {sync: "${{ .saved.job }}", state: "${{ .response.body.status }}"}
  rejects:
    get: ${{ .saved.job + "/rejects" }}
    items: ${{ .response.body.items }}
    reason: ${{ .item.message }}
    code: ${{ .item.statusCode }}
    warnings: [ELQ-00040]
    total: ${{ .response.body.totalResults }}
    page: {limit: 2, more: "${{ .response.body.hasMore }}"}
retry: {attempts: 4}
`

// bulkServer plays the vendor. polls are the answers to polls in turn, the last one for
// ever; a number stands for that HTTP status.
type bulkServer struct {
	polls  []string
	polled int
	items  []string
	job    string
}

func (s *bulkServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := strings.TrimPrefix(r.URL.Path, "/api/bulk/2.0"); r.Method + " " + path {
	case "POST /contacts/imports":
		says(201, `{"uri":"/contacts/imports/384"}`)(w, r)
	case "POST /contacts/imports/384/data":
		w.WriteHeader(204)
	case "POST /syncs":
		says(201, `{"uri":"`+s.job+`","status":"pending"}`)(w, r)
	case "GET /syncs/7":
		word := s.polls[min(s.polled, len(s.polls)-1)]
		s.polled++
		var status int
		if _, err := fmt.Sscan(word, &status); err == nil {
			says(status, `{"message":"no luck"}`)(w, r)
			return
		}
		says(200, `{"status":"`+word+`"}`)(w, r)
	case "GET /syncs/7/rejects":
		var limit, offset int
		_, _ = fmt.Sscan(r.URL.Query().Get("limit"), &limit)
		_, _ = fmt.Sscan(r.URL.Query().Get("offset"), &offset)
		end := min(offset+limit, len(s.items))
		says(200, fmt.Sprintf(`{"items":[%s],"totalResults":%d,"hasMore":%v}`,
			strings.Join(s.items[min(offset, end):end], ","), len(s.items), end < len(s.items)))(w, r)
	default:
		says(404, `{"message":"no such path"}`)(w, r)
	}
}

func TestBulkFlow(t *testing.T) {
	item := func(code, message string) string {
		return fmt.Sprintf(`{"statusCode":%q,"message":%q,"recordIndex":1}`, code, message)
	}
	tests := map[string]struct {
		polls, items    []string
		job             string
		state           tracking.State
		reason          fault.Reason
		message         string
		pollCount, runs int
		pages           int
	}{
		"well":           {polls: []string{"pending", "active", "success"}, state: tracking.Succeeded, pollCount: 3, runs: 6},
		"unmapped waits": {polls: []string{"brewing", "brewing", "success"}, state: tracking.Succeeded, pollCount: 3, runs: 6},
		"poll faults": {polls: []string{"503", "429", "pending", "401", "404", "success"},
			state: tracking.Succeeded, pollCount: 2, runs: 9},
		"poll budget": {polls: []string{"pending", "500"}, state: tracking.Unknown, reason: fault.ServerError, message: "no luck", pollCount: 1, runs: 7},
		"deadline":    {polls: []string{"active"}, state: tracking.Unknown, reason: fault.JobDeadline, message: `within 1h; its last state was "active"`, runs: 0},
		"deadline of unmapped": {polls: []string{"brewing"}, state: tracking.Unknown, reason: fault.JobDeadline,
			message: `"brewing"`, runs: 0},
		"failed": {polls: []string{"error"}, state: tracking.Failed, reason: fault.JobFailed, message: `"error"`, pollCount: 1, runs: 4, pages: 1},
		"failed and refused": {polls: []string{"errored"}, items: []string{item("ELQ-2", "bad email")}, state: tracking.Rejected,
			reason: fault.Rejected, message: "ELQ-2 bad email", pollCount: 1, runs: 4, pages: 1},
		"warning": {polls: []string{"warning"}, items: []string{item("ELQ-00040", "unchanged")}, state: tracking.Warned,
			message: "ELQ-00040 unchanged", pollCount: 1, runs: 4, pages: 1},
		"refused on page 3": {polls: []string{"warning"}, items: []string{item("ELQ-00040", "a"), item("ELQ-00040", "b"), item("ELQ-00040", "c"),
			item("ELQ-00040", "d"), item("ELQ-9", "too long")}, state: tracking.Rejected, reason: fault.Rejected, message: "ELQ-9 too long",
			pollCount: 1, runs: 4, pages: 3},
		"no job": {job: "-", state: tracking.Failed, reason: fault.BadResponse, message: "save job", runs: 3},
	}
	t.Setenv("CRM_TOKEN", "pw")
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			vendor := &bulkServer{polls: tt.polls, items: tt.items, job: "/syncs/7"}
			if tt.job == "-" {
				vendor.job = ""
			}
			b := newBackend(t, vendor.ServeHTTP)
			p := mustCompile(t, b.URL, bulk)
			d, states := drive(t, newEngine(t), p, input())
			if d.State != tt.state || d.Reason != tt.reason || !strings.Contains(d.Message, tt.message) {
				t.Errorf("%s %s %q, want %s %s %q", d.State, d.Reason, d.Message, tt.state, tt.reason, tt.message)
			}
			if tt.runs > 0 && (len(states) != tt.runs || d.Polls != tt.pollCount) {
				t.Errorf("%d runs, %d polls, want %d, %d: %v", len(states), d.Polls, tt.runs, tt.pollCount, states)
			}
			want := "/syncs/7"
			if tt.job == "-" {
				want = ""
			}
			if d.JobID != want || (want != "" && d.Attempts != 3) {
				t.Errorf("job %q, %d attempts", d.JobID, d.Attempts)
			}
			if d.State == tracking.Succeeded && string(d.Result["sync"]) != `"/syncs/7"` {
				t.Errorf("result %s (%s)", d.Result, d.Message)
			}
			count := map[string]int{}
			for _, c := range b.seen() {
				path, _, _ := strings.Cut(c.URI, "?")
				count[c.Method+" "+strings.TrimPrefix(path, "/api/bulk/2.0")]++
			}
			if count["POST /contacts/imports"] != 1 || count["POST /contacts/imports/384/data"] != 1 || count["POST /syncs"] != 1 {
				t.Errorf("uploaded more than once: %v", count)
			}
			if tt.job == "-" && len(count) != 3 {
				t.Errorf("an empty job was polled: %v", count)
			}
			if count["GET /syncs/7/rejects"] != tt.pages {
				t.Errorf("%d pages read, want %d", count["GET /syncs/7/rejects"], tt.pages)
			}
		})
	}
}

func TestFlowKeysAndBodies(t *testing.T) {
	t.Setenv("CRM_TOKEN", "pw")
	b := newBackend(t, (&bulkServer{polls: []string{"success"}, job: "/syncs/7"}).ServeHTTP)
	drive(t, newEngine(t), mustCompile(t, b.URL, bulk), input())
	var keys []string
	for _, c := range b.seen() {
		keys = append(keys, c.Header.Get("Idempotency-Key"))
		if c.Header.Get("Authorization") == "" || c.Header.Get("X-Flow") != "trk_1" {
			t.Errorf("%s %s: headers %v", c.Method, c.URI, c.Header)
		}
	}
	if want := []string{"trk_1:crm:create", "trk_1:crm:data", "trk_1:crm:sync", ""}; !slices.Equal(keys, want) {
		t.Errorf("keys %q, want %q", keys, want)
	}
	if got := b.seen()[1].Body; got != `[{"email":"a@b.example","n":12345678901234567890}]` {
		t.Errorf("data %s", got)
	}
	if got := b.seen()[0].Body; !strings.Contains(got, `{{Contact.Field(C_EmailAddress)}}`) {
		t.Errorf("create %s", got)
	}
}

func TestStepOverrides(t *testing.T) {
	t.Setenv("CRM_TOKEN", "pw")
	b := newBackend(t, says(200, `{"url":"/u","job":9007199254740993}`))
	p := mustCompile(t, b.URL, `
allow_hosts: []
url: ${URL}
auth: {bearer: {env: CRM_TOKEN}}
headers: {X-A: target, X-B: target}
steps:
- {name: a, post: /a, headers: {x-a: step}, auth: none, timeout: 3s, save: {job: "${{ .response.body.job }}", u: "${{ .response.body.url }}"}}
- {name: b, put: "${{ .saved.u }}", auth: {header: {name: X-Key, value: {env: CRM_TOKEN}}}, json: {job: "${{ .saved.job }}"}}
- {name: c, post: "/c/${{ .saved.job }}", result: {job: "${{ .saved.job }}"}}
`)
	first := eventOf[tracking.Advanced](t, newEngine(t).Run(t.Context(), p, input()))
	if first.Next != "b" || first.JobID != "9007199254740993" || string(first.Saved["job"]) != "9007199254740993" {
		t.Errorf("%+v", first)
	}
	d, _ := drive(t, newEngine(t), p, input())
	if d.State != tracking.Succeeded || string(d.Result["job"]) != "9007199254740993" {
		t.Errorf("%+v", d)
	}
	calls := b.seen()[1:]
	if h := calls[0].Header; h.Get("Authorization") != "" || h.Get("X-A") != "step" || h.Get("X-B") != "target" {
		t.Errorf("a: %v", h)
	}
	if h := calls[1].Header; h.Get("Authorization") != "" || h.Get("X-Key") != "pw" || h.Get("X-A") != "target" || calls[1].URI != "/u" ||
		calls[1].Body != `{"job":9007199254740993}` {
		t.Errorf("b: %+v", calls[1])
	}
	if h := calls[2].Header; h.Get("Authorization") != "Bearer pw" || calls[2].URI != "/c/9007199254740993" || calls[2].Body != "" {
		t.Errorf("c: %+v", calls[2])
	}
	if p.Hold("a") != 3*time.Second || p.Hold("b") != 10*time.Second {
		t.Errorf("hold %s, %s", p.Hold("a"), p.Hold("b"))
	}
}

func TestSaveIsChecked(t *testing.T) {
	for name, tt := range map[string]struct{ body, message string }{
		"null":     {`{"id":null}`, "has no value"},
		"missing":  {`{}`, "has no value"},
		"empty":    {`{"id":""}`, "has no value"},
		"not json": {`<ok>`, "save job"},
		"huge":     {`{"id":"` + strings.Repeat("x", 70_000) + `"}`, "65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, says(201, tt.body))
			p := mustCompile(t, b.URL, "url: ${URL}\nsteps:\n- {name: a, post: /a, save: {job: '${{ .response.body.id }}'}}\n- {name: b, post: '/${{ .saved.job }}'}")
			got := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), p, input()))
			if got.Fault.Reason != fault.BadResponse || !got.Final || got.Fault.Status != 201 || !strings.Contains(got.Fault.Message, tt.message) {
				t.Errorf("%+v %+v", got, got.Fault)
			}
		})
	}
}
