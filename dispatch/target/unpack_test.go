package target

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"headgate/dispatch/tracking"
)

func gzipped(t *testing.T, content string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// files are names and contents, in turn; a name that ends in a slash is a folder.
func zipOf(t *testing.T, files ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for i := 0; i < len(files); i += 2 {
		f, err := w.Create(files[i])
		if err == nil {
			_, err = f.Write([]byte(files[i+1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func tarOf(t *testing.T, files ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for i := 0; i < len(files); i += 2 {
		head := &tar.Header{Name: files[i], Mode: 0o600, Size: int64(len(files[i+1])), Typeflag: tar.TypeReg}
		if strings.HasSuffix(files[i], "/") {
			head.Typeflag = tar.TypeDir
		}
		err := w.WriteHeader(head)
		if err == nil {
			_, err = w.Write([]byte(files[i+1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestUnpack(t *testing.T) {
	const mark = "\uFEFF"
	const big = 1 << 10
	for name, tt := range map[string]struct {
		format, files, delimiter string
		body                     string
		want                     string // JSON
		fault                    string
	}{
		"json":                {format: "json", body: `{"a":[1.10]}`, want: `{"a":[1.10]}`},
		"json, marked":        {format: "json", body: mark + `[1]`, want: `[1]`},
		"json, compressed":    {format: "json", body: gzipped(t, `[1]`), want: `[1]`},
		"json, cut":           {format: "json", body: gzipped(t, `[1]`)[:20], fault: "decompressed"},
		"json, a bomb":        {format: "json", body: gzipped(t, "["+strings.Repeat(" ", big)+"]"), fault: "larger than max_response"},
		"ndjson":              {format: "ndjson", body: mark + "{\"a\":1}\r\n\r\n 2.50 \n\"x\"", want: `[{"a":1},2.50,"x"]`},
		"ndjson, none":        {format: "ndjson", want: `[]`},
		"ndjson, text":        {format: "ndjson", body: "1\noops\n", fault: "line 2 is no JSON"},
		"csv":                 {format: "csv", body: mark + "a,\"b c\"\r\n1,\"x, \"\"y\"\"\nz\"\r\n,\r\n", want: `[{"a":"1","b c":"x, \"y\"\nz"},{"a":"","b c":""}]`},
		"csv, CRLF in quotes": {format: "csv", body: "a\r\n\"x\r\ny\"\r\n", want: `[{"a":"x\ny"}]`},
		"csv, semicolons":     {format: "csv", delimiter: ";", body: "a;b\n1,5;2\n", want: `[{"a":"1,5","b":"2"}]`},
		"csv, compressed":     {format: "csv", body: gzipped(t, "a\n1\n"), want: `[{"a":"1"}]`},
		"csv, none":           {format: "csv", want: `[]`},
		"csv, columns only":   {format: "csv", body: "a,b\n", want: `[]`},
		"csv, not UTF-8":      {format: "csv", body: "a\n\xe9\n", want: "[{\"a\":\"\uFFFD\"}]"},
		"csv, a cell less":    {format: "csv", body: "a,b\n1\n", fault: "no CSV"},
		"csv, names twice":    {format: "csv", body: "a,b,a\n1,2,3\n", fault: `two columns called "a"`},
		"csv, open quotes":    {format: "csv", body: "a\n\"1\n", fault: "no CSV"},
		"zip":                 {format: "zip", body: zipOf(t, "d/", "", "d/x.json", `[1]`, "y.json", `{}`), want: `[{"name":"d/x.json","content":[1]},{"name":"y.json","content":{}}]`},
		"zip of csv":          {format: "zip", files: "csv", body: zipOf(t, "x.csv", "a\n1\n"), want: `[{"name":"x.csv","content":[{"a":"1"}]}]`},
		"zip of nothing":      {format: "zip", body: zipOf(t), want: `[]`},
		"zip, a bomb":         {format: "zip", files: "ndjson", body: zipOf(t, "x", strings.Repeat("\n", big/2), "y", strings.Repeat("\n", big/2+1)), fault: "the file y of the archive: decompressed, it is larger"},
		"zip, no file":        {format: "zip", body: zipOf(t, "x", "text"), fault: "the file x of the archive"},
		"zip, something else": {format: "zip", body: "[]", fault: "no zip archive"},
		"zip, none":           {format: "zip", fault: "no zip archive"},
		"tar.gz":              {format: "tar.gz", body: gzipped(t, tarOf(t, "./", "", "./x.json", `[{"status_code":200}]`)), want: `[{"name":"./x.json","content":[{"status_code":200}]}]`},
		"tar.gz, a bomb":      {format: "tar.gz", body: gzipped(t, tarOf(t, "x", strings.Repeat("1", big))), fault: "decompressed, it is larger"},
		"tar":                 {format: "tar.gz", body: tarOf(t, "x/", "", "x/y.json", mark+`[1]`), want: `[{"name":"x/y.json","content":[1]}]`},
		"tar.gz of ndjson":    {format: "tar.gz", files: "ndjson", body: tarOf(t, "x", "1\n2"), want: `[{"name":"x","content":[1,2]}]`},
		"tar, cut":            {format: "tar.gz", body: tarOf(t, "x", "[1]")[:514], fault: "the file x of the archive"},
		"tar, none":           {format: "tar.gz", fault: "it is empty"},
		"tar, something else": {format: "tar.gz", body: "[]", fault: "no tar archive"},
	} {
		t.Run(name, func(t *testing.T) {
			comma := ','
			if tt.delimiter != "" {
				comma = rune(tt.delimiter[0])
			}
			if tt.files == "" {
				tt.files = "json"
			}
			limit := int64(big)
			if strings.HasPrefix(tt.format, "tar") && tt.want != "" {
				limit = 1 << 20 // a tar archive is large by itself
			}
			r := &response{body: []byte(tt.body)}
			err := r.unpack(decoderOf(tt.format, tt.files, comma), limit)
			if tt.fault != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fault) {
					t.Fatalf("got %v and %v, want a fault about %q", r.content(), err, tt.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(r.content())
			if err != nil {
				t.Fatal(err)
			}
			want, err := decodeJSON([]byte(tt.want))
			if err != nil {
				t.Fatal(err)
			}
			if text, _ := json.Marshal(want); string(got) != string(text) {
				t.Errorf("got %s, want %s", got, text)
			}
		})
	}
}

func TestUnpackTooManyFiles(t *testing.T) {
	files := make([]string, 2*(maxFiles+1))
	for i := 0; i < len(files); i += 2 {
		files[i], files[i+1] = fmt.Sprint(i), "1"
	}
	for format, body := range map[string]string{"zip": zipOf(t, files...), "tar.gz": gzipped(t, tarOf(t, files...))} {
		r := &response{body: []byte(body)}
		if err := r.unpack(decoderOf(format, "json", ','), 64<<20); err == nil || !strings.Contains(err.Error(), "more than 10000 files") {
			t.Errorf("%s: %v", format, err)
		}
	}
}

// The results of a batch of operations as a gzipped tar of JSON files, each a list with the
// backend's answers as text.
func TestResultsInAnArchive(t *testing.T) {
	archive := gzipped(t, tarOf(t, "b/", "",
		"b/1.json", `[{"status_code":200,"operation_id":"k0","response":"{}"},{"status_code":400,"operation_id":"k1","response":"{\"title\":\"Invalid Resource\",\"detail\":\"no e-mail\"}"}]`,
		"b/2.json", `[{"status_code":429,"operation_id":"k2","response":"{\"title\":\"Too Many Requests\"}"}]`))
	serve := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-gzip")
			_, _ = w.Write([]byte(body))
		}
	}
	const rejects = `
get: /results
format: tar.gz
items: ${{ [.response.body[].content[]] }}
key: {item: "${{ .item.operation_id }}", record: "${{ .key }}"}
reason: ${{ .item.response | fromjson | .detail }}
classify:
- {when: "${{ .item.status_code == 429 or .item.status_code >= 500 }}", as: retry}
- {when: "${{ .item.status_code >= 400 }}", as: rejected}
means: succeeded
`
	b := resultsOf(t, `{"state":"done"}`, map[string]http.HandlerFunc{"/results": serve(archive)})
	got := finished(t, resultsPlan(t, b.URL, rejects), `{}`, `{}`, `{}`, `{}`)
	if have := statesOf(got, 4); fmt.Sprint(have) != fmt.Sprint(ended("sryu")) || got.Records[1].Message != "no e-mail" {
		t.Errorf("ended %v: %+v", have, got)
	}
	// What cannot be read is asked for again, and never passes for a success.
	for name, body := range map[string]string{"cut": archive[:len(archive)-9], "too large": gzipped(t, strings.Repeat("x", 1<<20)), "larger as it comes": strings.Repeat("x", 1<<20)} {
		b := resultsOf(t, `{"state":"done"}`, map[string]http.HandlerFunc{"/results": serve(body)})
		in := batchOf(`{}`)
		in.Delivery.PollFaults = 19
		p := resultsPlan(t, b.URL, strings.TrimSpace(rejects)+"\nmax_response: 100KB")
		failed := eventOf[tracking.PollFailed](t, newEngine(t).Run(t.Context(), p, in))
		if !failed.Final && name != "larger as it comes" || tracking.Apply(in.Delivery, failed, noon).State == tracking.Succeeded {
			t.Errorf("%s: %+v %+v", name, failed, failed.Fault)
		}
	}
}
