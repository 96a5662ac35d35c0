package target

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// resultsOf is a backend whose job is in this state, and whose lists are at these paths.
func resultsOf(t *testing.T, poll string, lists map[string]http.HandlerFunc) *backend {
	t.Helper()
	return newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		list, ok := lists[r.URL.Path]
		switch {
		case ok:
			list(w, r)
		case strings.HasPrefix(r.URL.Path, "/jobs/"):
			says(200, poll)(w, r)
		default:
			says(404, `{}`)(w, r)
		}
	})
}

// finished runs the poll of a batch of these records to its end.
func finished(t *testing.T, p *Plan, records ...string) tracking.Concluded {
	t.Helper()
	return eventOf[tracking.Concluded](t, newEngine(t).Run(t.Context(), p, batchOf(records...)))
}

// resultsPlan compiles a batch whose last step polls and reads these lists.
func resultsPlan(t *testing.T, url, rejects string) *Plan {
	t.Helper()
	return pollPlanUnder(t, url, "batch: {max_records: 10}\n", "rejects:\n  "+strings.ReplaceAll(strings.TrimSpace(rejects), "\n", "\n  ")+"\n")
}

const bulkLists = `
- when: ${{ .response.body.failed > 0 }}
  get: /failed
  format: csv
  items: ${{ .response.body }}
  key: {item: "${{ .item.email }}", record: "${{ .record.email }}"}
  reason: ${{ .item.sf__Error }}
  classify: [{when: '${{ .item.sf__Error | startswith("UNABLE_TO_LOCK_ROW") }}', as: retry}]
  count: ${{ .response.body.failed }}
- get: /unprocessed
  format: csv
  items: ${{ .response.body }}
  key: {item: "${{ .item.email }}", record: "${{ .record.email }}"}
  means: retry
- get: /successful
  format: csv
  items: ${{ .response.body }}
  key: {item: "${{ .item.email }}", record: "${{ .record.email }}"}
  means: succeeded
`

// What several lists say is joined, and who is in none of them is unknown.
func TestSeveralLists(t *testing.T) {
	records := []string{`{"email":"a"}`, `{"email":"b"}`, `{"email":"c"}`, `{"email":"a"}`}
	for name, tt := range map[string]struct {
		word, failed, unprocessed, successful string
		count                                 int
		want                                  []tracking.State
		asked                                 int
	}{
		"all taken":             {word: "done", successful: "a\nb\nc\na\n", want: ended("ssss"), asked: 3},
		"one of each":           {word: "done", failed: "b,bad\n", count: 1, unprocessed: "c\n", successful: "a\na\n", want: ended("srys"), asked: 4},
		"identical, one each":   {word: "partial", failed: "a,bad\n", count: 1, successful: "b\nc\na\n", want: ended("rsss"), asked: 4},
		"identical, one told":   {word: "partial", successful: "b\nc\na\n", want: ended("ussu"), asked: 3},
		"identical, refused":    {word: "partial", failed: "a,bad\n", count: 1, successful: "b\nc\n", want: ended("rssr"), asked: 4},
		"nobody tells of b":     {word: "done", successful: "a\na\nc\n", want: ended("suss"), asked: 3},
		"nor after a failure":   {word: "failed", successful: "a\na\n", want: ended("suus"), asked: 3},
		"taken, though failed":  {word: "failed", unprocessed: "c\n", successful: "a\na\nb\n", want: ended("ssys"), asked: 3},
		"by its text":           {word: "partial", failed: "b,UNABLE_TO_LOCK_ROW:x\nc,bad\n", count: 2, successful: "a\na\n", want: ended("syrs"), asked: 4},
		"counted, but not told": {word: "partial", failed: "b,bad\n", count: 2, successful: "a\na\n", want: ended("srus"), asked: 4},
		"in two lists":          {word: "partial", failed: "b,bad\n", count: 1, unprocessed: "b\n", successful: "a\na\nb\nc\n", want: ended("srss"), asked: 4},
	} {
		t.Run(name, func(t *testing.T) {
			b := resultsOf(t, fmt.Sprintf(`{"state":%q,"failed":%d}`, tt.word, tt.count), map[string]http.HandlerFunc{
				"/failed": says(200, "email,sf__Error\n"+tt.failed), "/unprocessed": says(200, "email\n"+tt.unprocessed), "/successful": says(200, "email\n"+tt.successful),
			})
			got := finished(t, resultsPlan(t, b.URL, bulkLists), records...)
			for i, want := range tt.want {
				end := tracking.End{State: got.State, Reason: got.Reason, Message: got.Message}
				if own, ok := got.Records[i]; ok {
					end = own
				}
				if end.State != want {
					t.Errorf("record %d is %+v, want %s", i, end, want)
				}
				if want == tracking.Unknown && (end.Reason != fault.BadResponse || !strings.Contains(end.Message, "none of its lists")) {
					t.Errorf("record %d: %+v", i, end)
				}
			}
			if name == "all taken" && len(got.Records) != 0 { // they have the batch's end, and its result
				t.Errorf("ends of their own: %+v", got.Records)
			}
			if calls := b.seen(); len(calls) != tt.asked || calls[1].Header.Get("Accept") != accepted["csv"] {
				t.Errorf("asked %v", calls)
			}
		})
	}
}

