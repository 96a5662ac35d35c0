package target

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// batchOf gives the input of a step whose batch holds these records.
func batchOf(records ...string) Input {
	in := polledInput()
	in.Tracking, in.Payload = "bat_1", nil
	in.Members = func(context.Context) (*Upload, error) {
		out := &Upload{}
		for i, record := range records {
			var raw []byte
			if record != "" {
				raw = []byte(record)
			}
			out.Records, out.Keys = append(out.Records, raw), append(out.Keys, fmt.Sprintf("k%d", i))
		}
		return out, nil
	}
	return in
}

// ends shows how each record ended: a letter for its state.
func ends(c tracking.Concluded, n int) string {
	var out strings.Builder
	for place := range n {
		state := c.State
		if own, ok := c.Records[place]; ok {
			state = own.State
		}
		out.WriteString(string(state[0]))
	}
	return out.String()
}

// Each record of a batch has its own outcome: what a list says of it, by its place or by
// what it has in common with an item, and otherwise the end of the job.
func TestRejectsOfBatch(t *testing.T) {
	const (
		byIndex = "index: ${{ .item.line - 1 }}"
		byKey   = "key: {item: \"${{ .item.email }}\", record: \"${{ .record.email | ascii_downcase }}\"}"
		byName  = "key: {item: \"${{ .item.id }}\", record: \"${{ .key }}\"}"
	)
	records := []string{`{"email":"A@b.example"}`, `{"email":"c@d.example"}`, `{"email":"e@f.example"}`, `{"email":"c@d.example"}`}
	for name, tt := range map[string]struct {
		by, word, items string
		gone            int // the record at this place has left; 0: none has
		want            string
		message         string // of the first record that has an end of its own
		total           int
	}{
		"by place":               {by: byIndex, word: "partial", items: `{"line":2,"code":"E","why":"bad"}`, want: "srss", message: "E bad"},
		"by place, several":      {by: byIndex, word: "partial", items: `{"line":1,"why":"x"},{"line":4,"code":"W1","why":"y"},{"line":1,"why":"z"}`, want: "rssw", message: "x; z"},
		"by key, each of two":    {by: byKey, word: "partial", items: `{"email":"c@d.example","why":"bad"}`, want: "srsr", message: "bad"},
		"by key, normalised":     {by: byKey, word: "partial", items: `{"email":"a@b.example","why":"bad"}`, want: "rsss"},
		"by name":                {by: byName, word: "partial", items: `{"id":"k2","why":"bad"}`, want: "ssrs"},
		"all failed but warned":  {by: byIndex, word: "failed", items: `{"line":1,"why":"bad"}`, want: "rfff"},
		"nobody is named":        {by: byIndex, word: "partial", want: "wwww"},
		"a place beyond the end": {by: byIndex, word: "partial", items: `{"line":2,"why":"bad"},{"line":5,"why":"?"}`, want: "uruu"},
		"the whole file":         {by: byIndex, word: "partial", items: `{"line":0,"why":"?"}`, want: "uuuu"},
		"no place":               {by: byIndex, word: "partial", items: `{"why":"?"}`, want: "uuuu"},
		"a stranger":             {by: byKey, word: "partial", items: `{"email":"x@y.example","why":"?"}`, want: "uuuu"},
		"too few are listed":     {by: byKey, word: "partial", items: `{"email":"c@d.example","why":"bad"}`, total: 7, want: "urur"},
		"one has left":           {by: byIndex, word: "partial", items: `{"line":3,"why":"bad"}`, gone: 1, want: "ssrs"},
		"its key has left":       {by: byKey, word: "partial", items: `{"email":"c@d.example","why":"bad"}`, gone: 1, want: "sssr"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/jobs/j1/errors" {
					says(200, `{"state":"`+tt.word+`"}`)(w, r)
					return
				}
				says(200, fmt.Sprintf(`{"items":[%s],"total":%d}`, tt.items, tt.total))(w, r)
			})
			members := append([]string{}, records...)
			if tt.gone > 0 {
				members[tt.gone] = ""
			}
			p := pollPlanUnder(t, b.URL, "batch: {max_records: 10}\n", strings.NewReplacer(
				"match: ${{ .item.email == .payload.email }}", tt.by, "  page: {limit: 2, limit_param: size, offset_param: from}\n", "").Replace(rejectsYAML))
			got := eventOf[tracking.Concluded](t, newEngine(t).Run(t.Context(), p, batchOf(members...)))
			if have := ends(got, len(records)); have != tt.want {
				t.Errorf("ended %s, want %s: %+v", have, tt.want, got)
			}
			if first := strings.IndexByte(tt.want, 'r'); tt.message != "" && got.Records[first].Message != tt.message {
				t.Errorf("record %d: %+v, want %q", first, got.Records[first], tt.message)
			}
		})
	}
}

