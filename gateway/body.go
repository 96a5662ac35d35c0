package gateway

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
)

// acceptedEncodings is what Accept-Encoding says on a 415 (RFC 9110, 12.5.3).
const acceptedEncodings = "gzip, identity"

// inflate undoes the request's Content-Encoding. It never holds more than limit bytes
// and one: a few kilobytes of gzip can stand for gigabytes.
func (c *call) inflate(limit int64) *answer {
	coding := strings.ToLower(strings.Join(c.req.Header["Content-Encoding"], ","))
	switch coding {
	case "", "identity":
	case "gzip", "x-gzip":
		plain, err := gunzip(c.req.Body, limit)
		if err != nil {
			c.note.reason = "bad gzip"
			return problem("bad-encoding", http.StatusBadRequest, "The body is not well-formed gzip.")
		}
		c.req.Body = plain
	default:
		c.note.reason = "content encoding"
		return problem("unsupported-encoding", http.StatusUnsupportedMediaType, "The body's Content-Encoding is not supported.").
			set("Accept-Encoding", acceptedEncodings)
	}
	delete(c.req.Header, "Content-Encoding") // the body no longer has it
	if int64(len(c.req.Body)) > limit {
		c.note.reason = "body too large"
		return problem("body-too-large", http.StatusRequestEntityTooLarge, "The body is larger than this server takes.")
	}
	return nil
}

// gunzip gives at most limit+1 bytes.
func gunzip(body []byte, limit int64) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, limit+1))
}