// A list that is read always is also asked for after a success, and whom it does not name was taken.
func TestListsThatAreReadAlways(t *testing.T) {
	const list = "\n- get: /errors\n  items: ${{ .response.body }}\n  key: {item: \"${{ .item.email }}\", record: \"${{ .record.email }}\"}\n"
	for _, tt := range []struct {
		more, errors string
		want         []tracking.State
		asked        int
	}{
		{"  always: true\n", `[{"email":"b"}]`, ended("sr"), 2},
		{"  always: true\n", `[]`, ended("ss"), 2},
		{"  always: true\n", `[{"email":"x"}]`, ended("uu"), 2},
		{"", `[{"email":"b"}]`, ended("ss"), 1},
	} {
		b := resultsOf(t, `{"state":"done"}`, map[string]http.HandlerFunc{"/errors": says(200, tt.errors)})
		got := finished(t, resultsPlan(t, b.URL, list+tt.more), `{"email":"a"}`, `{"email":"b"}`)
		for i, want := range tt.want {
			state := got.State
			if own, ok := got.Records[i]; ok {
				state = own.State
			}
			if state != want {
				t.Errorf("%s%s: record %d is %s, want %s", tt.more, tt.errors, i, state, want)
			}
		}
		if n := len(b.seen()); n != tt.asked {
			t.Errorf("%s%s: %d calls, want %d", tt.more, tt.errors, n, tt.asked)
		}
	}
}

// ended gives states by their first letters, and y for one that is to be sent again.
func ended(letters string) (out []tracking.State) {
	words := map[rune]tracking.State{'s': tracking.Succeeded, 'w': tracking.Warned, 'r': tracking.Rejected, 'f': tracking.Failed, 'u': tracking.Unknown, 'y': tracking.Retrying}
	for _, letter := range letters {
		out = append(out, words[letter])
	}
	return out
}

func statesOf(c tracking.Concluded, n int) (out []tracking.State) {
	for i := range n {
		state := c.State
		if own, ok := c.Records[i]; ok {
			state = own.State
		}
		out = append(out, state)
	}
	return out
}

// How an item and its record find each other, in the ways in which backends say it.
func TestCorrelation(t *testing.T) {
	for name, tt := range map[string]struct{ by, items, want string }{
		"place from 0":   {"index: ${{ .item.i }}", `{"i":1}`, "srs"},
		"place from 1":   {"index: ${{ .item.i - 1 }}", `{"i":1}`, "rss"},
		"place as text":  {"index: ${{ .item.i | tonumber - 1 }}", `{"i":"3"}`, "ssr"},
		"line of a CSV":  {"index: ${{ (.item.line | tonumber) - 2 }}", `{"line":"2"},{"line":"4"}`, "rsr"},
		"the header":     {"index: ${{ (.item.line | tonumber) - 2 }}", `{"line":"1"}`, "uuu"},
		"JSON pointer":   {`index: ${{ .item.source.pointer | capture("/profiles/data/(?<i>[0-9]+)(/|$)").i }}`, `{"source":{"pointer":"/data/attributes/profiles/data/2/attributes/email"}}`, "ssr"},
		"pointer beyond": {`index: ${{ .item.source.pointer | capture("/profiles/data/(?<i>[0-9]+)(/|$)").i }}`, `{"source":{"pointer":"/data/attributes/name"}}`, "uuu"},
		"client ID":      {`key: {item: "${{ .item.id }}", record: "${{ .key }}"}`, `{"id":"k1"}`, "srs"},
		"normalised":     {`key: {item: "${{ .item.email | ascii_downcase }}", record: "${{ .record.email | ascii_downcase }}"}`, `{"email":"B@x.example"}`, "srs"},
		"echo":           {`key: {item: "${{ .item.sent | tojson }}", record: "${{ .record | tojson }}"}`, `{"sent":{"n":3,"email":"c@x.example"}}`, "ssr"},
		"echo of text":   {`key: {item: "${{ .item.sent | fromjson | tojson }}", record: "${{ .record | tojson }}"}`, `{"sent":"{\"n\":1, \"email\":\"A@x.example\"}"}`, "rss"},
	} {
		t.Run(name, func(t *testing.T) {
			b := resultsOf(t, `{"state":"partial","errors":[`+tt.items+`]}`, nil)
			p := resultsPlan(t, b.URL, "items: ${{ .response.body.errors }}\n"+tt.by)
			got := finished(t, p, `{"email":"A@x.example","n":1}`, `{"email":"b@X.example","n":2}`, `{"email":"c@x.example","n":3}`)
			if have := statesOf(got, 3); fmt.Sprint(have) != fmt.Sprint(ended(tt.want)) {
				t.Errorf("ended %v, want %s: %+v", have, tt.want, got)
			}
		})
	}
}

