package target

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"headgate/dispatch/tracking"
)

const finallyYAML = `
url: ${URL}
limits: {timeout: 3s}
retry: {attempts: 2}
steps:
- {name: create, post: /imports, json: {}, save: {uri: "${{ .response.body.uri }}"}}
- name: sync
  put: "/syncs/${{ .payload.n }}"
  json: {}
  save: {sync: "${{ .response.body.sync }}"}
finally:
- {name: unsync, delete: "/syncs/${{ .saved.sync }}"}
- {name: remove, delete: "${{ .saved.uri }}", expect: [204, 404], headers: {X-State: gone}, timeout: 4s}
- {name: tell, when: "${{ .state != \"succeeded\" and .payload.n != null }}", post: "/told?${{ .state }}", json: {uri: "${{ .saved.uri }}"}}
allow_hosts: []
`

// end runs a delivery to its end and cleans up after it, as the runner does.
func end(t *testing.T, e *Engine, p *Plan, in Input) tracking.Delivery {
	t.Helper()
	for range 100 {
		event := e.Run(t.Context(), p, in)
		ending := tracking.Concluding(in.Delivery, event, in.Now)
		in.Delivery = tracking.Apply(in.Delivery, event, in.Now)
		if in.Delivery.State.Final() {
			if p.CleansUp(ending) {
				in.Delivery = ending
				e.CleanUp(t.Context(), p, in)
				return tracking.Settled(ending, in.Now)
			}
			return in.Delivery
		}
	}
	t.Fatal("no end")
	return in.Delivery
}

// What is cleaned up depends on the end and on what there is, and what comes of it changes nothing.
func TestFinally(t *testing.T) {
	for name, tt := range map[string]struct {
		create, sync, cleaning string // status and body
		calls                  string
		state                  tracking.State
	}{
		"all is well":      {`201 {"uri":"/i/1"}`, `200 {"sync":7}`, "204", "POST /imports, PUT /syncs/3, DELETE /syncs/7, DELETE /i/1", tracking.Succeeded},
		"it fails":         {`201 {"uri":"/i/1"}`, `200 {"sync":7}`, "500", "POST /imports, PUT /syncs/3, DELETE /syncs/7, DELETE /i/1", tracking.Succeeded},
		"nothing was made": {`400 {}`, "", "204", "POST /imports", tracking.Rejected},
		"refused":          {`201 {"uri":"/i/1"}`, `422 {}`, "204", "POST /imports, PUT /syncs/3, DELETE /i/1, POST /told?rejected", tracking.Rejected},
		"given up":         {`201 {"uri":"/i/1"}`, `503 {}`, "204", "POST /imports, PUT /syncs/3, PUT /syncs/3, DELETE /i/1, POST /told?failed", tracking.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			var calls []string
			server := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
				calls = append(calls, r.Method+" "+r.RequestURI)
				says := func(script string) {
					says(map[string]int{"200": 200, "201": 201, "204": 204, "400": 400, "422": 422, "500": 500, "503": 503}[script[:3]], strings.TrimSpace(script[3:]))(w, r)
				}
				switch {
				case r.RequestURI == "/imports":
					says(tt.create)
				case r.Method == http.MethodPut:
					says(tt.sync)
				default:
					says(tt.cleaning)
				}
			})
			var log bytes.Buffer
			e := NewEngine(Outgoing{}, slog.New(slog.NewTextHandler(&log, nil)))
			t.Cleanup(e.Close)
			in := input()
			in.Payload = []byte(`{"n":3}`)
			d := end(t, e, mustCompile(t, server.URL, finallyYAML), in)
			if got := strings.Join(calls, ", "); got != tt.calls || d.State != tt.state || d.Saved != nil {
				t.Errorf("%s after %s: %+v", d.State, got, d)
			}
			if told := strings.Count(log.String(), "a clean-up call did not work"); told != strings.Count(tt.cleaning, "500")*2 {
				t.Errorf("told %d times:\n%s", told, log.String())
			}
			for _, call := range server.seen() {
				if call.URI == "/i/1" && (call.Header.Get("X-State") != "gone" || call.Header.Get("Idempotency-Key") != "trk_1:crm:remove") {
					t.Errorf("%+v", call.Header)
				}
			}
		})
	}
}

