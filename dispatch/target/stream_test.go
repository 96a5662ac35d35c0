package target

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"headgate/config/secret"
	"headgate/config/unit"
	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// paged gives an upload whose records are read, in pages of changing sizes.
func paged(u *Upload) *Upload {
	records, reads := u.Records, 0
	return &Upload{Keys: u.Keys, First: u.First, Of: u.Of, Page: func(_ context.Context, from int) ([][]byte, error) {
		reads++
		return records[from:min(len(records), from+1+reads%7)], nil
	}}
}

// wire is a transport that keeps what was sent and answers with 200.
type wire struct{ sent []call }

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		if int64(len(body)) != r.ContentLength {
			return nil, fmt.Errorf("%d bytes of %d", len(body), r.ContentLength)
		}
		_ = r.Body.Close()
	}
	w.sent = append(w.sent, call{Method: r.Method, URI: r.URL.String(), Header: r.Header.Clone(), Body: string(body)})
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

func over(t *testing.T, w http.RoundTripper) *Engine {
	t.Helper()
	return NewScripted(w, func(secret.Ref) (secret.Value, error) { return secret.New("whsec_c2VjcmV0"), nil })
}

// bodies are those that can be written record by record, after "url" and "batch".
var streamedBodies = map[string]string{
	"payload":            `post: /x`,
	"gzip":               "post: /x\ngzip: true",
	"json":               `{post: /x, json: {z: 1, contacts: "${{ .records }}", a: {b: ["${{ .tracking }}"]}}}`,
	"json in a list":     `{post: /x, json: [1, ["${{ .records }}"], "${{ .tracking }}"]}`,
	"json, mapped":       `{post: /x, json: {contacts: "${{ .records | map({mail: .e, n, all: .}) }}"}}`,
	"json, only mapped":  `{post: /x, json: "${{ [.records[] | {mail: .e} | .mail] }}"}`,
	"json, selected":     `{post: /x, json: {contacts: "${{ .records | map(select(.n > 3)) | map(.e, .n) }}"}}`,
	"json, none left":    `{post: /x, json: {contacts: "${{ .records | map(empty) }}"}}`,
	"ndjson":             `{post: /x, ndjson: "${{ .records }}"}`,
	"ndjson, mapped":     `{post: /x, gzip: true, ndjson: "${{ .records | map({index: {id: .e}}, .) }}"}`,
	"ndjson, none left":  `{post: /x, ndjson: "${{ .records | map(empty) }}"}`,
	"csv, union":         `{post: /x, csv: "${{ .records }}"}`,
	"csv, none left":     `{post: /x, csv: "${{ .records | map(empty) }}"}`,
	"csv, columns":       `{post: /x, csv: {rows: "${{ .records }}", columns: [e, "n", none], missing: "-", "null": "#", line_ending: crlf}}`,
	"csv, mapped":        `{post: /x, csv: {rows: "${{ [.records[] | {(.e): 1, e}] }}", formula_guard: true, delimiter: ";"}}`,
	"multipart":          `{post: /x, multipart: [{name: a, raw: "${{ .tracking }}"}, {name: file, filename: "f.csv", csv: "${{ .records }}"}, {name: none, json: "${{ empty }}"}, {name: z, json: {n: 1}}]}`,
	"multipart, payload": `{post: /x, gzip: true, multipart: [{name: file, filename: f.json, json: "${{ .records }}"}]}`,
	"hmac":               `{post: /x, ndjson: "${{ .records }}", auth: {hmac: {header: X-Sign, secret: {env: CRM_KEY}}}}`,
	"webhook":            `{post: /x, gzip: true, auth: {webhook: {secret: {env: CRM_KEY}}}}`,
	"aws_sigv4":          `{put: /x, ndjson: "${{ .records }}", auth: {aws_sigv4: {region: eu-central-1, service: s3, access_key: {env: CRM_ID}, secret_key: {env: CRM_KEY}}}}`,
}