// What an item means: by the first class that holds, then by its code, then by its list.
func TestClasses(t *testing.T) {
	const list = `
items: ${{ .response.body.items }}
index: ${{ .item.i }}
code: ${{ .item.code }}
reason: ${{ .item.why }}
warnings: [W1, E9]
classify:
- {when: '${{ .item.code == "E9" }}', as: rejected}
- {when: '${{ .item.field == "phone" }}', as: warned}
- {when: '${{ .item.status == 429 or .item.status >= 500 }}', as: retry}
- {when: '${{ .item.status < 300 }}', as: succeeded}
means: %s
`
	for name, tt := range map[string]struct{ means, items, want, message string }{
		"by its list":         {"rejected", `{"i":0,"status":400,"why":"no"}`, "rs", "no"},
		"by another list":     {"warned", `{"i":0,"status":400}`, "ws", "a warning, without a reason"},
		"by its code":         {"rejected", `{"i":0,"status":400,"code":"W1"}`, "ws", "W1"},
		"class before code":   {"rejected", `{"i":0,"status":400,"code":"E9"}`, "rs", "E9"},
		"by its field":        {"rejected", `{"i":0,"status":400,"field":"phone","why":"odd"}`, "ws", "odd"},
		"first class":         {"rejected", `{"i":0,"status":503,"field":"phone"}`, "ws", "a warning, without a reason"},
		"again":               {"rejected", `{"i":0,"status":429}`, "ys", "to be sent again, without a reason"},
		"taken":               {"rejected", `{"i":0,"status":201},{"i":1,"status":400}`, "sr", ""},
		"refused and again":   {"rejected", `{"i":0,"status":429},{"i":0,"status":400,"why":"no"}`, "rs", "no"},
		"again and a warning": {"rejected", `{"i":0,"status":429,"why":"busy"},{"i":0,"field":"phone"}`, "ys", "busy"},
		"taken and a warning": {"rejected", `{"i":0,"status":200},{"i":0,"field":"phone","why":"odd"}`, "ws", "odd"},
		"accounted":           {"succeeded", `{"i":0,"status":400},{"i":1,"code":"E9","why":"no"}`, "sr", ""},
		"not accounted":       {"succeeded", `{"i":0,"status":201}`, "su", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := resultsOf(t, `{"state":"partial","items":[`+tt.items+`]}`, nil)
			got := finished(t, resultsPlan(t, b.URL, fmt.Sprintf(list, tt.means)), `{}`, `{}`)
			if have := statesOf(got, 2); fmt.Sprint(have) != fmt.Sprint(ended(tt.want)) {
				t.Errorf("ended %v, want %s: %+v", have, tt.want, got)
			}
			if got.Records[0].Message != tt.message {
				t.Errorf("message %q, want %q", got.Records[0].Message, tt.message)
			}
		})
	}
	t.Run("a condition that fails is no success", func(t *testing.T) {
		b := resultsOf(t, `{"state":"partial","items":[{"i":0}]}`, nil)
		p := resultsPlan(t, b.URL, "items: ${{ .response.body.items }}\nindex: ${{ .item.i }}\nclassify: [{when: '${{ .item.i | ltrimstr(1) | test(\"x\") }}', as: succeeded}]")
		if got := eventOf[tracking.PollFailed](t, newEngine(t).Run(t.Context(), p, batchOf(`{}`))); got.Final {
			t.Errorf("%+v", got)
		}
	})
}

// Where the backend counts what it refused, fewer or more in the list make those that it
// does not name unknown.
func TestCounts(t *testing.T) {
	for count, want := range map[string]string{"null": "rrs", "2": "rrs", "1": "rrs", "3": "rru", "0": "rru", `"2"`: "rrs", `"many"`: "rru"} {
		t.Run(count, func(t *testing.T) {
			b := resultsOf(t, `{"state":"partial","errored":`+count+`,"items":[{"e":"a"},{"e":"a","x":1}]}`, nil)
			p := resultsPlan(t, b.URL, `
items: ${{ .response.body.items }}
key: {item: "${{ .item.e }}", record: "${{ .record.e }}"}
count: ${{ .response.body.errored }}
`)
			got := finished(t, p, `{"e":"a"}`, `{"e":"a"}`, `{"e":"b"}`)
			if have := statesOf(got, 3); fmt.Sprint(have) != fmt.Sprint(ended(want)) {
				t.Errorf("ended %v, want %s: %+v", have, want, got)
			}
		})
	}
}