// A job that may still run is left alone, unless the target says otherwise.
func TestFinallyAfterUnknown(t *testing.T) {
	p := mustCompile(t, "http://h", `
url: ${URL}
post: /jobs
save: {job: "${{ .response.body.id }}"}
finally:
- {name: remove, delete: "/jobs/${{ .saved.job }}"}
`)
	d := tracking.Delivery{Verdict: tracking.Unknown, Saved: map[string]json.RawMessage{"job": []byte(`1`)}}
	if p.CleansUp(d) {
		t.Error("it is taken away")
	}
	always := mustCompile(t, "http://h", `{url: "${URL}", post: /a, finally: [{name: b, when: "${{ true }}", delete: /b}]}`)
	if !always.CleansUp(d) {
		t.Error("when has no say")
	}
	if d.Verdict = ""; always.CleansUp(d) || (*Plan)(nil).CleansUp(tracking.Delivery{Verdict: tracking.Failed}) {
		t.Error("without an end, or without a plan")
	}
}

// The call of a single step saves for cleaning up, too; its keys are not those of the call.
func TestFinallyOfOneCall(t *testing.T) {
	b := newBackend(t, says(200, `{"id":5}`))
	p := mustCompile(t, b.URL, `{url: "${URL}", post: /a, save: {id: "${{ .response.body.id }}"}, finally: [{name: b, delete: "/a/${{ .saved.id }}"}]}`)
	end(t, newEngine(t), p, input())
	seen := b.seen()
	if len(seen) != 2 || seen[1].URI != "/a/5" || seen[0].Header.Get("Idempotency-Key") != "trk_1:crm" || seen[1].Header.Get("Idempotency-Key") != "trk_1:crm:b" {
		t.Errorf("%+v", seen)
	}
}

func TestCleanUpTime(t *testing.T) {
	p := mustCompile(t, "http://h", finallyYAML)
	if got := p.CleanUpTime(); got != 10*time.Second {
		t.Errorf("%s", got)
	}
}

func TestFinallyProblems(t *testing.T) {
	const start = "url: http://h\nsteps: [{name: a, post: /a, save: {x: '${{ .response.body.x }}'}}]\nfinally:\n"
	for name, tt := range map[string]struct{ yaml, where, message string }{
		"without a name":   {start + "- {delete: /a}", "4:3", `"name" is missing`},
		"a name again":     {start + "- {name: a, delete: /a}", "4:10", `"a" is there already`},
		"a bad name":       {start + "- {name: A, delete: /a}", "4:10", "no name for a call"},
		"without a method": {start + "- {name: b}", "4:3", "there is no get"},
		"never saved":      {start + "- {name: b, delete: '/${{ .saved.y }}'}", "4:21", ".saved.y is used before"},
		"no such root":     {start + "- {name: b, delete: '/${{ .response }}'}", "4:21", "response"},
		"no time":          {start + "- {name: b, delete: /a, timeout: 0s}", "4:34", "more than 0"},
		"unknown key":      {start + "- {name: b, delete: /a, save: {}}", "4:25", `unknown key "save"`},
		"any URL":          {start + "- {name: b, delete: '${{ .saved.x }}'}", "4:21", "does not say which hosts"},
		"beside one call":  {"url: http://h\npost: /a\nfinally: [{name: call, delete: /a}]", "3:18", `"call" is there already`},
	} {
		_, report := compileText(t, "", tt.yaml)
		problems := report.Problems()
		if len(problems) != 1 || !strings.Contains(problems[0].Message, tt.message) || !strings.HasSuffix(problems[0].Pos.String(), ":"+tt.where) {
			t.Errorf("%s: %v", name, report.Err())
		}
	}
}
