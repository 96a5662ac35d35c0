package simulate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"headgate/internal/simulate"
)

func TestStatusSequencePerKey(t *testing.T) {
	c := serve(t, simulate.NewSync("crm"))
	for i, step := range []struct {
		key  string
		want int
	}{{"a", 503}, {"a", 429}, {"b", 503}, {"a", 200}, {"a", 200}, {"", 503}, {"b", 429}, {"", 429}, {"", 200}} {
		r := c.try("PUT", "/x", "{}", "Idempotency-Key", step.key, "X-Simulate", "status=503,429,200 retry_after=7")
		if r.status != step.want {
			t.Fatalf("step %d, key %q: status %d, want %d", i, step.key, r.status, step.want)
		}
		retry := "7"
		if step.want == 200 {
			retry = ""
			if r.json(t, "id") == nil {
				t.Error("200 must be the backend's own answer")
			}
		}
		equal(t, "Retry-After", r.header.Get("Retry-After"), retry)
	}
	if err := c.try("DELETE", "/__behave", "").err; err != nil {
		t.Fatal(err)
	}
	c.do(503, "PUT", "/x", "{}", "Idempotency-Key", "a", "X-Simulate", "status=503,429,200 retry_after=7")
}

func TestStatusTwoHundredsDoTheWork(t *testing.T) {
	c := serve(t, simulate.NewSync("crm"))
	r := c.do(202, "POST", "/x", "{}", "X-Simulate", "status=202")
	if r.json(t, "id") == nil {
		t.Error("202 without the backend's body")
	}
	// 200 means as usual, so that a sequence can end in it whatever the backend's own status is.
	c.do(201, "POST", "/x", "{}", "X-Simulate", "status=200")
}

func TestQueryBehaviourAndBadOnes(t *testing.T) {
	c := serve(t, simulate.NewSync("crm"))
	c.do(418, "PUT", "/x?a=1&__simulate=status=418", "{}")
	equal(t, "query as sent", c.requests("?last=1")[0].Query, "a=1&__simulate=status=418")
	r := c.do(400, "PUT", "/x", "{}", "X-Simulate", "explode")
	equal(t, "code", r.json(t, "error", "code"), "bad_simulation")
}

func TestDropLosesTheAnswer(t *testing.T) {
	for _, tt := range []struct {
		how    string
		worked bool
	}{{"drop", false}, {"drop=after", true}} {
		t.Run(tt.how, func(t *testing.T) {
			c := serve(t, simulate.NewSendGrid(simulate.SendGridOptions{PollsUntilDone: 1}))
			r := c.try("PUT", "/v3/marketing/contacts", `{"contacts":[{"email":"a@x.org"}]}`,
				"Authorization", "Bearer t", "X-Simulate", tt.how)
			if !errors.Is(r.err, io.EOF) {
				t.Fatalf("got status %d, error %v; want the connection closed", r.status, r.err)
			}
			got := c.try("GET", "/v3/marketing/contacts/imports/job-000001", "", "Authorization", "Bearer t").status
			if (got == 200) != tt.worked {
				t.Errorf("job's status %d, want the work done: %v", got, tt.worked)
			}
			equal(t, "answers", c.stats().ByStatus[0], 1)
		})
	}
}

