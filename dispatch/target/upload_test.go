package target

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// holding gives a plan its payload, or its records when it takes batches: a JSON list.
func holding(t testing.TB, p *Plan, in Input, payload string) Input {
	t.Helper()
	if p.Batch == nil {
		in.Payload = json.RawMessage(payload)
		return in
	}
	var records []json.RawMessage
	if err := json.Unmarshal([]byte(payload), &records); err != nil {
		t.Fatal(err)
	}
	in.Payload, in.Upload = nil, &Upload{Of: len(records)}
	for i, record := range records {
		in.Upload.Records = append(in.Upload.Records, record)
		in.Upload.Keys = append(in.Upload.Keys, fmt.Sprintf("k%d", i))
	}
	return in
}

func TestRoom(t *testing.T) {
	for _, tt := range []struct {
		room  Room
		sizes []int
		takes int
	}{
		{Room{}, []int{1}, 0},
		{Room{records: 2, bytes: 100}, []int{1, 1, 1}, 2},
		{Room{records: 9, bytes: 10}, []int{4, 4, 0}, 2},
		{Room{records: 9, bytes: 10}, []int{4, 5, 1, 1}, 1}, // what does not fit ends it: order stays
		{Room{records: 9, bytes: 10}, []int{50, 1}, 1},      // one always is
	} {
		room, took := tt.room, 0
		for _, size := range tt.sizes {
			if room.Take(size) {
				took++
			}
		}
		if took != tt.takes {
			t.Errorf("%+v takes %d of %v, want %d", tt.room, took, tt.sizes, tt.takes)
		}
	}
}

// The bound is on the body as it is written, with all that stands around the records.
func TestUploadIsMeasuredAsItIsWritten(t *testing.T) {
	const envelope = `url: ${URL}
post: /x
json: {contacts: "${{ .records | map({email_address: .e}) }}"}
batch: {max_bytes: %d}`
	whole := len(`{"contacts":[{"email_address":"a"},{"email_address":"b"},{"email_address":"c"}]}`)
	two := len(`{"contacts":[{"email_address":"a"},{"email_address":"b"}]}`)
	run := func(t *testing.T, most int, records string) (tracking.Event, []call) {
		b := newBackend(t, says(200, `{}`))
		p := mustCompile(t, b.URL, fmt.Sprintf(envelope, most))
		return newEngine(t).Run(t.Context(), p, holding(t, p, input(), records)), b.seen()
	}
	const three = `[{"e":"a"},{"e":"b"},{"e":"c"}]`
	if event, sent := run(t, whole, three); len(sent) != 1 || len(sent[0].Body) != whole {
		t.Fatalf("%#v: sent %v", event, sent)
	}
	event, sent := run(t, whole-1, three)
	if split := eventOf[tracking.Split](t, event); len(sent) != 0 || split.Most != 2 || !split.Unsent || split.Anew {
		t.Fatalf("%+v: sent %v", split, sent)
	}
	if event, sent := run(t, two, three); len(sent) != 0 || eventOf[tracking.Split](t, event).Most != 2 {
		t.Fatalf("%#v: sent %v", event, sent)
	}
	end := eventOf[tracking.Stripped](t, first(run(t, 20, `[{"e":"a"}]`))).Records[0]
	if end.State != tracking.Rejected || end.Reason != fault.TooLarge || !strings.Contains(end.Message, "36 bytes") {
		t.Errorf("a record that does not fit by itself: %+v", end)
	}
}

func first(e tracking.Event, _ []call) tracking.Event { return e }

func TestOversizedRecords(t *testing.T) {
	for _, tt := range []struct {
		batch string
		size  int
		want  string
	}{
		{`{max_bytes: 100}`, 97, ""},
		{`{max_bytes: 100}`, 98, "more than an upload of crm takes (100 bytes)"},
		{`{max_bytes: 100, max_record_bytes: 50}`, 50, ""},
		{`{max_bytes: 100, max_record_bytes: 50}`, 51, "batch.max_record_bytes: 50"},
		{`{max_bytes: 100, chunk: {into: job, max_bytes: 40}}`, 38, "more than an upload of crm takes (40 bytes)"},
	} {
		p := mustCompile(t, "http://b.example", "url: ${URL}\npost: /x\nbatch: "+tt.batch)
		event, over := p.Oversized(make([]byte, tt.size))
		if over != (tt.want != "") {
			t.Errorf("%s, %d bytes: %v", tt.batch, tt.size, event)
		}
		if over {
			if end := event.(tracking.Concluded); end.State != tracking.Rejected || end.Reason != fault.TooLarge || !strings.Contains(end.Message, tt.want) {
				t.Errorf("%s, %d bytes: %+v, want %q", tt.batch, tt.size, end, tt.want)
			}
		}
	}
}

