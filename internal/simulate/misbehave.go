package simulate

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// buffer holds an answer back until it is known what becomes of it.
type buffer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newBuffer() *buffer { return &buffer{header: http.Header{}} }

// Header implements http.ResponseWriter.
func (b *buffer) Header() http.Header { return b.header }

// WriteHeader implements http.ResponseWriter; the first status counts.
func (b *buffer) WriteHeader(status int) {
	if b.status == 0 {
		b.status = status
	}
}

// Write implements http.ResponseWriter.
func (b *buffer) Write(p []byte) (int, error) {
	b.WriteHeader(http.StatusOK)
	return b.body.Write(p)
}

// misbehave answers a request in the way it was told to.
func (b *Backend) misbehave(w *answer, r *http.Request, how *Behaviour) {
	if how.Delay > 0 && !b.pause(r, how.Delay) {
		w.drop()
		return
	}
	if how.Hang == Before || how.Drop == Before {
		b.vanish(w, r, how.Hang == Before)
		return
	}
	held := b.produce(r, how)
	if how.Hang == After || how.Drop == After {
		b.vanish(w, r, how.Hang == After)
		return
	}
	if how.Malformed {
		malform(held)
	}
	for name, values := range held.header {
		w.Header()[name] = values
	}
	switch {
	case how.Huge > 0:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(held.status)
		b.writeHuge(w, r, how.Huge)
	case how.Trickle > 0:
		w.WriteHeader(held.status)
		b.writeSlowly(w, r, held.body.Bytes(), how.Trickle)
	default:
		w.WriteHeader(held.status)
		_, _ = w.Write(held.body.Bytes())
	}
}

// produce makes the answer, by doing the work where the behaviour leaves it to the backend.
func (b *Backend) produce(r *http.Request, how *Behaviour) *buffer {
	held := newBuffer()
	status := b.rules.next(how, r)
	switch {
	case how.Redirect != "":
		held.header.Set("Location", how.Redirect)
		held.status = http.StatusTemporaryRedirect
		if status/100 == 3 {
			held.status = status
		}
		return held
	case status == 0 || status/100 == 2:
		b.handler.ServeHTTP(held, r)
		held.WriteHeader(http.StatusOK)
		if status > http.StatusOK {
			held.status = status
		}
	default:
		if how.RetryAfter >= 0 {
			held.header.Set("Retry-After", strconv.Itoa(how.RetryAfter))
		}
		writeError(held, status, "simulated", fmt.Sprintf("simulated status %d", status))
	}
	if how.Body != nil {
		held.header.Set("Content-Type", "application/json")
		held.body.Reset()
		held.body.WriteString(*how.Body)
	}
	return held
}

// malform cuts a JSON body so that no parser can take it.
func malform(held *buffer) {
	body := bytes.TrimSpace(held.body.Bytes())
	if len(body) < 2 {
		body = []byte(`{"malformed":`)
	} else {
		body = append([]byte(nil), body[:len(body)/2]...)
	}
	held.header.Set("Content-Type", "application/json")
	held.body.Reset()
	held.body.Write(body)
}

// vanish drops the connection, with hang only after the client or the backend has gone.
func (b *Backend) vanish(w *answer, r *http.Request, hang bool) {
	if hang {
		select {
		case <-r.Context().Done():
		case <-b.ctx.Done():
		}
	}
	w.drop()
}

// pause waits; false when the client went away or the backend was closed.
func (b *Backend) pause(r *http.Request, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
	case <-b.ctx.Done():
	}
	return false
}

// writeSlowly sends one byte at a time.
func (b *Backend) writeSlowly(w *answer, r *http.Request, body []byte, every time.Duration) {
	control := http.NewResponseController(w)
	for i := range body {
		if _, err := w.Write(body[i : i+1]); err != nil {
			return
		}
		if err := control.Flush(); err != nil || !b.pause(r, every) {
			w.drop() // a cut body must not look complete
			return
		}
	}
}

// writeHuge streams a valid JSON object of size bytes (at least its frame) without holding it in memory.
func (b *Backend) writeHuge(w *answer, r *http.Request, size int64) {
	const head, tail = `{"padding":"`, `"}`
	if _, err := io.WriteString(w, head); err != nil {
		return
	}
	chunk := bytes.Repeat([]byte("x"), 32<<10)
	for left := size - int64(len(head)+len(tail)); left > 0; {
		if r.Context().Err() != nil || b.ctx.Err() != nil {
			w.drop()
			return
		}
		n, err := w.Write(chunk[:min(left, int64(len(chunk)))])
		if err != nil {
			return
		}
		left -= int64(n)
	}
	_, _ = io.WriteString(w, tail)
}
