package target

import (
	"context"
	"errors"
	"io"

	"headgate/dispatch/encode"
	"headgate/dispatch/fault"
	"headgate/dispatch/transform"
)

// errLeft is about a record that is no longer part of its batch.
var errLeft = errors.New("one of them has left it")

// stream is the body of an upload whose records are not held: it is written anew, byte for
// byte the same, each time it is counted, signed or sent. What is held of it is one page of
// records.
type stream struct {
	upload        *Upload
	ctx           context.Context    //nolint:containedctx // of the run: for the passes that come before the call
	format        string             // for errors
	before, after []byte             // what stands around the list
	list          func() encode.List // nil: the records stand in a JSON array byte for byte
	each          *transform.Each    // what is made of each of them then
	gzip          bool

	size   int64 // of the body before it is compressed
	length int64 // of the body as it is sent
	fits   int   // how many of the records it may have
	cut    bool  // those are not all: size counts up to the first that does not fit
}

// pieces is a body piece by piece, each good until the next is asked for, and io.EOF at
// its end.
type pieces func() ([]byte, error)

// plain gives the body before it is compressed: what stands before the list, a piece for each
// record, and the rest.
func (s *stream) plain(ctx context.Context) pieces {
	list := s.writer()
	var page [][]byte
	var buf []byte
	place, last := -1, s.upload.count()
	return func() (_ []byte, err error) {
		buf = buf[:0]
		switch {
		case place < 0:
			buf = list.Open(append(buf, s.before...))
		case place == last:
			buf = append(list.Close(buf), s.after...)
		case place > last:
			return nil, io.EOF
		default:
			if len(page) == 0 {
				if page, err = s.upload.page(ctx, place); err != nil {
					return nil, err
				}
			}
			if buf, err = s.record(buf, list, page[0]); err != nil {
				return nil, err
			}
			page = page[1:]
		}
		place++
		return buf, nil
	}
}

// record appends what one record comes to.
func (s *stream) record(dst []byte, list encode.List, record []byte) ([]byte, error) {
	if s.list == nil {
		return list.Item(dst, record)
	}
	err := s.items(record, func(item any) (err error) {
		dst, err = list.Item(dst, item)
		return err
	})
	return dst, err
}

// items gives what stands in the list for one record.
func (s *stream) items(record []byte, take func(item any) error) error {
	if record == nil {
		return &unread{errLeft}
	}
	v, err := decodeJSON(record)
	if err != nil {
		return &unread{err}
	}
	items, err := s.each.Eval(v)
	for i := 0; i < len(items) && err == nil; i++ {
		err = take(items[i])
	}
	return err
}

// verbatim writes records into a JSON array as they are.
type verbatim struct{ begun bool }

func (*verbatim) Open(dst []byte) []byte  { return append(dst, '[') }
func (*verbatim) Close(dst []byte) []byte { return append(dst, ']') }

func (l *verbatim) Item(dst []byte, item any) ([]byte, error) {
	record, _ := item.([]byte)
	if record == nil {
		return nil, &unread{errLeft}
	}
	if l.begun {
		dst = append(dst, ',')
	}
	l.begun = true
	return append(dst, record...), nil
}

// measure counts the bytes before compression, up to the record with which there are more
// than most. All that is counted goes to also.
func (s *stream) measure(most int64, also io.Writer) error {
	closing := s.closing()
	next, all := s.plain(s.ctx), s.upload.count()
	for i := 0; ; i++ { // the opening, the records from 1 on, the closing
		piece, err := next()
		if errors.Is(err, io.EOF) {
			s.fits = all
			return nil
		}
		if err != nil {
			return err
		}
		s.size += int64(len(piece))
		if i > 0 && i <= all && s.size+closing > most {
			s.size += closing
			s.fits, s.cut = i-1, true
			return nil
		}
		if _, err := also.Write(piece); err != nil {
			return err
		}
	}
}

// closing is how many bytes stand behind the last record.
func (s *stream) closing() int64 {
	return int64(len(s.writer().Close(nil)) + len(s.after))
}

// writer makes what writes the list, for one pass.
func (s *stream) writer() encode.List {
	if s.list == nil {
		return &verbatim{}
	}
	return s.list()
}

// pieces gives the body as it is sent.
func (s *stream) pieces(ctx context.Context) pieces {
	if s.gzip {
		return encode.GzipPieces(s.plain(ctx))
	}
	return s.plain(ctx)
}

// drain writes the body as it is sent, and counts it.
func (s *stream) drain(to io.Writer) (n int64, err error) {
	next := s.pieces(s.ctx)
	for {
		piece, err := next()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err == nil {
			_, err = to.Write(piece)
		}
		if err != nil {
			return n, err
		}
		n += int64(len(piece))
	}
}

// fault is why the body cannot be written. That the records cannot be read passes.
func (s *stream) fault(err error) *fault.Fault {
	var unread *unread
	var data *transform.Error
	switch {
	case errors.As(err, &unread):
		return &fault.Fault{Reason: fault.Internal, Retry: true, Message: err.Error(), Err: err}
	case errors.As(err, &data):
		return &fault.Fault{Reason: fault.Internal, Message: err.Error(), Err: err}
	}
	return unwritten(s.format, err)
}
