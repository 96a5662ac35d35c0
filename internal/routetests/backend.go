package routetests

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"headgate/config/secret"
	"headgate/dispatch/encode"
)

// backend is a target's backend: it compares each call with the script and answers as
// the script says. Nothing goes over a network.
type backend struct {
	script   []Call
	made     int
	now      time.Time // of the run that calls
	failures []string
	// stray: a call came for which there is no answer. What follows from it is noise.
	stray bool
}

// enough differences have been told: a call that is repeated may differ each time.
const enough = 20

var errStray = errors.New("the test has no answer to this call")

// RoundTrip implements http.RoundTripper.
func (b *backend) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := sentCall{Request: r}
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, fmt.Errorf("read the body of a call: %w", err)
		}
		sent.body = body
	}
	i := b.made
	b.made++
	if last := len(b.script) - 1; i > last {
		if last < 0 || !b.script[last].Repeat {
			b.stray = true
			b.failures = append(b.failures, fmt.Sprintf("call %d: not expected: %s", i+1, sent.line()))
			return nil, errStray
		}
		i = last
	}
	if len(b.failures) >= enough {
		return b.script[i].Answer.make(r, b.now)
	}
	for _, difference := range b.script[i].Expect.compare(sent) {
		b.failures = append(b.failures, fmt.Sprintf("call %d: %s", b.made, difference))
	}
	return b.script[i].Answer.make(r, b.now)
}

// missing tells the calls that the script has and nobody made.
func (b *backend) missing() (failures []string) {
	for i := b.made; i < len(b.script); i++ {
		failure := fmt.Sprintf("call %d: expected, but not made", i+1)
		if what := b.script[i].Expect.line(); what != "" {
			failure += ": " + what
		}
		failures = append(failures, failure)
	}
	return failures
}

// make gives the answer, or the error that stands for its absence.
func (a *Answer) make(r *http.Request, now time.Time) (*http.Response, error) {
	switch {
	case a.Timeout:
		return nil, &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
	case a.Refused:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	// A Retry-After may be a date: it counts from the Date of its answer.
	header, body := http.Header{"Date": {now.UTC().Format(http.TimeFormat)}}, []byte(a.Body)
	if a.Base64 != "" {
		raw, err := base64.StdEncoding.DecodeString(a.Base64)
		if err != nil {
			return nil, fmt.Errorf("write the answer: %w", err)
		}
		body = raw
		header.Set("Content-Type", "application/octet-stream")
	} else if a.JSON != nil {
		text, err := encode.AppendJSON(nil, a.JSON.Value())
		if err != nil {
			return nil, fmt.Errorf("write the answer: %w", err)
		}
		body = text
		header.Set("Content-Type", "application/json")
	} else if len(body) > 0 {
		header.Set("Content-Type", "text/plain; charset=utf-8")
	}
	for name, value := range a.Headers {
		header.Set(name, value)
	}
	return &http.Response{
		StatusCode: a.Status, Status: fmt.Sprintf("%d %s", a.Status, http.StatusText(a.Status)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header,
		Body: io.NopCloser(strings.NewReader(string(body))), ContentLength: int64(len(body)), Request: r,
	}, nil
}

// secret gives what stands for a secret: tests need none, and can still see which one is
// sent.
func (f *File) secret(r secret.Ref) (secret.Value, error) {
	name := cmp.Or(r.Env, r.File)
	if value, ok := f.Secrets[name]; ok {
		return secret.New(value), nil
	}
	return secret.New("secret:" + name), nil
}
