// Package trace owns what gateway and dispatch know of tracing: the trace context that a
// client sends, a record keeps and a backend gets (W3C Trace Context), and of which spans a
// trace is made. It knows no library for tracing: whoever exports spans is a Tracer.
package trace

import (
	"context"
	"strings"
)

// Context is a traceparent header of W3C Trace Context, level 1, section 3.2.2. The empty one
// stands for no trace.
type Context string

// form is how one looks; x stands for a digit.
const form = "xx-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxxxxxxxx-xx"

// Where the parts of it begin and end.
const (
	traceAt, traceEnd = 3, 35
	spanAt, spanEnd   = 36, 52
)

// Parse gives what the traceparent headers of a request say: nothing when there is not exactly
// one, or it is not valid, which the standard wants ignored.
func Parse(headers []string) Context {
	if len(headers) != 1 || !valid(headers[0]) {
		return ""
	}
	return Context(headers[0])
}

func valid(value string) bool {
	if len(value) != len(form) {
		return false
	}
	for i, c := range []byte(value) {
		if hex := '0' <= c && c <= '9' || 'a' <= c && c <= 'f'; form[i] == 'x' && !hex || form[i] == '-' && c != '-' {
			return false
		}
	}
	return value[:2] != "ff" && strings.Trim(value[traceAt:traceEnd], "0") != "" && strings.Trim(value[spanAt:spanEnd], "0") != ""
}

// TraceID is the trace's part of it: 32 hex digits, or nothing.
func (c Context) TraceID() string { return c.part(traceAt, traceEnd) }

// SpanID is the part of the span that the next one is a child of: 16 hex digits, or nothing.
func (c Context) SpanID() string { return c.part(spanAt, spanEnd) }

func (c Context) part(from, to int) string {
	if len(c) < len(form) {
		return ""
	}
	return string(c[from:to])
}

// Sampled reports whether the span is one that was recorded.
func (c Context) Sampled() bool {
	return len(c) == len(form) && strings.IndexByte("13579bdf", c[len(c)-1]) >= 0
}

type contextKey struct{}

// With gives a context that belongs to the trace; ctx itself when there is none.
func With(ctx context.Context, c Context) context.Context {
	if c == "" {
		return ctx
	}
	return context.WithValue(ctx, contextKey{}, c)
}

// From gives the trace that a context belongs to.
func From(ctx context.Context) Context {
	c, _ := ctx.Value(contextKey{}).(Context)
	return c
}
