package gateway

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

const head = "Host: gateway\r\nX-API-Key: acme\r\nContent-Type: application/json\r\n"

// TestMalformed sends what no client library would. The answers must be problems, must
// not quote the request, and must end the connection: what follows is not a request.
func TestMalformed(t *testing.T) {
	smuggled := "POST /profiles/smuggled HTTP/1.1\r\n" + head + "Content-Length: 2\r\n\r\n{}"
	tests := []struct {
		name, request string
		status        int
		slug          string
	}{
		{
			"length and chunked", "POST /profiles/42 HTTP/1.1\r\n" + head + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + smuggled,
			400, "bad-request",
		},
		{
			"length and identity", "POST /profiles/42 HTTP/1.1\r\n" + head + "Content-Length: 2\r\nTransfer-Encoding: identity\r\n\r\n{}" + smuggled,
			400, "bad-request",
		},
		{
			"two lengths", "POST /profiles/42 HTTP/1.1\r\n" + head + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}" + smuggled,
			400, "bad-request",
		},
		{
			"chunked twice", "POST /profiles/42 HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + smuggled,
			400, "bad-request",
		},
		{
			"unknown transfer encoding", "POST /profiles/42 HTTP/1.1\r\n" + head + "Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + smuggled,
			400, "bad-request",
		},
		{
			"space before the colon", "POST /profiles/42 HTTP/1.1\r\n" + head + "Content-Length : 2\r\n\r\n{}" + smuggled,
			400, "bad-request",
		},
		{"bad chunk", "POST /profiles/42 HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", 400, "bad-request"},
		{"no host", "POST /profiles/42 HTTP/1.1\r\nX-API-Key: acme\r\nContent-Length: 2\r\n\r\n{}", 400, "bad-request"},
		{"garbage", "secret garbage\r\n\r\n", 400, "bad-request"},
		{"encoded NUL", "POST /profiles/4%002 HTTP/1.1\r\n" + head + "Content-Length: 2\r\n\r\n{}", 400, "bad-request"},
		{"raw NUL", "POST /profiles/4\x002 HTTP/1.1\r\n" + head + "Content-Length: 2\r\n\r\n{}", 400, "bad-request"},
		{"encoded newline", "POST /profiles/4%0a2 HTTP/1.1\r\n" + head + "Content-Length: 2\r\n\r\n{}", 400, "bad-request"},
		{"bad escape", "POST /profiles/4%zz HTTP/1.1\r\n" + head + "Content-Length: 2\r\n\r\n{}", 400, "bad-request"},
		{"dot segment", "POST /profiles/.. HTTP/1.1\r\n" + head + "Content-Length: 2\r\n\r\n{}", 400, "bad-request"},
		{"encoded dot segment", "POST /profiles/%2e%2e HTTP/1.1\r\n" + head + "Content-Length: 2\r\n\r\n{}", 400, "bad-request"},
		{"bad query", "POST /profiles/42?a=%zz HTTP/1.1\r\n" + head + "Content-Length: 2\r\n\r\n{}", 400, "bad-request"},
		{"asterisk", "OPTIONS * HTTP/1.1\r\n" + head + "\r\n", 400, "bad-request"},
		{"unknown method", "BREW /profiles/42 HTTP/1.1\r\n" + head + "\r\n", 501, "method-unknown"},
		{"huge header", "POST /profiles/42 HTTP/1.1\r\n" + head + "X-Secret: " + strings.Repeat("x", 10<<10) + "\r\n\r\n", 431, "head-too-large"},
		{"huge length", "POST /profiles/42 HTTP/1.1\r\n" + head + "Content-Length: 99999999\r\n\r\n{}", 413, "body-too-large"},
		{
			"huge chunks", "POST /profiles/42 HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n" +
				strings.Repeat("1000\r\n"+strings.Repeat("x", 0x1000)+"\r\n", 20), 413, "body-too-large",
		},
	}
	r := start(t, nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res, more := r.raw(tt.request)
			wantProblem(t, res, tt.status, tt.slug)
			if !res.closes || more != "" {
				t.Errorf("the connection goes on: %v, then %q", res.header, more)
			}
			if strings.Contains(res.body, "secret") || strings.Contains(res.body, "42") {
				t.Errorf("the request is quoted: %s", res.body)
			}
		})
	}
	if n := r.acceptor.accepted(); n != 0 {
		t.Fatalf("%d dispatches were accepted", n)
	}
}

// TestPathsComeRaw: routing sees what the client sent, not a normalised form.
func TestPathsComeRaw(t *testing.T) {
	r := start(t, nil)
	for path, status := range map[string]int{
		"/profiles/a%2Fb":                   202, // an encoded slash is part of the segment
		"/profiles/a+b":                     202,
		"//profiles/42":                     404,
		"/profiles//42":                     404,
		"//profiles":                        404,
		"http://other.example/profiles/42":  202, // absolute form (RFC 9112, 3.2.2)
		"http://other.example//profiles/42": 404,
	} {
		res, _ := r.raw("POST " + path + " HTTP/1.1\r\n" + head + "Connection: close\r\nContent-Length: 2\r\n\r\n{}")
		if res.status != status {
			t.Errorf("%s: got %d %s, want %d", path, res.status, res.body, status)
		}
	}
}

// TestTrailersAreNotHeaders: fasthttp would add them, behind what a proxy has checked.
func TestTrailersAreNotHeaders(t *testing.T) {
	r := start(t, nil)
	res, _ := r.raw("POST /profiles/42 HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\nConnection: close\r\n" +
		"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-API-Key: acme\r\n\r\n")
	wantProblem(t, res, 401, "unauthenticated")
}