// randomRecords gives objects with what JSON may hold.
func randomRecords(rnd *rand.Rand, n int) string {
	values := []func() string{
		func() string { return fmt.Sprint(rnd.IntN(10)) },
		func() string { return "12345678901234567890.10" },
		func() string { return `"<é\u2028> =1+1, \"quoted\"; \n\\ \ud83d\ude00"` },
		func() string { return `""` },
		func() string { return `null` },
		func() string { return `{"b": [1, {"a" : true}], "a": "x"}` },
		func() string { return `"` + strings.Repeat("long ", rnd.IntN(200)) + `"` },
	}
	var records []string
	for range n {
		fields := []string{fmt.Sprintf(`"e":"e%d"`, rnd.IntN(50))}
		for _, name := range []string{"n", "b", "=c", "ünï", "z z"} {
			if rnd.IntN(3) > 0 {
				fields = append(fields, fmt.Sprintf("%q : %s", name, values[rnd.IntN(len(values))]()))
			}
		}
		rnd.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
		records = append(records, "{"+strings.Join(fields, ",")+"}")
	}
	return "[" + strings.Join(records, ",") + "]"
}

// What is written record by record is what is written as a whole: bytes, headers and
// signatures.
func TestStreamedBodyIsTheBody(t *testing.T) {
	for name, yaml := range streamedBodies {
		t.Run(name, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(1, uint64(len(name))))
			yaml = strings.TrimSuffix(strings.TrimPrefix(yaml, "{"), "}")
			if strings.Contains(yaml, "\n") {
				yaml = strings.ReplaceAll(yaml, "\n", ", ")
			}
			p := mustCompile(t, "https://crm.example", `{url: "${URL}", batch: {max_bytes: 100MB}, `+yaml+`}`)
			if !p.Streams("") {
				t.Fatal("it is not written record by record")
			}
			for _, n := range []int{1, 2, 30, 200} {
				w := &wire{}
				in := holding(t, p, input(), randomRecords(rnd, n))
				whole := over(t, w).Run(t.Context(), p, in)
				in.Upload = paged(in.Upload)
				parts := over(t, w).Run(t.Context(), p, in)
				if fmt.Sprint(whole) != fmt.Sprint(parts) {
					t.Errorf("%d records: came to %+v, as a whole to %+v", n, parts, whole)
				}
				if len(w.sent) == 0 { // refused, for the data
					continue
				}
				if len(w.sent) != 2 || w.sent[0].Body != w.sent[1].Body {
					t.Fatalf("%d records: sent\n%.2000q\nas a whole\n%.2000q", n, w.sent[1].Body, w.sent[0].Body)
				}
				if got, want := fmt.Sprint(w.sent[1].Header), fmt.Sprint(w.sent[0].Header); got != want {
					t.Errorf("%d records: sent with %s, as a whole with %s", n, got, want)
				}
			}
		})
	}
}

// sized gives n records, the JSON array of which has n times size bytes and one more.
func sized(n, size int) string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf(`{"e":%q}`, strings.Repeat(string(rune('a'+i%26)), size-len(`{"e":""},`))))
	}
	return "[" + strings.Join(out, ",") + "]"
}

// atMost gives a plan whose uploads are small all the same.
func atMost(p *Plan, most int) *Plan {
	for _, s := range p.steps {
		if s.body != nil && s.body.streaming != nil {
			s.body.streaming.most = int64(most)
		}
	}
	if p.Batch.MaxBytes = unit.Size(most); p.Batch.Chunk != nil {
		p.Batch.Chunk.MaxBytes = unit.Size(most)
	}
	return p
}

