package target

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

const batchOfThree = `[{"email":"a@x.example","n":12345678901234567890},{"email":"é,\"x\"\n","tag":null},{"email":"é,\"x\"\n","tag":null}]`

func TestBodies(t *testing.T) {
	for name, tt := range map[string]struct{ yaml, payload, contentType, want string }{
		"ndjson": {"batch: {}\nndjson: ${{ .records }}", batchOfThree, "application/x-ndjson",
			`{"email":"a@x.example","n":12345678901234567890}` + "\n" + strings.Repeat(`{"email":"é,\"x\"\n","tag":null}`+"\n", 2)},
		"ndjson, a list of the file's": {"ndjson: [{index: {}}, '${{ .payload }}', '${{ empty }}']", `{"a":1.10}`, "application/x-ndjson", "{\"index\":{}}\n{\"a\":1.10}\n"},
		"ndjson, empty list":           {"ndjson: ${{ [] }}", `{}`, "application/x-ndjson", ""},
		"ndjson, other type":           {"ndjson: ${{ [1] }}\ncontent_type: application/jsonl", `{}`, "application/jsonl", "1\n"},
		"csv": {"batch: {}\ncsv: ${{ .records }}", batchOfThree, "text/csv; charset=utf-8",
			"email,n,tag\na@x.example,12345678901234567890,\n" + strings.Repeat("\"é,\"\"x\"\"\n\",,\n", 2)},
		"csv, all options": {"batch: {}\ncsv: {rows: '${{ .records }}', columns: [tag, email, 7], missing: '-', null: '#N/A', line_ending: crlf, delimiter: \"\\t\", formula_guard: true}",
			`[{"email":"=1","7":-1},{"tag":null}]`, "text/csv; charset=utf-8", "tag\temail\t7\r\n-\t'=1\t-1\r\n#N/A\t-\t-\r\n"},
		"csv, union":    {"csv: {rows: ['${{ .payload }}', {z: 1}], columns: union}", `{"a":null}`, "text/csv; charset=utf-8", "a,z\n,\n,1\n"},
		"csv, no rows":  {"csv: {rows: '${{ [] }}', columns: [a]}", `{}`, "text/csv; charset=utf-8", "a\n"},
		"csv, no value": {"csv: {rows: '${{ empty }}'}", `{}`, "", ""},
		"xml": {"batch: {}\nxml: {root: contacts, item: contact, value: '${{ .records }}'}", `[{"n":1.10},{"n":1.10}]`, "application/xml",
			"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<contacts><contact><n>1.10</n></contact><contact><n>1.10</n></contact></contacts>"},
		"xml, a mapping": {"xml: {root: order, value: {id: '${{ .payload.n }}', line: [a, '<b>']}}", `{"n":12345678901234567890}`, "application/xml",
			"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<order><id>12345678901234567890</id><line>a</line><line>&lt;b&gt;</line></order>"},
		"json inside of a string": {"json: {operations: [{method: PUT, body: '${{ .payload | tojson }}'}]}", `{"n":12345678901234567890,"q":"\"é"}`, "application/json",
			`{"operations":[{"body":"{\"n\":12345678901234567890,\"q\":\"\\\"é\"}","method":"PUT"}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, says(200, `{}`))
			p := mustCompile(t, b.URL, "url: ${URL}\npost: /x\n"+tt.yaml)
			in := holding(t, p, input(), tt.payload)
			newEngine(t).Run(t.Context(), p, in)
			if len(b.seen()) != 1 {
				t.Fatal("no call")
			}
			got := b.seen()[0]
			if got.Body != tt.want || got.Header.Get("Content-Type") != tt.contentType {
				t.Errorf("got  %q as %q\nwant %q as %q", got.Body, got.Header.Get("Content-Type"), tt.want, tt.contentType)
			}
		})
	}
}

func TestMultipartBody(t *testing.T) {
	b := newBackend(t, says(503, `{}`))
	p := mustCompile(t, b.URL, `
url: ${URL}
post: /imports
batch: {}
multipart:
- {name: importRequest, json: {name: "${{ .tracking }}"}}
- {name: files, filename: "${{ .tracking }}.csv", csv: {rows: "${{ .records }}", line_ending: crlf}}
- {name: rows, ndjson: "${{ .records }}", content_type: text/plain}
- {name: all, filename: "${{ empty }}", json: "${{ .records }}"}
- {name: format, raw: csv}
- {name: left out, raw: "${{ empty }}"}
- {name: note, filename: note.txt, raw: ""}
`)
	in := holding(t, p, input(), `[{"a":1, "n":12345678901234567890}]`)
	e := newEngine(t)
	first := eventOf[tracking.AttemptFailed](t, e.Run(t.Context(), p, in))
	in.Delivery.StepAttempts, in.Now = 1, in.Now.Add(first.After)
	e.Run(t.Context(), p, in)
	calls := b.seen()
	if len(calls) != 2 || calls[0].Body != calls[1].Body || calls[0].Header.Get("Content-Type") != calls[1].Header.Get("Content-Type") {
		t.Fatalf("another attempt sends other bytes: %+v", calls)
	}
	_, params, err := mime.ParseMediaType(calls[0].Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	r := multipart.NewReader(strings.NewReader(calls[0].Body), params["boundary"])
	for _, want := range [][4]string{
		{"importRequest", "", "application/json", `{"name":"trk_1"}`},
		{"files", "trk_1.csv", "text/csv; charset=utf-8", "a,n\r\n1,12345678901234567890\r\n"},
		{"rows", "", "text/plain", `{"a":1,"n":12345678901234567890}` + "\n"},
		{"all", "", "application/json", `[{"a":1, "n":12345678901234567890}]`},
		{"format", "", "", "csv"},
		{"note", "note.txt", "text/plain; charset=utf-8", ""},
	} {
		part, err := r.NextPart()
		if err != nil {
			t.Fatalf("%s: %v", want[0], err)
		}
		content, err := io.ReadAll(part)
		got := [4]string{part.FormName(), part.FileName(), part.Header.Get("Content-Type"), string(content)}
		if err != nil || got != want {
			t.Errorf("got  %q, %v\nwant %q", got, err, want)
		}
	}
	if part, err := r.NextPart(); err == nil {
		t.Errorf("another part: %v", part.Header)
	}
	if !p.SendsRecords("") {
		t.Error("the records would not be loaded")
	}
	alone := mustCompile(t, b.URL, "url: ${URL}\npost: /x\nbatch: {}\nmultipart: [{name: a, json: '${{ .records }}'}]")
	if !alone.SendsRecords("") {
		t.Error("the records would not be loaded for a part that passes them on")
	}
}

func TestGzipBody(t *testing.T) {
	for name, tt := range map[string]struct{ yaml, want string }{
		"payload":   {"gzip: true", `{"n": 1.10}`},
		"ndjson":    {"ndjson: ['${{ .payload }}']\ngzip: true", "{\"n\":1.10}\n"},
		"not asked": {"gzip: false", `{"n": 1.10}`},
		"no value":  {"raw: ${{ empty }}\ngzip: true", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, says(200, `{}`))
			p := mustCompile(t, b.URL, "url: ${URL}\npost: /x\n"+tt.yaml)
			in := input()
			in.Payload = json.RawMessage(`{"n": 1.10}`)
			newEngine(t).Run(t.Context(), p, in)
			newEngine(t).Run(t.Context(), p, in)
			got := b.seen()
			if len(got) != 2 || got[0].Body != got[1].Body {
				t.Fatalf("another attempt sends other bytes: %+v", got)
			}
			body, compressed := got[0].Body, got[0].Header.Get("Content-Encoding") == "gzip"
			if want := name == "payload" || name == "ndjson"; compressed != want {
				t.Errorf("compressed: %v", compressed)
			}
			if compressed {
				body = gunzip(t, body)
			}
			if body != tt.want {
				t.Errorf("got %q, want %q", body, tt.want)
			}
			views, err := p.Preview(in)
			if err != nil || views[0].Body != tt.want || (views[0].Note != "") != compressed || (views[0].Header["Content-Encoding"] == "gzip") != compressed {
				t.Errorf("shown as %+v, %v", views, err)
			}
		})
	}
}

// An upload that takes its headers from an answer, as a file that is compressed.
func TestBodiesWithHeadersOfAnAnswer(t *testing.T) {
	b := newBackend(t, says(200, `{"headers":{"content-type":"text/csv","Content-Encoding":"gzip","X-Amz-A":"b"}}`))
	p := mustCompile(t, b.URL, `
url: ${URL}
steps:
- {name: a, post: /a, save: {h: "${{ .response.body.headers }}"}}
- {name: b, put: /b, headers_from: "${{ .saved.h }}", gzip: true, csv: ["${{ .payload }}"]}
- {name: c, put: /c, headers_from: "${{ .saved.h | del(.[\"Content-Encoding\"]) }}", multipart: [{name: x, raw: y}]}
`)
	if end, _ := drive(t, newEngine(t), p, input()); end.State != tracking.Succeeded {
		t.Fatalf("%+v", end)
	}
	got := b.seen()
	if body := gunzip(t, got[1].Body); body != "email,n\na@b.example,12345678901234567890\n" ||
		got[1].Header.Get("Content-Type") != "text/csv" || len(got[1].Header.Values("Content-Encoding")) != 1 {
		t.Errorf("%q with %v", body, got[1].Header)
	}
	if kind := got[2].Header.Get("Content-Type"); !strings.HasPrefix(kind, "multipart/form-data; boundary=") || got[2].Header.Get("X-Amz-A") != "b" {
		t.Errorf("multipart with %v", got[2].Header)
	}
}

func gunzip(t *testing.T, body string) string {
	t.Helper()
	r, err := gzip.NewReader(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := out.ReadFrom(r); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// Data that a format cannot hold is the record's affair, an expression that gives
// something else is the file's. Neither is tried again, and nothing is sent.
func TestBodiesThatCannotBeWritten(t *testing.T) {
	for name, tt := range map[string]struct {
		yaml    string
		reason  fault.Reason
		message string
	}{
		"ndjson of an object":   {"ndjson: ${{ .payload }}", fault.Internal, "expected a list, got an object"},
		"csv of an object":      {"csv: ${{ .payload }}", fault.Internal, "expected a list, got an object"},
		"csv of strings":        {"csv: ${{ [.payload.secret] }}", fault.Rejected, "record 1 is a string"},
		"xml name":              {"xml: {root: r, value: '${{ .payload }}'}", fault.Rejected, `not sent: the body cannot be written as xml: encode xml: "a b" is no name`},
		"multipart with csv":    {"multipart: [{name: a, csv: '${{ [1] }}'}]", fault.Rejected, "record 1 is a number"},
		"multipart file name":   {"multipart: [{name: a, filename: '${{ .payload.lines }}', raw: x}]", fault.Rejected, "line break"},
		"multipart name fails":  {"multipart: [{name: '${{ .payload.none }}', raw: x}]", fault.Internal, "got null"},
		"expression that fails": {"ndjson: ${{ .payload.secret[] }}", fault.Internal, "ndjson"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, says(200, `{}`))
			p := mustCompile(t, b.URL, "url: ${URL}\npost: /x\n"+tt.yaml)
			in := input()
			in.Payload = json.RawMessage(`{"a b":1,"lines":"x\r\nX-Evil: 1","secret":"hunter2"}`)
			failed := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), p, in))
			if failed.Fault.Reason != tt.reason || !failed.Final || !strings.Contains(failed.Fault.Message, tt.message) {
				t.Errorf("got %+v, want %s: %s", failed.Fault, tt.reason, tt.message)
			}
			if tt.reason == fault.Rejected && strings.Contains(failed.Fault.Message, "hunter2") {
				t.Errorf("the data is told: %s", failed.Fault.Message)
			}
			if len(b.seen()) != 0 {
				t.Error("something was sent")
			}
		})
	}
}

// What a backend reads must be what a plan that was kept sends, too.
func TestBodiesOfAKeptPlan(t *testing.T) {
	for _, text := range []string{
		"csv: {rows: ['${{ .payload }}'], missing: '', null: '', line_ending: crlf, columns: [n, '1', true]}",
		"multipart: [{name: a, filename: x, csv: {rows: ['${{ .payload }}']}}, {name: b, raw: '1'}]\ngzip: true",
		"xml: {root: a, value: '${{ .payload }}'}",
	} {
		p := mustCompile(t, "", "url: http://h\npost: /x\n"+text)
		again, err := FromSource("crm", p.Source)
		if err != nil {
			t.Fatal(err)
		}
		a, errA := p.Preview(input())
		b, errB := again.Preview(input())
		if errA != nil || errB != nil || a[0].Body != b[0].Body || a[0].Body == "" || a[0].Method != http.MethodPost {
			t.Errorf("%+v, %v\n%+v, %v", a, errA, b, errB)
		}
	}
}
