package simulate

import (
	"encoding/json"
	"net/http"
	"time"
	"unicode/utf8"
)

const (
	// defaultKeep is how many requests a backend records unless told otherwise.
	defaultKeep = 1000
	// maxRecordedBody is how many bytes of a body are recorded.
	maxRecordedBody = 64 << 10
)

// Request is one recorded request, as it was sent.
type Request struct {
	Time   time.Time   `json:"time"`
	Method string      `json:"method"`
	Host   string      `json:"host"`
	Path   string      `json:"path"`  // percent-encoded, without the backend's prefix
	Query  string      `json:"query"` // as sent
	Header http.Header `json:"headers"`
	// Body holds the first 64 KB. In JSON it is a string, or body_base64 when it is not UTF-8.
	Body []byte `json:"-"`
	// Size is the whole body's length in bytes; larger than len(Body) when that was cut.
	Size int `json:"size"`
	// Status is what was answered; 0 while running and when there was no answer.
	Status int `json:"status"`
}

// MarshalJSON writes the body as text where it is text.
func (r Request) MarshalJSON() ([]byte, error) {
	type plain Request
	out := struct {
		plain
		Body   string `json:"body"`
		Base64 []byte `json:"body_base64,omitempty"`
	}{plain: plain(r)}
	text := r.Body
	if r.Size > len(text) {
		// A cut may have gone through the middle of a character.
		for i := 0; i < utf8.UTFMax && len(text) > 0 && !utf8.Valid(text); i++ {
			text = text[:len(text)-1]
		}
	}
	if utf8.Valid(text) {
		out.Body = string(text)
	} else {
		out.Base64 = r.Body
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote, for tests that compare over the wire.
func (r *Request) UnmarshalJSON(data []byte) error {
	type plain Request
	in := struct {
		*plain
		Body   string `json:"body"`
		Base64 []byte `json:"body_base64"`
	}{plain: (*plain)(r)}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	r.Body = in.Base64
	if len(in.Base64) == 0 {
		r.Body = []byte(in.Body)
	}
	return nil
}

// recorder is a ring of the last requests; its owner locks.
type recorder struct {
	size int
	ring []*Request
	next int // where the oldest is, once the ring is full
}

func (c *recorder) clear() { c.ring, c.next = nil, 0 }

// add records a request and returns it, so that its status can be filled in; nil when switched off.
func (c *recorder) add(r *http.Request, body []byte, at time.Time) *Request {
	if c.size == 0 {
		return nil
	}
	kept := body
	if len(kept) > maxRecordedBody {
		kept = append([]byte(nil), body[:maxRecordedBody]...) // do not hold on to the large one
	}
	req := &Request{
		Time: at, Method: r.Method, Host: r.Host, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery,
		Header: r.Header.Clone(), Body: kept, Size: len(body),
	}
	if len(c.ring) < c.size {
		c.ring = append(c.ring, req)
	} else {
		c.ring[c.next] = req
		c.next = (c.next + 1) % c.size
	}
	return req
}

// last copies the newest n, oldest first; n <= 0 means all.
func (c *recorder) last(n int) []Request {
	total := len(c.ring)
	if n <= 0 || n > total {
		n = total
	}
	out := make([]Request, 0, n)
	for i := total - n; i < total; i++ {
		out = append(out, *c.ring[(c.next+i)%total])
	}
	return out
}