func TestStreamedBodyHasAtMostMaxBytes(t *testing.T) {
	const n, size = 60, 1000
	for name, yaml := range map[string]string{
		"payload":   `post: /x`,
		"json":      `post: /x, json: {contacts: "${{ .records }}", list: 7}`,
		"gzip":      `post: /x, ndjson: "${{ .records }}", gzip: true`,
		"csv":       `post: /x, csv: "${{ .records }}"`,
		"multipart": `post: /x, multipart: [{name: a, raw: b}, {name: file, ndjson: "${{ .records }}"}, {name: c, raw: d}]`,
		"signed":    `post: /x, auth: {hmac: {header: X-Sign, secret: {env: CRM_KEY}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			measured := func(most int) (*Plan, *wire, tracking.Event) {
				p := atMost(mustCompile(t, "https://crm.example", `{url: "${URL}", batch: {max_bytes: 100MB}, `+yaml+`}`), most)
				in := holding(t, p, input(), sized(n, size))
				in.Upload = paged(in.Upload)
				w := &wire{}
				return p, w, over(t, w).Run(t.Context(), p, in)
			}
			p, _, _ := measured(64 << 20)
			written := func(n int) int { // not compressed
				in := holding(t, p, input(), sized(n, size))
				scope, err := p.steps[0].scope(&in)
				if err != nil {
					t.Fatal(err)
				}
				req, f := p.request(t.Context(), p.home, p.steps[0], &in, scope, nil)
				if f != nil {
					t.Fatal(f)
				}
				return len(req.body)
			}
			all, fewer := written(n), written(n-1)
			if _, w, event := measured(all); len(w.sent) != 1 {
				t.Errorf("with as much room as it needs: %+v", event)
			}
			_, w, event := measured(all - 1)
			if split := eventOf[tracking.Split](t, event); split.Most != n-1 || !split.Unsent || len(w.sent) != 0 {
				t.Errorf("with a byte less: %+v", split)
			}
			_, _, event = measured(fewer)
			if split := eventOf[tracking.Split](t, event); split.Most != n-1 {
				t.Errorf("with a record less: %+v", split)
			}
			_, _, event = measured(fewer - 1)
			if split := eventOf[tracking.Split](t, event); split.Most != n-2 || !strings.Contains(split.Message, fmt.Sprintf("with %d records", n-1)) {
				t.Errorf("with a record and a byte less: %+v", split)
			}
		})
	}
	t.Run("one record", func(t *testing.T) {
		p := atMost(mustCompile(t, "https://crm.example", `{url: "${URL}", batch: {max_bytes: 6MB}, post: /x, json: {a: "${{ .records | map([., .]) }}"}}`), 1500)
		in := holding(t, p, input(), sized(1, 1000))
		in.Upload = paged(in.Upload)
		end := eventOf[tracking.Stripped](t, over(t, &wire{}).Run(t.Context(), p, in)).Records[0]
		if end.State != tracking.Rejected || end.Reason != fault.TooLarge {
			t.Errorf("%+v", end)
		}
	})
}

// A step that is repeated sends as many as fit, and says how many those were.
func TestStreamedChunk(t *testing.T) {
	p := atMost(mustCompile(t, "https://crm.example", `
url: ${URL}
batch: {max_bytes: 1GB, max_records: 1000, chunk: {into: step, max_bytes: 6MB}}
steps:
- {name: up, foreach: chunk, post: /x, csv: "${{ .records | map({e, f: .e}) }}"}
- {name: done, post: /y, json: {}}
`), 63_000)
	w := &wire{}
	in := holding(t, p, input(), sized(50, 1000))
	in.Upload = paged(in.Upload)
	e := eventOf[tracking.Advanced](t, over(t, w).Run(t.Context(), p, in))
	if e.Next != "up" || e.Sent != 31 || len(w.sent) != 1 || len(w.sent[0].Body) > 63_000 {
		t.Fatalf("%+v", e)
	}
	if key := w.sent[0].Header.Get("Idempotency-Key"); key != "trk_1:crm:up:31:0:50" {
		t.Errorf("under the key %s", key)
	}
}

// Which bodies are held as a whole, and why.
func TestBodiesThatAreHeld(t *testing.T) {
	for yaml, why := range map[string]string{
		`post: /x, json: {n: "${{ .records | length }}", all: "${{ .records }}"}`:                            "otherwise than",
		`post: /x, json: {all: "${{ .records | sort }}"}`:                                                    "otherwise than",
		`post: /x, json: {all: "batch ${{ .records[0].e }}"}`:                                                "otherwise than",
		`post: /x, json: {all: "${{ .records | map(.e) }}", keys: "${{ .keys }}"}`:                           ".keys",
		`post: "/x/${{ .records | length }}"`:                                                                "another expression",
		`post: /x, save: {n: "${{ .records | length }}"}`:                                                    "another expression",
		`post: /x, raw: "${{ .records | tojson }}"`:                                                          "raw is written",
		`post: /x, xml: {root: all, value: "${{ .records }}"}`:                                               "xml is written",
		`post: /x, ndjson: ["${{ .records }}"]`:                                                              "otherwise than",
		`post: /x, multipart: [{name: a, json: "${{ .records }}"}, {name: b, csv: "${{ .records }}"}]`:       "several parts",
		`post: /x, multipart: [{name: "n${{ .records | length }}", json: "${{ .records }}"}]`:                "the name of a part",
		`post: /x, json: {all: "${{ .records }}"}, auth: {body: {field: key, value: {env: CRM_KEY}}}`:        "auth: body",
		`post: /x, reconcile: {get: "/x/${{ .records | length }}", found: "${{ .response.status == 200 }}"}`: "another expression",
	} {
		p := mustCompile(t, "https://crm.example", `{url: "${URL}", batch: {max_bytes: 20MB}, `+yaml+`}`)
		held := p.Held(16 << 20)
		if p.Streams("") || len(held) != 1 || !strings.Contains(held[0].Why, why) {
			t.Errorf("%s: held for %+v, want %q", yaml, held, why)
		}
		if more := p.Held(20 << 20); more != nil {
			t.Errorf("%s: %+v has no more than 20 MB", yaml, more)
		}
		_, report := compileText(t, "https://crm.example", `{url: "${URL}", batch: {max_bytes: 65MB}, `+yaml+`}`)
		if err := report.Err(); err == nil || !strings.Contains(err.Error(), "at most 64MB") || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: 65 MB are refused with %v", yaml, err)
		}
		in := holding(t, p, input(), `[{"e":"a"}]`)
		in.Upload = paged(in.Upload)
		w := &wire{}
		if e := eventOf[tracking.AttemptFailed](t, over(t, w).Run(t.Context(), p, in)); len(w.sent) != 0 || e.Fault.Reason != fault.Internal {
			t.Errorf("%s: without its records: %+v", yaml, e)
		}
	}
	for batch, want := range map[string]string{
		"{max_bytes: 1GB}":    "",
		"{max_bytes: 1025MB}": "at most 1GB",
		"{max_bytes: 1GB, chunk: {into: job, max_bytes: 100MB}}": "",
	} {
		p, report := compileText(t, "https://crm.example", `{url: "${URL}", post: /x, batch: `+batch+`}`)
		if err := report.Err(); (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%s gives %v, want %q", batch, err, want)
		}
		if p != nil && (p.Held(0) != nil || !p.Streams("")) {
			t.Errorf("%s is held", batch)
		}
	}
	small := mustCompile(t, "https://crm.example", `{url: "${URL}", post: /x, batch: {}}`)
	if small.Streams("") || small.Hold("") != mustCompile(t, "https://crm.example", `{url: "${URL}", post: /x}`).Hold("") {
		t.Error("a batch of 5 MB is not sent as it was")
	}
}

// The preview says what is held.
func TestPreviewTellsWhatIsHeld(t *testing.T) {
	for yaml, want := range map[string]string{
		`gzip: true, batch: {max_bytes: 1GB}`:                            "sent compressed with gzip; more than 5MB are written record by record and not held in memory",
		`json: {all: "${{ .records | sort }}"}, batch: {max_bytes: 6MB}`: "up to 6MB are held in memory, since it uses .records otherwise than",
		`json: {all: "${{ .records | sort }}"}, batch: {max_bytes: 5MB}`: "",
		`batch: {}`: "",
		`batch: {max_bytes: 1GB, chunk: {into: job, max_bytes: 5MB}}`: "",
	} {
		p := mustCompile(t, "https://crm.example", `{url: "${URL}", post: /x, `+yaml+`}`)
		previews, err := p.Preview(input())
		if err != nil {
			t.Fatal(err)
		}
		if got := previews[0].Note; (want == "") != (got == "") || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", yaml, got, want)
		}
	}
}
