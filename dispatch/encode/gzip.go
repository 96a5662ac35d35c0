package encode

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"sync"
)

// compressors are kept, since each holds most of a megabyte.
var compressors = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

// Gzip compresses a body. Without a name and a time in its header, the same body is the
// same bytes each time.
func Gzip(body []byte) ([]byte, error) {
	var out bytes.Buffer
	out.Grow(len(body)/8 + 64)
	w, _ := compressors.Get().(*gzip.Writer)
	defer func() {
		w.Reset(io.Discard) // a kept one must not hold on to the body
		compressors.Put(w)
	}()
	w.Reset(&out)
	if _, err := w.Write(body); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return out.Bytes(), nil
}

// GzipPieces compresses a body that comes piece by piece. next gives a piece, which is good
// until the next call, and io.EOF behind the last one; so does what is returned.
func GzipPieces(next func() ([]byte, error)) func() ([]byte, error) {
	var out bytes.Buffer
	var w *gzip.Writer
	done := false
	return func() ([]byte, error) {
		if w == nil && !done {
			w, _ = compressors.Get().(*gzip.Writer)
			w.Reset(&out)
		}
		out.Reset()
		for out.Len() == 0 {
			if done {
				return nil, io.EOF
			}
			piece, err := next()
			switch {
			case err == nil:
				_, err = w.Write(piece)
			case errors.Is(err, io.EOF):
				err = w.Close()
				w.Reset(io.Discard)
				compressors.Put(w)
				w, done = nil, true
			default:
				return nil, err
			}
			if err != nil {
				return nil, fmt.Errorf("compress: %w", err)
			}
		}
		return out.Bytes(), nil
	}
}