const chunkedYAML = `
url: ${URL}
batch: {max_records: 10, chunk: {into: step, max_records: 3, max_bytes: 26}}
steps:
- {name: define, post: /imports, save: {job: "${{ .response.body.id }}"}}
- {name: upload, foreach: chunk, post: "/imports/${{ .saved.job }}/data"}
- {name: sync, post: /syncs, json: {job: "${{ .saved.job }}"}}
`

// A step that is repeated sends one chunk after the other under a key for each, and goes on
// when all are uploaded.
func TestStepIsRepeatedForEachChunk(t *testing.T) {
	b := newBackend(t, func(http.ResponseWriter, *http.Request) {})
	p := mustCompile(t, b.URL, chunkedYAML)
	in := holding(t, p, input(), `[{"n":0},{"n":1},{"n":2},{"n":3},{"n":4},{"n":"large"},{"n":6}]`)
	in.Tracking = "bat_1"
	in.Delivery.Step, in.Delivery.Saved = "upload", map[string]json.RawMessage{"job": json.RawMessage(`"j1"`)}
	all := in.Upload
	var events []string
	for range 10 {
		e := eventOf[tracking.Advanced](t, newEngine(t).Run(t.Context(), p, in))
		events = append(events, fmt.Sprint(e.Next, e.Sent))
		if e.Next != "upload" {
			break
		}
		in.Upload = &Upload{Records: all.Records[e.Sent:], Keys: all.Keys[e.Sent:], First: e.Sent, Of: all.Of}
	}
	if want := []string{"upload3", "upload5", "sync0"}; !slices.Equal(events, want) {
		t.Errorf("events %v, want %v", events, want)
	}
	var sent []string
	for _, r := range b.seen() {
		sent = append(sent, r.Header.Get("Idempotency-Key")+" "+r.Body)
	}
	want := []string{
		`bat_1:crm:upload:3:0:7 [{"n":0},{"n":1},{"n":2}]`,
		`bat_1:crm:upload:2:3:7 [{"n":3},{"n":4}]`,
		`bat_1:crm:upload:2:5:7 [{"n":"large"},{"n":6}]`,
	}
	if !slices.Equal(sent, want) {
		t.Errorf("sent\n%s\nwant\n%s", strings.Join(sent, "\n"), strings.Join(want, "\n"))
	}
}

// What is left of a window when all records of its last chunk were refused is nothing to send.
func TestNothingIsLeftOfTheLastChunk(t *testing.T) {
	b := newBackend(t, func(http.ResponseWriter, *http.Request) {})
	in := input()
	in.Delivery.Step, in.Delivery.Sent, in.Delivery.Saved = "upload", 3, map[string]json.RawMessage{"job": json.RawMessage(`"j1"`)}
	in.Upload = &Upload{First: 3, Of: 3}
	e := eventOf[tracking.Advanced](t, newEngine(t).Run(t.Context(), mustCompile(t, b.URL, chunkedYAML), in))
	if e.Next != "sync" || e.Sent != 0 || len(b.seen()) != 0 {
		t.Errorf("%+v: sent %v", e, b.seen())
	}
}

// A record that the format cannot hold is found in halves, without anything being sent.
func TestRecordThatCannotBeWritten(t *testing.T) {
	b := newBackend(t, says(200, `{}`))
	p := mustCompile(t, b.URL, `{url: "${URL}", post: /x, batch: {}, xml: {root: all, value: "${{ .records }}"}}`)
	run := func(records string) tracking.Event {
		return newEngine(t).Run(t.Context(), p, holding(t, p, input(), records))
	}
	if e := eventOf[tracking.Split](t, run(`[{"a":1},{"b c":1},{"d":1},{"e":1}]`)); !e.Unsent || e.Most != 2 {
		t.Errorf("%+v", e)
	}
	if e := eventOf[tracking.Stripped](t, run(`[{"b c":1}]`)); e.Records[0].State != tracking.Rejected || e.Records[0].Reason != fault.Rejected {
		t.Errorf("%+v", e)
	}
	if len(b.seen()) != 0 {
		t.Errorf("sent %v", b.seen())
	}
}