// A backend that answers at once names refused records in that answer: one bad record does
// not fail its batch, and nothing makes the upload be sent again.
func TestRejectsInTheAnswer(t *testing.T) {
	const spec = `{url: "${URL}", post: /batch, batch: {max_records: 10}, expect: [200, 207],
		rejects: {items: "${{ .response.body.errors }}", index: "${{ .item.batch_index }}", code: "${{ .item.reason }}", reason: "${{ .item.message }}", total: "${{ .response.body.failed }}"}}`
	for name, tt := range map[string]struct {
		status int
		body   string
		want   string
		reason fault.Reason
	}{
		"all taken":     {200, `{}`, "sss", ""},
		"one refused":   {207, `{"errors":[{"batch_index":1,"reason":"invalid","message":"no e-mail"}]}`, "srs", ""},
		"all refused":   {207, `{"errors":[{"batch_index":1},{"batch_index":0},{"batch_index":2}]}`, "rrr", ""},
		"one missing":   {207, `{"errors":[{"batch_index":0}],"failed":2}`, "ruu", fault.BadResponse},
		"a stranger":    {207, `{"errors":[{"batch_index":3}]}`, "uuu", fault.BadResponse},
		"not readable":  {207, `{"errors":"text"}`, "uuu", fault.BadResponse},
		"not even JSON": {200, `ok`, "uuu", fault.BadResponse},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, says(tt.status, tt.body))
			in := batchOf(`{}`, `{}`, `{}`)
			in.Delivery, in.Payload = tracking.Delivery{}, []byte(`[{},{},{}]`)
			got := eventOf[tracking.Concluded](t, newEngine(t).Run(t.Context(), mustCompile(t, b.URL, spec), in))
			if have := ends(got, 3); have != tt.want || got.Reason != tt.reason || got.Poll || got.HTTPStatus != tt.status {
				t.Errorf("ended %s, want %s: %+v", have, tt.want, got)
			}
			if own := got.Records[1]; tt.want == "srs" && (own.Message != "invalid no e-mail" || own.Reason != fault.Rejected) {
				t.Errorf("%+v", own)
			}
		})
	}
}

func TestRejectsAreChecked(t *testing.T) {
	const (
		rejects = `rejects: {items: "${{ .response.body }}"`
		polls   = `get: /a, until: {state: "${{ .response.body }}", succeeded: [a]}, ` + rejects + `, `
	)
	for text, want := range map[string]string{
		`batch: {}, post: /a, ` + rejects + `}}`:                                                                              "which record of the batch an item means is not said",
		`batch: {}, post: /a, ` + rejects + `, match: "${{ true }}"}}`:                                                        "match cannot tell",
		`batch: {}, post: /a, ` + rejects + `, index: "${{ .item.i }}", key: {item: "${{ .item }}", record: "${{ .key }}"}}}`: "two ways to say the same",
		`post: /a, ` + rejects + `, index: "${{ .item.i }}"}}`:                                                                "without batch there is one record",
		`post: /a, ` + rejects + `, key: {item: "${{ .item }}", record: "${{ .key }}"}}}`:                                     "without batch there is one record",
		`post: /a, ` + rejects + `, get: /b}}`:                                                                                "rejects.get needs until",
		`post: /a, ` + rejects + `, page: {limit: 2}}}`:                                                                       "the last answer has no other page",
		`post: /a, ` + rejects + `, always: true}}`:                                                                           "without until the list is always read",
		`post: /a, rejects: }`:                      "rejects is empty",
		`post: /a, rejects: []}`:                    "rejects is empty",
		`post: /a, ` + rejects + `, means: maybe}}`: `an item cannot mean "maybe"`,
		`post: /a, ` + rejects + `, classify: [{when: "${{ true }}", as: never}]}}`:                         `an item cannot mean "never"`,
		`post: /a, ` + rejects + `, classify: [{as: retry}]}}`:                                              "when",
		`post: /a, ` + rejects + `, format: yaml}}`:                                                         `"yaml" is no format`,
		`post: /a, ` + rejects + `, format: zip, files: zip}}`:                                              `files cannot be written as "zip"`,
		`post: /a, ` + rejects + `, files: csv}}`:                                                           "this is none",
		`post: /a, ` + rejects + `, format: ndjson, delimiter: ";"}}`:                                       "only a CSV has a delimiter",
		`post: /a, ` + rejects + `, format: csv, delimiter: "ab"}}`:                                         "cannot stand between cells",
		`post: /a, ` + rejects + `, max_response: 1GB}}`:                                                    "max_response should be",
		`post: /a, ` + rejects + `, count: 3}}`:                                                             "count should be an expression",
		`post: /a, rejects: [{items: "${{ .response.body }}"}, {items: "${{ .item }}"}]}`:                   "item",
		`post: /a, rejects: [{items: "${{ .response.body }}"}, {get: /b, items: "${{ .response.body }}"}]}`: "rejects.get needs until",
		polls + `get: /b, page: {limit: 2, cursor: "${{ .response.body.c }}"}}}`:                            "a list is read by offset, or by cursor",
		polls + `get: /b, page: {param: after}}}`:                                                           "where the cursor is is not said",
		polls + `get: /b, page: {cursor: "${{ .response.body.c }}", param: ""}}}`:                           "param is empty",
		polls + `get: /b, page: {next: /c}}}`:                                                               "next should be an expression",
		polls + `get: "${{ .response.body.errors_url }}"}}`:                                                 "does not say which hosts",
		`batch: {}, post: /a, ` + rejects + `, key: {item: "${{ .item }}"}}}`:                               "record",
		`batch: {}, post: /a, ` + rejects + `, key: {item: "${{ .item }}", record: "${{ .payload }}"}}}`:    "payload",
	} {
		if _, report := compileText(t, "http://b.example", `{url: "${URL}", `+text); report.Err() == nil || !strings.Contains(report.Err().Error(), want) {
			t.Errorf("%s\ngives %v, want %q", text, report.Err(), want)
		}
	}
}
