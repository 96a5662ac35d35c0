package target

import (
	"context"
	"errors"
	"fmt"

	"headgate/dispatch/encode"
	"headgate/dispatch/fault"
	"headgate/dispatch/transform"
)

// into writes the body of a call into r, with the headers that go with it. One that is
// only shown is not compressed.
func (b *body) into(ctx context.Context, r *request, in *Input, scope transform.Scope, shown bool) *fault.Fault {
	if b == nil {
		return nil
	}
	contentType := b.contentType
	var f *fault.Fault
	switch {
	case in.Upload.paged() && b.streaming != nil:
		contentType, f = b.streamed(ctx, r, in, scope)
	case b.parts != nil:
		r.body, contentType, f = renderParts(b.parts, in, scope)
	default:
		r.body, f = b.content.render(in, scope)
	}
	if f != nil || (r.body == nil && r.stream == nil) {
		return f
	}
	// Whatever headers_from says, only our Content-Type has the boundary.
	if b.parts != nil || r.header["Content-Type"] == nil {
		r.set("Content-Type", contentType)
	}
	if b.gzip {
		r.set("Content-Encoding", "gzip")
	}
	if r.stream != nil {
		return nil
	}
	r.size = int64(len(r.body))
	if !b.gzip || shown {
		return nil
	}
	var err error
	if r.body, err = encode.Gzip(r.body); err != nil {
		return &fault.Fault{Reason: fault.Internal, Message: err.Error(), Err: err}
	}
	return nil
}

// sendsPayload reports whether the payload is passed on without an expression that says so.
func (b *body) sendsPayload() bool {
	if b == nil {
		return false
	}
	for i := range b.parts {
		if b.parts[i].payload {
			return true
		}
	}
	return b.content != nil && b.payload
}

// render gives the bytes of a body; nil when there is none.
func (c *content) render(in *Input, scope transform.Scope) ([]byte, *fault.Fault) {
	if c.payload {
		return in.payload(), nil
	}
	var v any
	var err error
	if c.text != nil {
		v, err = c.text.Eval(scope)
	} else {
		v, err = c.value.Eval(scope)
	}
	if errors.Is(err, transform.ErrEmpty) {
		return nil, nil
	}
	if err != nil {
		return nil, &fault.Fault{Reason: fault.Internal, Message: err.Error(), Err: err}
	}
	out, err := c.encoder.Encode(v)
	if err != nil {
		return nil, unwritten(c.encoder.Name(), err)
	}
	return out, nil
}

// renderParts gives a multipart body. A part whose expression gives no value is left out;
// without any part there is no body.
func renderParts(parts []part, in *Input, scope transform.Scope) ([]byte, string, *fault.Fault) {
	var out []encode.Part
	for i := range parts {
		p := &parts[i]
		content, f := p.render(in, scope)
		if f != nil {
			return nil, "", f
		}
		if content == nil {
			continue
		}
		filled, f := p.around(scope)
		if f != nil {
			return nil, "", f
		}
		filled.Body = content
		out = append(out, filled)
	}
	if len(out) == 0 {
		return nil, "", nil
	}
	body, contentType, err := encode.Multipart(out)
	if err != nil {
		return nil, "", unwritten("multipart", err)
	}
	return body, contentType, nil
}

// around gives a part without its content.
func (p *part) around(scope transform.Scope) (encode.Part, *fault.Fault) {
	out := encode.Part{ContentType: p.contentType}
	var err error
	if out.Name, err = p.name.Eval(scope); err == nil && p.filename != nil {
		out.Filename, err = p.filename.Eval(scope)
		if errors.Is(err, transform.ErrEmpty) {
			err = nil
		}
	}
	if err != nil {
		return out, &fault.Fault{Reason: fault.Internal, Message: err.Error(), Err: err}
	}
	return out, nil
}

// unwritten is the fault of a body that could not be written. Data that the format cannot
// hold is the record's own affair.
func unwritten(format string, err error) *fault.Fault {
	var data *encode.DataError
	if errors.As(err, &data) {
		return &fault.Fault{Reason: fault.Rejected, Err: err,
			Message: fmt.Sprintf("not sent: the body cannot be written as %s: %s", format, err)}
	}
	return &fault.Fault{Reason: fault.Internal, Err: err,
		Message: fmt.Sprintf("the body cannot be written as %s: %s", format, err)}
}
