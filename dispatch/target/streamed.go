package target

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"

	"headgate/dispatch/encode"
	"headgate/dispatch/fault"
	"headgate/dispatch/transform"
)

// streaming says how a body is written record by record.
type streaming struct {
	content *content         // which the records stand in
	part    int              // of a multipart body, the place of that content
	hollow  *transform.Value // of JSON: with .records where the list stands; nil: the list is all there is
	each    *transform.Each  // nil: the records are passed on byte for byte
	most    int64            // bytes that the body may have
}

// streamed makes r.stream the body of the call, and gives its Content-Type. The records are read
// for what must be known before the first byte is sent: the columns of CSV where they are the
// keys of the records, the length and the boundary, the length after compression.
func (b *body) streamed(ctx context.Context, r *request, in *Input, scope transform.Scope) (string, *fault.Fault) {
	w := b.streaming
	s := &stream{upload: in.Upload, ctx: ctx, format: w.content.encoder.Name(), each: w.each, gzip: b.gzip}
	r.stream = s
	if f := s.open(w, scope); f != nil {
		return "", f
	}
	contentType := b.contentType
	var frame *encode.Frame
	around, also := 0, io.Discard
	if b.parts != nil {
		var f *fault.Fault
		if frame, f = b.frame(in, scope); f != nil {
			return "", f
		}
		around, also = frame.Size(), frame
	}
	if err := s.measure(w.most-int64(around), also); err != nil {
		return "", s.fault(err)
	}
	if frame != nil {
		before, after, withBoundary := frame.Close()
		s.before, s.after, contentType = append(before, s.before...), append(s.after, after...), withBoundary
	}
	s.size += int64(around)
	r.size, s.length = s.size, s.size
	if !b.gzip || s.cut {
		return contentType, nil
	}
	var err error
	if s.length, err = s.drain(io.Discard); err != nil {
		return "", s.fault(err)
	}
	return contentType, nil
}

// open finds what stands around the list, and how it is written.
func (s *stream) open(w *streaming, scope transform.Scope) *fault.Fault {
	csv, isCSV := w.content.encoder.(encode.CSV)
	switch {
	case w.each == nil:
	case w.hollow != nil:
		gap := &encode.Gap{}
		inner := maps.Clone(scope)
		inner["records"] = gap
		v, err := w.hollow.Eval(inner)
		if err == nil {
			s.before, s.after, s.list, err = encode.Around(v, gap)
		}
		if err != nil {
			return s.fault(err)
		}
	case isCSV:
		union := &encode.Union{}
		if len(csv.Columns) == 0 {
			err := s.upload.each(s.ctx, func(_ int, record []byte) error { return s.items(record, union.Add) })
			if err != nil {
				return s.fault(err)
			}
		}
		s.list = func() encode.List { return csv.List(union) }
	default:
		s.list = encode.NDJSON
	}
	return nil
}

// frame writes what stands around the part with the records.
func (b *body) frame(in *Input, scope transform.Scope) (*encode.Frame, *fault.Fault) {
	var parts []encode.Part
	open := 0
	for i := range b.parts {
		p := &b.parts[i]
		filled, f := p.around(scope)
		if f != nil {
			return nil, f
		}
		if i == b.streaming.part {
			open = len(parts)
		} else if filled.Body, f = p.render(in, scope); f != nil {
			return nil, f
		} else if filled.Body == nil {
			continue
		}
		parts = append(parts, filled)
	}
	frame, err := encode.NewFrame(parts, open)
	if err != nil {
		return nil, unwritten("multipart", err)
	}
	return frame, nil
}

// streamBody is a stream as the transport reads it. There is no goroutine behind it. The
// transport may close it while it reads.
type streamBody struct {
	stream *stream
	cancel context.CancelFunc
	closed atomic.Bool
	mu     sync.Mutex
	next   pieces
	rest   []byte // of the piece that was begun
	err    error  // that ended it
}

var _ io.ReadCloser = (*streamBody)(nil)

// body gives the body for one sending.
func (s *stream) body(ctx context.Context) *streamBody {
	ctx, cancel := context.WithCancel(ctx)
	return &streamBody{stream: s, cancel: cancel, next: s.pieces(ctx)}
}

// Read implements io.Reader.
func (b *streamBody) Read(p []byte) (n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for n < len(p) && b.err == nil {
		if len(b.rest) == 0 {
			if b.rest, b.err = b.next(); b.err != nil && b.closed.Load() {
				b.err = http.ErrBodyReadAfterClose // it is what ended the reading
			}
			continue
		}
		copied := copy(p[n:], b.rest)
		n, b.rest = n+copied, b.rest[copied:]
	}
	if n > 0 || len(p) == 0 {
		return n, nil
	}
	return 0, b.err
}

// Close implements io.Closer. No record is read once it has returned.
func (b *streamBody) Close() error {
	b.closed.Store(true)
	b.cancel()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = http.ErrBodyReadAfterClose
	}
	return nil
}

// failure says why the body broke off by itself; nil when it did not. It ends the sending.
func (b *streamBody) failure(ctx context.Context) *fault.Fault {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil || errors.Is(b.err, io.EOF) || errors.Is(b.err, http.ErrBodyReadAfterClose) || ctx.Err() != nil {
		return nil
	}
	return b.stream.fault(b.err)
}
