package app_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// Line breaks in a value that a mapping puts into a header, a path or a query. A header
// is refused before anything is sent; in a URL the value is encoded.
func TestAttackCRLFThroughMapping(t *testing.T) {
	backend := serve(t, "127.0.0.1:0", func(w http.ResponseWriter, _ *http.Request) { says(w, 200, `{}`) })
	r := attacked(t, "", strings.ReplaceAll(`
targets:
  header: {url: "${URL}", post: /, headers: {X-Name: "${{ .payload.name }}"}}
  url: {url: "${URL}", post: "/users/${{ .payload.name }}?q=${{ .payload.name }}"}
  whole: {url: "${URL}", allow_hosts: [], post: "${{ .payload.name }}"}
routes:
  - {name: header, match: POST /header, auth: none, targets: {header: }}
  - {name: url, match: POST /url, auth: none, targets: {url: }}
  - {name: whole, match: POST /whole, auth: none, targets: {whole: }}
`, "${URL}", backend.URL), nil)
	for _, value := range []string{`x\r\nX-Injected: 1`, `x\nX-Injected: 1`, `x\rX-Injected: 1`, `x HTTP/1.1\r\nX-Injected: 1\r\n\r\nGET /smuggled`, `x\u0000`} {
		body := fmt.Sprintf(`{"name":"%s"}`, value)
		if d := r.deliver(t, "/header", body); d.State != tracking.Rejected || !strings.Contains(d.Message, "X-Name") || strings.Contains(d.Message, "Injected") {
			t.Errorf("header, %s: %+v", value, d)
		}
		if d := r.deliver(t, "/whole", fmt.Sprintf(`{"name":"/%s"}`, value)); d.State != tracking.Failed {
			t.Errorf("whole URL, %s: %+v", value, d)
		}
		if d := r.deliver(t, "/url", body); d.State != tracking.Succeeded {
			t.Errorf("URL, %s: %+v", value, d)
		}
	}
	for _, got := range backend.requests() {
		if got.Header.Get("X-Injected") != "" || got.URL.Path == "/smuggled" || !strings.HasPrefix(got.RequestURI, "/users/x%") {
			t.Errorf("the backend got %s %v", got.RequestURI, got.Header)
		}
	}
	if n := len(backend.requests()); n != 5 {
		t.Errorf("%d requests, want one for each of the encoded URLs", n)
	}
}

// A few bytes that stand for gigabytes, from a client and from a backend. What comes out
// is bounded while it comes; how much memory that takes: TestGzipBomb in gateway.
func TestAttackGzipBomb(t *testing.T) {
	var poured atomic.Int64
	backend := serve(t, "127.0.0.1:0", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		out := gzip.NewWriter(w)
		zeros := make([]byte, 1<<20)
		for range 4 << 10 { // 4 GB
			if _, err := out.Write(zeros); err != nil {
				return // the caller has gone
			}
			poured.Add(1)
		}
		_ = out.Close()
	})
	r := attacked(t, "", `
targets: {crm: {url: "`+backend.URL+`", post: /, retry: {attempts: 1}}}
routes: [{name: records, match: POST /records, auth: none, body: {max: 64KB}, targets: {crm: }}]
`, nil)
	var bomb bytes.Buffer
	out := gzip.NewWriter(&bomb)
	_, _ = io.CopyN(out, neverEnding('0'), 32<<20)
	_ = out.Close()
	if bomb.Len() > 64<<10 {
		t.Fatalf("the bomb has %d bytes: it would be refused unopened", bomb.Len())
	}
	status, text, err := r.do(t.Context(), http.MethodPost, "/records", bomb.String(), "Content-Encoding", "gzip")
	if err != nil || status != http.StatusRequestEntityTooLarge || len(backend.requests()) != 0 {
		t.Errorf("a client's: %d %s %v", status, text, err)
	}
	d := r.deliver(t, "/records", `{}`)
	if d.State != tracking.Failed || d.Reason != fault.BadResponse || !strings.Contains(d.Message, "max_response") {
		t.Errorf("a backend's: %+v", d)
	}
	if poured.Load() > 512 {
		t.Errorf("the backend could pour %d MB", poured.Load())
	}
}

type neverEnding byte

func (b neverEnding) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}

// JSON that is cheap to write and dear to read, or that two readers read differently.
// Which forms are refused: TestDecodeIsStricter in policies/body.
func TestAttackDeepAndTwofoldJSON(t *testing.T) {
	var answer string
	backend := serve(t, "127.0.0.1:0", func(w http.ResponseWriter, _ *http.Request) { says(w, 200, "%s", answer) })
	r := attacked(t, "", `
targets: {crm: {url: "`+backend.URL+`", post: /, retry: {attempts: 1}, result: {id: "${{ .response.body.id }}"}}}
routes: [{name: records, match: POST /records, auth: none, targets: {crm: {transform: {role: "${{ .body.role }}"}}}}]
`, nil)
	deep := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	for name, body := range map[string]string{
		"deep object":           deep(100_000),
		"deep list":             strings.Repeat("[", 500_000),
		"just too deep":         deep(33),
		"twice the same key":    `{"role":"user","role":"admin"}`,
		"twice, escaped":        `{"role":"user","r\u006fle":"admin"}`,
		"twice, further down":   `{"a":[{"role":"user","role":"admin"}]}`,
		"something behind it":   `{"role":"user"} {"role":"admin"}`,
		"a comment":             `{"role":"user" /* , "role":"admin" */}`,
		"half of a surrogate":   `{"role":"\ud800"}`,
		"bytes that are no UTF": "{\"role\":\"\xff\"}",
		"a number for a novel":  `{"role":` + strings.Repeat("9", 200_000) + `}`,
	} {
		status, text, err := r.do(t.Context(), http.MethodPost, "/records", body)
		if err != nil || (status != http.StatusBadRequest && status != http.StatusUnprocessableEntity) {
			t.Errorf("%s: %d %.200s %v", name, status, text, err)
		}
	}
	if n := len(backend.requests()); n != 0 {
		t.Fatalf("%d of them were sent on", n)
	}
	// From a backend such an answer ends no worker: what it holds is not JSON then.
	for _, answer = range []string{deep(20_000), strings.Repeat("[", 900_000), `{"id":` + strings.Repeat("9", 900_000) + `}`} {
		if d := r.deliver(t, "/records", `{"role":"user"}`); d.State != tracking.Succeeded {
			t.Errorf("%.20s: %+v", answer, d)
		}
	}
}