// A window is part of the key: after a crash, as many others may stand in it.
func TestKeyOfAWindow(t *testing.T) {
	p := mustCompile(t, "http://b.example", `{url: "${URL}", post: /x, batch: {chunk: {into: job, max_records: 2}}}`)
	keys := map[string]bool{}
	for _, last := range []int{0, 2, 3} {
		in := holding(t, p, input(), `[1,2]`)
		in.Delivery.Window = last
		keys[p.idempotencyKey(p.steps[0], &in)] = true
	}
	if len(keys) != 3 {
		t.Errorf("the keys are %v", keys)
	}
}

// What is written around the records of a chunk counts too.
func TestChunkIsMeasuredAsItIsWritten(t *testing.T) {
	b := newBackend(t, func(http.ResponseWriter, *http.Request) {})
	p := mustCompile(t, b.URL, strings.Replace(chunkedYAML, `/data"}`, `/data", json: {data: "${{ .records }}"}}`, 1))
	in := holding(t, p, input(), `[{"n":0},{"n":1},{"n":2}]`)
	in.Delivery.Step, in.Delivery.Saved = "upload", map[string]json.RawMessage{"job": json.RawMessage(`"j1"`)}
	if e := eventOf[tracking.Advanced](t, newEngine(t).Run(t.Context(), p, in)); e.Sent != 2 || b.seen()[0].Body != `{"data":[{"n":0},{"n":1}]}` {
		t.Errorf("%+v: %s", e, b.seen()[0].Body)
	}
}

// A batch that is refused as a whole is sent again in halves, until what it is refused for
// stands alone.
func TestUploadIsSplit(t *testing.T) {
	b := newBackend(t, says(400, `{"message":"bad upload"}`))
	p := mustCompile(t, b.URL, `{url: "${URL}", post: /x, batch: {}, on_error: [{when: "${{ .response.status == 400 }}", then: split}]}`)
	for records, most := range map[string]int{`[1,2,3,4,5]`: 2, `[1,2]`: 1} {
		e := eventOf[tracking.Split](t, newEngine(t).Run(t.Context(), p, holding(t, p, input(), records)))
		if e.Most != most || e.HTTPStatus != 400 || !strings.Contains(e.Message, "bad upload") {
			t.Errorf("%s: %+v", records, e)
		}
	}
	e := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), p, holding(t, p, input(), `[1]`)))
	if !e.Final || e.Fault.Reason != fault.Rejected {
		t.Errorf("a single record: %+v %+v", e, e.Fault)
	}
}

func TestFailedJobIsSplit(t *testing.T) {
	b := newBackend(t, says(200, `{"state":"failed","why":"one of them"}`))
	p := mustCompile(t, b.URL, `{url: "${URL}", batch: {}, steps: [{name: up, post: /x}, {name: poll, get: /x,
		until: {state: "${{ .response.body.state }}", running: [busy], succeeded: [done], failed: [failed], split: true, message: "${{ .response.body.why }}"}}]}`)
	in := batchOf(`{}`, `{}`, `{}`)
	in.Delivery.Step = "poll"
	e := eventOf[tracking.Split](t, newEngine(t).Run(t.Context(), p, in))
	if e.Most != 1 || !e.Anew || !strings.Contains(e.Message, "one of them") || e.JobState != "failed" {
		t.Errorf("%+v", e)
	}
	in = batchOf(`{}`)
	in.Delivery.Step = "poll"
	if e := eventOf[tracking.Concluded](t, newEngine(t).Run(t.Context(), p, in)); e.State != tracking.Failed || e.Reason != fault.JobFailed {
		t.Errorf("a single record: %+v", e)
	}
}