func TestGzip(t *testing.T) {
	r := start(t, nil)
	res := r.do("POST", "/profiles/42", zipped(strings.NewReader(body)), "Content-Encoding", "gzip")
	if res.status != 202 || string(r.acceptor.payloads[0]["crm"]) != body {
		t.Fatalf("got %d %s", res.status, res.body)
	}
}

// TestGzipBomb: 60 KB on the wire stand for 60 MB.
func TestGzipBomb(t *testing.T) {
	r := start(t, nil)
	bomb := zipped(io.LimitReader(zeros{}, 60<<20))
	if len(bomb) > 64<<10 {
		t.Fatalf("the bomb has %d bytes: the server would refuse it unopened", len(bomb))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	res := r.do("POST", "/profiles/42", bomb, "Content-Encoding", "gzip")
	runtime.ReadMemStats(&after)
	wantProblem(t, res, 413, "body-too-large")
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
		t.Errorf("%d bytes were allocated", grown)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func zipped(r io.Reader) string {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = io.Copy(w, r)
	_ = w.Close()
	return out.String()
}

// TestSlowBody: a body that does not arrive in time is refused, and holds no worker.
func TestSlowBody(t *testing.T) {
	r := start(t, func(_ *rig, o *Options) { o.ReadTimeout = 100 * time.Millisecond })
	for name, request := range map[string]string{
		"body": "POST /profiles/42 HTTP/1.1\r\n" + head + "Content-Length: 100\r\n\r\n{",
		"head": "POST /profiles/42 HTTP/1.1\r\nHost: ",
	} {
		t.Run(name, func(t *testing.T) {
			res, more := r.raw(request)
			wantProblem(t, res, 408, "request-timeout")
			if more != "" {
				t.Errorf("more came: %q", more)
			}
		})
	}
}

// TestRefusalArrivesWhileTheClientStillSends: closing at once would reset the
// connection and the client would not see why.
func TestRefusalArrivesWhileTheClientStillSends(t *testing.T) {
	r := start(t, nil)
	for range 20 {
		conn, err := net.Dial("tcp", r.server.Addr())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(conn, "POST /profiles/42 HTTP/1.1\r\n"+head+"Content-Length: 600000\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, strings.Repeat("x", 600000)); err != nil {
			t.Fatalf("the connection broke while sending: %v", err)
		}
		got, err := io.ReadAll(conn)
		if err != nil || !strings.Contains(string(got), "413") {
			t.Fatalf("got %q, %v", got, err)
		}
		_ = conn.Close()
	}
}

// TestConcurrentRequestsDoNotMix: Fiber reuses its buffers; what a request left behind
// must not become another's.
func TestConcurrentRequestsDoNotMix(t *testing.T) {
	r := start(t, nil)
	const clients, each = 16, 25
	var wg sync.WaitGroup
	for n := range clients {
		wg.Go(func() {
			for i := range each {
				name := fmt.Sprintf("c%di%d", n, i)
				text := fmt.Sprintf(`{"name":%q,"pad":%q}`, name, strings.Repeat(name, 20))
				res, err := r.send("POST", "/profiles/"+name, text, "X-API-Key", name, "Idempotency-Key", name)
				if err != nil || res.status != 202 {
					t.Errorf("%s: %v %d %s", name, err, res.status, res.body)
				}
			}
		})
	}
	wg.Wait()
	// All requests are over and their buffers were used again many times.
	if n := r.acceptor.accepted(); n != clients*each {
		t.Fatalf("%d were accepted", n)
	}
	for i, in := range r.acceptor.intakes {
		name := in.Params["id"]
		want := fmt.Sprintf(`{"name":%q,"pad":%q}`, name, strings.Repeat(name, 20))
		if in.Tenant != "keys/"+name || in.Idem.Hash != digest("keys/"+name, "profile-changed", name) {
			t.Fatalf("%s has the tenant %s", name, in.Tenant)
		}
		if got := string(r.acceptor.payloads[i]["crm"]); got != want {
			t.Fatalf("%s has the payload %s", name, got)
		}
	}
}

// TestExpectContinue: a client that asks first is told before it sends.
func TestExpectContinue(t *testing.T) {
	r := start(t, nil)
	for length, want := range map[string]string{"2": "HTTP/1.1 100 Continue", "999999": "HTTP/1.1 413 Request Entity Too Large"} {
		conn, err := net.Dial("tcp", r.server.Addr())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.WriteString(conn, "POST /profiles/42 HTTP/1.1\r\n"+head+"Connection: close\r\nExpect: 100-continue\r\nContent-Length: "+length+"\r\n\r\n")
		in := bufio.NewReader(conn)
		line, err := in.ReadString('\n')
		if strings.TrimSpace(line) != want {
			t.Errorf("length %s: got %q, %v", length, line, err)
		}
		if length == "2" {
			_, _ = io.WriteString(conn, "{}")
		}
		rest, err := io.ReadAll(in)
		if ok := strings.Contains(string(rest), "HTTP/1.1 202") || strings.Contains(string(rest), "body-too-large"); err != nil || !ok {
			t.Errorf("length %s: then %q, %v", length, rest, err)
		}
		_ = conn.Close()
	}
}

func TestKeepAliveAndPipelining(t *testing.T) {
	r := start(t, nil)
	one := "POST /profiles/42 HTTP/1.1\r\n" + head + "Content-Length: 2\r\n\r\n{}"
	last := "POST /profiles/42 HTTP/1.1\r\n" + head + "Connection: close\r\nContent-Length: 2\r\n\r\n{}"
	conn, err := net.Dial("tcp", r.server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(conn, one+one+last)
	got, err := io.ReadAll(conn)
	if err != nil || strings.Count(string(got), "HTTP/1.1 202") != 3 {
		t.Fatalf("got %q, %v", got, err)
	}
}
