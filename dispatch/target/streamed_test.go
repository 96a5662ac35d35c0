package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// That the records cannot be read for a moment leaves no body behind that looks whole, and
// passes.
func TestStreamedBodyBreaksOff(t *testing.T) {
	b := newBackend(t, says(200, `{}`))
	p := mustCompile(t, b.URL, `{url: "${URL}", batch: {max_bytes: 100MB}, post: /x, ndjson: "${{ .records }}"}`)
	away := errors.New("connection refused")
	for name, at := range map[string]int{"while it is counted": 3, "while it is sent": 8} {
		t.Run(name, func(t *testing.T) {
			before, reads := len(b.seen()), 0
			in := holding(t, p, input(), sized(20, 20_000))
			in.Upload = paged(in.Upload)
			page := in.Upload.Page
			in.Upload.Page = func(ctx context.Context, from int) ([][]byte, error) {
				if reads++; reads == at {
					return nil, away
				}
				return page(ctx, from)
			}
			e := eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), p, in))
			if e.Final || e.Fault.Reason != fault.Internal || !errors.Is(e.Fault.Err, away) || !strings.Contains(e.Fault.Message, "connection refused") {
				t.Errorf("%+v %+v", e, e.Fault)
			}
			for _, c := range b.seen()[before:] {
				if len(c.Body) >= 20*20_000 {
					t.Error("the backend was given a whole body")
				}
			}
		})
	}
}

func TestRetryStreamsTheSame(t *testing.T) {
	b := newBackend(t, says(503, `{}`))
	p := mustCompile(t, b.URL, `{url: "${URL}", batch: {max_bytes: 100MB}, post: /x, gzip: true, ndjson: "${{ .records | map({e, n: 1}) }}"}`)
	in := holding(t, p, input(), sized(20, 20_000))
	in.Upload = paged(in.Upload) // whose pages are others each time
	for range 2 {
		eventOf[tracking.AttemptFailed](t, newEngine(t).Run(t.Context(), p, in))
	}
	sent := b.seen()
	if sent[0].Body != sent[1].Body || sent[0].Header.Get("Content-Length") != fmt.Sprint(len(sent[0].Body)) ||
		sent[0].Header.Get("Idempotency-Key") != sent[1].Header.Get("Idempotency-Key") {
		t.Errorf("the second try sends %v, the first sent %v", sent[1].Header, sent[0].Header)
	}
}

// A worker that is stopped while it counts has used up no attempt.
func TestStoppedWhileCounting(t *testing.T) {
	p := mustCompile(t, "https://crm.example", `{url: "${URL}", batch: {max_bytes: 100MB}, retry: {attempts: 1}, post: /x}`)
	in := holding(t, p, input(), sized(20, 1000))
	in.Upload = paged(in.Upload)
	ctx, cancel := context.WithCancel(t.Context())
	page := in.Upload.Page
	in.Upload.Page = func(ctx context.Context, from int) ([][]byte, error) {
		cancel()
		return page(ctx, from)
	}
	w := &wire{}
	e := eventOf[tracking.AttemptFailed](t, over(t, w).Run(ctx, p, in))
	if e.Final || !errors.Is(e.Fault.Err, errStopped) || len(w.sent) != 0 {
		t.Errorf("%+v %+v", e, e.Fault)
	}
}

// Without one of its records a body is another one.
func TestRecordLeavesStreamedBody(t *testing.T) {
	for _, body := range []string{`post: /x`, `post: /x, ndjson: "${{ .records }}"`, `post: /x, csv: "${{ .records }}"`} {
		p := mustCompile(t, "https://crm.example", `{url: "${URL}", batch: {max_bytes: 100MB}, `+body+`}`)
		in := holding(t, p, input(), `[{"a":1},{"b":2},{"c":3}]`)
		in.Upload.Records[1] = nil
		in.Upload = paged(in.Upload)
		w := &wire{}
		e := eventOf[tracking.AttemptFailed](t, over(t, w).Run(t.Context(), p, in))
		if e.Final || !errors.Is(e.Fault.Err, errLeft) || len(w.sent) != 0 {
			t.Errorf("%s: %+v %+v", body, e, e.Fault)
		}
	}
}

// Whatever the transport does with a body, no record is read once it is closed.
func TestStreamedBodyIsClosed(t *testing.T) {
	reading, release := make(chan struct{}), make(chan struct{})
	u := &Upload{Keys: []string{"a", "b"}, Page: func(ctx context.Context, from int) ([][]byte, error) {
		if from == 0 {
			return [][]byte{[]byte("1")}, nil
		}
		close(reading)
		<-ctx.Done()
		<-release
		return nil, ctx.Err()
	}}
	s := &stream{upload: u, ctx: t.Context()}
	body := s.body(t.Context())
	read := make(chan error, 1)
	go func() { _, err := io.ReadAll(body); read <- err }()
	<-reading
	closed := make(chan struct{})
	go func() { _ = body.Close(); close(closed) }()
	select {
	case <-closed:
		t.Error("closed while a page was read")
	case release <- struct{}{}:
	}
	<-closed
	if err := <-read; !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("the reader was told %v", err)
	}
	if f := body.failure(t.Context()); f != nil {
		t.Errorf("what was closed failed: %v", f)
	}
	if n, err := body.Read(make([]byte, 9)); n > 0 || err == nil {
		t.Errorf("read %d bytes of a closed body", n)
	}
}