func TestHangEndsWithTheClient(t *testing.T) {
	b := simulate.NewSync("crm")
	c := serve(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(ctx, "PUT", c.base+"/x", strings.NewReader("{}"))
		if err != nil {
			done <- err
			return
		}
		req.Header.Set("X-Simulate", "hang")
		resp, err := c.http.Do(req)
		if err == nil {
			err = errors.Join(errors.New("answered"), resp.Body.Close())
		}
		done <- err
	}()
	await(t, "the request hangs", func() bool { return b.Stats().InFlight == 1 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("client got %v", err)
	}
	await(t, "the hang ends", func() bool { return b.Stats().InFlight == 0 })
	equal(t, "max in flight", b.Stats().MaxInFlight, 1)
}

func TestHangEndsWithClose(t *testing.T) {
	for _, how := range []string{"hang", "hang=after", "delay=1h", "huge=100000MB", "trickle=1h"} {
		t.Run(how, func(t *testing.T) {
			b := simulate.NewSync("crm")
			c := serve(t, b)
			done := make(chan error, 1)
			go func() {
				r := c.try("PUT", "/x", "{}", "X-Simulate", how)
				done <- r.err
			}()
			await(t, "the request runs", func() bool { return b.Stats().InFlight == 1 })
			b.Close()
			if err := <-done; err == nil {
				t.Error("the client got a whole answer")
			}
		})
	}
}

func TestDelayIsWaitedFor(t *testing.T) {
	c := serve(t, simulate.NewSync("crm"))
	start := time.Now()
	c.do(200, "PUT", "/x", "{}", "X-Simulate", "delay=60ms")
	if took := time.Since(start); took < 60*time.Millisecond {
		t.Errorf("answered after %v", took)
	}
}

func TestBodiesGoneWrong(t *testing.T) {
	c := serve(t, simulate.NewSync("crm"))
	plain := c.do(200, "PUT", "/x", "{}").body

	slow := c.do(200, "PUT", "/x", "{}", "X-Simulate", "trickle=1ms").body
	equal(t, "trickled body", slow, plain)

	bad := c.do(200, "PUT", "/x", "{}", "X-Simulate", "malformed").body
	if json.Valid([]byte(bad)) || bad == "" {
		t.Errorf("malformed body %q", bad)
	}
	// An answer without a body stays one.
	c.do(204, "DELETE", "/x", "", "X-Simulate", "malformed")

	huge := c.do(200, "PUT", "/x", "{}", "X-Simulate", "huge=3MB").body
	if len(huge) != 3<<20 || !json.Valid([]byte(huge)) {
		t.Errorf("huge body has %d bytes, valid: %v", len(huge), json.Valid([]byte(huge)))
	}

	other := c.do(202, "PUT", "/x", "{}", "X-Simulate", `{"status":202,"body":"{\"job_id\":\"\"}"}`)
	equal(t, "replaced body", other.body, `{"job_id":""}`)
}

func TestRedirect(t *testing.T) {
	c := serve(t, simulate.NewSync("crm"))
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r := c.do(307, "PUT", "/x", "{}", "X-Simulate", "redirect=http://127.0.0.1:1/y")
	equal(t, "Location", r.header.Get("Location"), "http://127.0.0.1:1/y")
	c.do(302, "PUT", "/x", "{}", "X-Simulate", "redirect=http://127.0.0.1:1/y status=302")
}

func TestBehaveRules(t *testing.T) {
	c := serve(t, simulate.NewSync("crm"))
	rule := func(text string) { c.t.Helper(); c.do(200, "POST", "/__behave", text) }
	rule(`{"path":"/x","behave":"status=500","times":2}`)
	rule(`{"path":"/x/deep","behave":{"status":501}}`)
	rule(`{"path":"/x/deep","method":"POST","behave":"status=502"}`)
	c.do(200, "PUT", "/y", "{}")
	c.do(501, "PUT", "/x/deep/er", "{}") // the longer path wins and uses up nothing of the shorter
	c.do(502, "POST", "/x/deep", "{}")   // its method is the more exact
	c.do(500, "PUT", "/x", "{}")
	c.do(418, "PUT", "/x", "{}", "X-Simulate", "status=418") // the request's own goes first
	c.do(500, "PUT", "/x", "{}")
	c.do(200, "PUT", "/x", "{}") // used up
	equal(t, "rules left", len(c.do(200, "GET", "/__behave", "").json(t, "rules").([]any)), 2)

	rule(`{"path":"/x/deep","behave":"status=503,200"}`) // replaces
	c.do(503, "PUT", "/x/deep", "{}", "Idempotency-Key", "a")
	c.do(200, "PUT", "/x/deep", "{}", "Idempotency-Key", "a")
	c.do(503, "PUT", "/x/deep", "{}", "Idempotency-Key", "b")
	c.do(204, "DELETE", "/__behave", "")
	c.do(200, "PUT", "/x/deep", "{}", "Idempotency-Key", "c")

	for _, bad := range []string{`{`, `{"path":"/x"}`, `{"path":"/x","behave":null}`, `{"behave":"explode"}`,
		`{"behave":"drop","time":3}`, `{"behave":"drop","times":-1}`} {
		c.do(400, "POST", "/__behave", bad)
	}
	c.do(404, "GET", "/__nothing", "")
	equal(t, "control is not counted", c.stats().Requests, 11)
}

func TestBehaveFromGo(t *testing.T) {
	b := simulate.NewSync("crm")
	c := serve(t, b)
	if err := b.Behave("/", "status=500", 1); err != nil {
		t.Fatal(err)
	}
	c.do(500, "PUT", "/x", "")
	c.do(200, "PUT", "/x", "")
	if err := b.Behave("/", "explode", 1); err == nil {
		t.Error("bad behaviour accepted")
	}
}

func TestBodyBound(t *testing.T) {
	const size = 64<<20 + 1
	for _, tt := range []struct {
		name    string
		backend *simulate.Backend
		want    int
	}{
		{"plain", simulate.NewSync("b"), 413},
		{"sendgrid", simulate.NewSendGrid(simulate.SendGridOptions{Name: "b"}), 413},
		{"eloqua", simulate.NewEloqua(simulate.EloquaOptions{Name: "b"}), 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := serve(t, tt.backend.KeepRequests(0))
			// Whole bodies are read, up to one byte over the bound, so that the answer always arrives.
			req, err := http.NewRequestWithContext(t.Context(), "PUT", c.base+"/x", bytes.NewReader(make([]byte, size)))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := c.http.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			equal(t, "status", resp.StatusCode, tt.want)
		})
	}
}

// await polls a condition that another goroutine brings about.
func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("in vain: %s", what)
		}
	}
}
