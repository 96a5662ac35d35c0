package target

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

const rejectsYAML = `rejects:
  get: /jobs/${{ .saved.job }}/errors?kind=all
  items: ${{ .response.body.items }}
  match: ${{ .item.email == .payload.email }}
  reason: ${{ .item.why }}
  code: ${{ .item.code }}
  warnings: [W1, 7]
  total: ${{ .response.body.total }}
  page: {limit: 2, limit_param: size, offset_param: from}
  max_pages: 3
`

func TestRejects(t *testing.T) {
	mine := func(code, why string) string {
		return fmt.Sprintf(`{"email":"a@b.example","code":%s,"why":%q}`, code, why)
	}
	const other = `{"email":"o@b.example","code":"E","why":"other"}`
	tests := map[string]struct {
		word    string
		items   []string
		total   string // default: as many as there are
		body    string // of the pages, instead of items
		status  int    // of the pages; default 200
		state   tracking.State
		reason  fault.Reason
		message string
		pages   int
	}{
		"refused":             {word: "partial", items: []string{mine(`"E1"`, "bad")}, state: tracking.Rejected, reason: fault.Rejected, message: "E1 bad", pages: 1},
		"refused twice":       {word: "failed", items: []string{mine(`"E1"`, "bad"), mine(`null`, "worse")}, state: tracking.Rejected, reason: fault.Rejected, message: "E1 bad; worse", pages: 2},
		"page 3":              {word: "partial", items: []string{other, other, other, other, mine(`"E1"`, "late")}, state: tracking.Rejected, reason: fault.Rejected, message: "E1 late", pages: 3},
		"only a warning":      {word: "partial", items: []string{other, mine(`"W1"`, "same")}, state: tracking.Warned, message: "W1 same", pages: 2},
		"a numeric code":      {word: "warned", items: []string{mine(`7`, "same")}, state: tracking.Warned, message: "7 same", pages: 1},
		"warning and refusal": {word: "warned", items: []string{mine(`"W1"`, "same"), mine(`"E"`, "no")}, state: tracking.Rejected, reason: fault.Rejected, message: "E no", pages: 2},
		"failed, not listed":  {word: "failed", items: []string{other}, state: tracking.Failed, reason: fault.JobFailed, message: "failed", pages: 1},
		"partial, others":     {word: "partial", items: []string{other, other, other}, state: tracking.Succeeded, pages: 2},
		"partial, none":       {word: "partial", state: tracking.Warned, message: "names no refused record", pages: 1},
		"partial, none, but":  {word: "partial", total: "3", state: tracking.Unknown, reason: fault.BadResponse, message: "not complete", pages: 1},
		"too many pages":      {word: "partial", items: []string{other, other, other, other, other, other, other}, state: tracking.Unknown, reason: fault.BadResponse, message: "not complete", pages: 3},
		"warned, none":        {word: "warned", state: tracking.Warned, pages: 1},
		"no total":            {word: "partial", items: []string{other}, total: "null", state: tracking.Succeeded, pages: 1},
		"page fails":          {word: "partial", status: 500, pages: 1},
		"no list":             {word: "partial", body: `{"items":{"a":1}}`, pages: 1},
		"no items":            {word: "partial", body: `{"other":1}`, state: tracking.Warned, pages: 1},
		"odd item":            {word: "partial", body: `{"items":["text"]}`, pages: 1},
		"page too large":      {word: "partial", body: `{"items":["` + strings.Repeat("x", 1<<20) + `"]}`, pages: 1},
		"page not found":      {word: "failed", status: 404, pages: 1},
		"long reasons":        {word: "failed", items: []string{mine(`"A"`, strings.Repeat("x", 900)), mine(`"B"`, strings.Repeat("y", 900))}, state: tracking.Rejected, reason: fault.Rejected, message: "A xxx", pages: 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			pages := 0
			b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/jobs/j1/errors" {
					says(200, `{"state":"`+tt.word+`"}`)(w, r)
					return
				}
				pages++
				var size, from int
				_, _ = fmt.Sscan(r.URL.Query().Get("size"), &size)
				_, _ = fmt.Sscan(r.URL.Query().Get("from"), &from)
				if r.URL.Query().Get("kind") != "all" || size != 2 {
					t.Errorf("asked for %s", r.URL)
				}
				end := min(from+size, len(tt.items))
				count := tt.total
				if count == "" {
					count = fmt.Sprint(len(tt.items))
				}
				status := tt.status
				if status == 0 {
					status = 200
				}
				body := tt.body
				if body == "" {
					body = fmt.Sprintf(`{"items":[%s],"total":%s}`, strings.Join(tt.items[min(from, end):end], ","), count)
				}
				says(status, body)(w, r)
			})
			event := newEngine(t).Run(t.Context(), pollPlan(t, b.URL, rejectsYAML), polledInput())
			if tt.state == "" {
				got := eventOf[tracking.PollFailed](t, event)
				if got.Final || (tt.status != 0 && got.Fault.Status != tt.status) || !strings.Contains(got.Fault.Message, "list of refused records") {
					t.Errorf("%+v %+v", got, got.Fault)
				}
			} else {
				got := eventOf[tracking.Concluded](t, event)
				if got.State != tt.state || got.Reason != tt.reason || !strings.Contains(got.Message, tt.message) || got.JobID != "j1" || !got.Poll {
					t.Errorf("%+v", got)
				}
				if len([]rune(got.Message)) > 1000 {
					t.Errorf("message of %d characters", len([]rune(got.Message)))
				}
			}
			if pages != tt.pages {
				t.Errorf("%d pages, want %d", pages, tt.pages)
			}
		})
	}
}
