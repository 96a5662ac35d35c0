package encode

import (
	"crypto/sha256"
	"fmt"
	"hash"
)

// Frame is a multipart body around the content of one part, which is written elsewhere and
// is never held as a whole. With the content it is what Multipart gives.
type Frame struct {
	parts []Part
	heads []string
	open  int
	sum   hash.Hash
}

// NewFrame makes the frame around the part at place open, whose Body is not looked at.
func NewFrame(parts []Part, open int) (*Frame, error) {
	f := &Frame{parts: parts, heads: make([]string, len(parts)), open: open, sum: sha256.New()}
	for i := range parts {
		var err error
		if f.heads[i], err = parts[i].head(); err != nil {
			return nil, fmt.Errorf("encode multipart: %w", err)
		}
	}
	f.hash(0, open)
	f.sum.Write([]byte(f.heads[open]))
	return f, nil
}

func (f *Frame) hash(from, to int) {
	for i := from; i < to; i++ {
		f.sum.Write([]byte(f.heads[i]))
		f.sum.Write(f.parts[i].Body)
	}
}

// Write takes the content of the open part, from which the boundary follows.
func (f *Frame) Write(content []byte) (int, error) { return f.sum.Write(content) }

// Size is how many bytes stand around the content.
func (f *Frame) Size() int {
	before, after := f.around(boundaryOf(make([]byte, sha256.Size)))
	return len(before) + len(after)
}

// Close gives what stands before and behind the content that was written, and the
// Content-Type. That the boundary is not in the content need not be looked for: it would have
// to hold the hash of itself.
func (f *Frame) Close() (before, after []byte, contentType string) {
	f.hash(f.open+1, len(f.parts))
	boundary := boundaryOf(f.sum.Sum(nil))
	before, after = f.around(boundary)
	return before, after, formType + boundary
}

func (f *Frame) around(boundary string) (before, after []byte) {
	for i := range f.open {
		before = append(append(appendHead(before, boundary, f.heads[i]), f.parts[i].Body...), "\r\n"...)
	}
	before = appendHead(before, boundary, f.heads[f.open])
	after = append(after, "\r\n"...)
	for i := f.open + 1; i < len(f.parts); i++ {
		after = append(append(appendHead(after, boundary, f.heads[i]), f.parts[i].Body...), "\r\n"...)
	}
	return before, appendEnd(after, boundary)
}