func TestChunksAreChecked(t *testing.T) {
	upload := `{name: up, foreach: chunk, post: /x}`
	for text, want := range map[string]string{
		`{url: "${URL}", batch: {chunk: {into: jobs}}, post: /x}`:                                                                                                         `did you mean "job"`,
		`{url: "${URL}", batch: {chunk: {max_records: 3}}, post: /x}`:                                                                                                     "into",
		`{url: "${URL}", batch: {max_records: 5, chunk: {into: job, max_records: 6}}, post: /x}`:                                                                          "from 1 to 5",
		`{url: "${URL}", batch: {max_bytes: 50, chunk: {into: job, max_bytes: 60}}, post: /x}`:                                                                            "at most batch.max_bytes",
		`{url: "${URL}", batch: {chunk: {into: step}}, post: /x}`:                                                                                                         "no step is repeated",
		`{url: "${URL}", batch: {chunk: {into: job}}, steps: [` + upload + `, {name: b, post: /y}]}`:                                                                      "no chunks to repeat",
		`{url: "${URL}", batch: {chunk: {into: step}}, steps: [{name: a, post: /y, json: {}}, ` + upload + `]}`:                                                           "last step",
		`{url: "${URL}", batch: {chunk: {into: step}}, steps: [{name: up, foreach: chunks, post: /x}, {name: b, post: /y}]}`:                                              "foreach: chunk",
		`{url: "${URL}", batch: {chunk: {into: step}}, steps: [` + upload + `, {name: b, foreach: chunk, post: /y, json: "${{ .records }}"}, {name: c, post: /z}]}`:       "a second step",
		`{url: "${URL}", batch: {chunk: {into: step}}, steps: [` + upload + `, {name: b, post: /y, json: {n: "${{ .records | length }}"}}]}`:                              "go in chunks",
		`{url: "${URL}", batch: {chunk: {into: step}}, steps: [{name: up, foreach: chunk, get: /x}, {name: b, post: /y}]}`:                                                "sends no records",
		`{url: "${URL}", batch: {max_record_bytes: 6MB}, post: /x}`:                                                                                                       "at most max_bytes",
		`{url: "${URL}", batch: {max_in_flight: 0}, post: /x}`:                                                                                                            "at least 1",
		`{url: "${URL}", batch: {chunk: {into: step}}, steps: [{name: up, foreach: chunk, post: /x, when: "${{ .records | length > 1 }}"}, {name: b, post: /y}]}`:         "unknown name .records",
		`{url: "${URL}", batch: {chunk: {into: step}}, steps: [{name: up, foreach: chunk, post: /x, reconcile: {get: /x, found: "${{ true }}"}}, {name: b, post: /y}]}`:   "a step that is repeated",
		`{url: "${URL}", batch: {}, steps: [{name: up, post: /x}, {name: b, post: /y, json: {}, on_error: [{when: "${{ true }}", then: strip, records: "${{ [0] }}"}]}]}`: "no records that could be taken out",
		`{url: "${URL}", batch: {}, post: /x, finally: [{name: f, delete: /x, when: "${{ .keys | length > 0 }}"}]}`:                                                       "unknown name .keys",
		`{url: "${URL}", batch: {chunk: {into: job}}, post: /x, reconcile: {get: "/x?n=${{ .tracking }}", found: "${{ true }}"}}`:                                         "by .round",
		`{url: "${URL}", post: /x, on_error: [{when: "${{ true }}", then: split}]}`:                                                                                       "in halves",
	} {
		if _, report := compileText(t, "http://b.example", text); report.Err() == nil || !strings.Contains(report.Err().Error(), want) {
			t.Errorf("%s\ngives %v, want %q", text, report.Err(), want)
		}
	}
}

func TestBatchIsTold(t *testing.T) {
	for batch, want := range map[string]string{
		`{}`: "up to 100 records or 5MB, at the latest 1s after the first",
		`{max_records: 9, max_in_flight: 2, chunk: {into: job, max_records: 3}}`: "up to 9 records or 5MB, at the latest 1s after the first; a job for each 3 records or 5MB; at most 2 batches under way",
	} {
		if got := mustCompile(t, "http://b.example", "url: ${URL}\npost: /x\nbatch: "+batch).Batch.String(); got != want {
			t.Errorf("%s: %s", batch, got)
		}
	}
}
