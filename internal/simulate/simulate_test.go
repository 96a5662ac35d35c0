package simulate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"headgate/internal/simulate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client talks to one backend over a real socket.
type client struct {
	t    *testing.T
	http *http.Client
	base string
}

// serve starts the backend under its name and closes everything at the end of the test.
func serve(t *testing.T, b *simulate.Backend) *client {
	t.Helper()
	s, err := simulate.Start("127.0.0.1:0", b)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return &client{t: t, http: &http.Client{Transport: transport, Timeout: 20 * time.Second}, base: s.URL(b.Name())}
}

// reply is an answer with its body read.
type reply struct {
	status int
	header http.Header
	body   string
	err    error
}

// json reads one value by a path of keys; nil when it is not there.
func (r reply) json(t *testing.T, keys ...any) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		t.Fatalf("answer %d is no JSON: %v\n%s", r.status, err, r.body)
	}
	for _, key := range keys {
		switch key := key.(type) {
		case string:
			object, _ := v.(map[string]any)
			v = object[key]
		case int:
			list, _ := v.([]any)
			if key >= len(list) {
				return nil
			}
			v = list[key]
		}
	}
	return v
}

// try sends a request; header alternates names and values, where Basic takes user:password.
func (c *client) try(method, path, body string, header ...string) reply {
	c.t.Helper()
	url := path
	if strings.HasPrefix(path, "/") {
		url = c.base + path
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Basic" {
			user, password, _ := strings.Cut(header[i+1], ":")
			req.SetBasicAuth(user, password)
			continue
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	var buf bytes.Buffer
	_, err = io.Copy(&buf, resp.Body)
	return reply{status: resp.StatusCode, header: resp.Header, body: buf.String(), err: err}
}

// do is try for requests that must be answered with the status.
func (c *client) do(want int, method, path, body string, header ...string) reply {
	c.t.Helper()
	r := c.try(method, path, body, header...)
	if r.err != nil {
		c.t.Fatalf("%s %s: %v", method, path, r.err)
	}
	if r.status != want {
		c.t.Fatalf("%s %s: status %d, want %d\n%s", method, path, r.status, want, r.body)
	}
	return r
}

// stats reads the counters over the wire.
func (c *client) stats() simulate.Stats {
	c.t.Helper()
	var s simulate.Stats
	if err := json.Unmarshal([]byte(c.do(200, "GET", "/__stats?keys=1", "").body), &s); err != nil {
		c.t.Fatal(err)
	}
	return s
}

// requests reads what was recorded over the wire.
func (c *client) requests(query string) []simulate.Request {
	c.t.Helper()
	var out struct{ Requests []simulate.Request }
	if err := json.Unmarshal([]byte(c.do(200, "GET", "/__requests"+query, "").body), &out); err != nil {
		c.t.Fatal(err)
	}
	return out.Requests
}

// equal compares decoded JSON values and fails with a name.
func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	g, _ := json.Marshal(got)
	w, _ := json.Marshal(want)
	if !bytes.Equal(g, w) {
		t.Errorf("%s = %s, want %s", what, g, w)
	}
}
