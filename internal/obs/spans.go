package obs

import (
	"context"
	"net"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	otel "go.opentelemetry.io/otel/trace"

	"headgate/dispatch/trace"
)

// shape is how spans of a kind look in OpenTelemetry.
type shape struct {
	kind      otel.SpanKind
	operation string // the messaging operation, and how the span's name begins; empty: it is HTTP
	sends     bool   // of a messaging operation: it is no processing
	root      bool   // it begins a trace of its own
}

var shapes = map[trace.Kind]shape{
	trace.Request: {kind: otel.SpanKindServer},
	trace.Accept:  {kind: otel.SpanKindProducer, operation: "accept", sends: true},
	trace.Join:    {kind: otel.SpanKindConsumer, operation: "join"},
	trace.Collect: {kind: otel.SpanKindProducer, operation: "collect", sends: true, root: true},
	trace.Attempt: {kind: otel.SpanKindConsumer, operation: "attempt"},
	trace.Poll:    {kind: otel.SpanKindConsumer, operation: "poll"},
	trace.Settle:  {kind: otel.SpanKindConsumer, operation: "settle"},
	trace.Call:    {kind: otel.SpanKindClient},
}

// name is of few different values: routes, targets and steps stand in files.
func (s shape) name(f trace.Facts) string {
	switch {
	case s.operation != "":
		return s.operation + " " + destination(f)
	case s.kind == otel.SpanKindServer && f.Pattern != "":
		return f.Method + " " + f.Pattern
	case s.kind == otel.SpanKindClient && f.Step != "":
		return f.Method + " " + f.Target + "/" + f.Step
	case s.kind == otel.SpanKindClient:
		return f.Method + " " + f.Target
	}
	return f.Method
}

// destination is what a message goes to: a target's queue, and of a request all of its route.
func destination(f trace.Facts) string {
	if f.Target != "" {
		return f.Target
	}
	return f.Route
}

// start implements trace.Tracer.
func (t *Traces) start(ctx context.Context, kind trace.Kind, f trace.Facts) (context.Context, trace.End) {
	s := shapes[kind]
	options := make([]otel.SpanStartOption, 0, 3)
	options = append(options, otel.WithSpanKind(s.kind), otel.WithAttributes(s.begins(f)...))
	if s.root {
		options = append(options, otel.WithNewRoot())
	} else if from := trace.From(ctx); otel.SpanContextFromContext(ctx).SpanID().String() != from.SpanID() {
		// The span is not of this process: a client's, or that of who recorded the delivery.
		ctx = otel.ContextWithRemoteSpanContext(ctx, spanContext(from))
	}
	ctx, span := t.tracer.Start(ctx, s.name(f), options...)
	began := f
	return trace.With(ctx, contextOf(span.SpanContext())), func(f trace.Facts, links ...trace.Context) {
		if !span.IsRecording() {
			span.End()
			return
		}
		for _, link := range links[:min(len(links), trace.MaxLinks)] {
			if to := spanContext(link); to.IsValid() {
				span.AddLink(otel.Link{SpanContext: to})
			}
		}
		if kind == trace.Request { // known only once it is matched
			span.SetName(s.name(trace.Facts{Method: began.Method, Pattern: f.Pattern}))
		}
		span.SetAttributes(about(f)...)
		if why, failed := s.failed(f); failed {
			span.SetStatus(codes.Error, "")
			span.SetAttributes(semconv.ErrorTypeKey.String(why))
		}
		span.End()
	}
}

// begins gives what is known when a span begins, and what all of its kind have in common.
func (s shape) begins(f trace.Facts) []attribute.KeyValue {
	out := about(f)
	switch {
	case s.kind == otel.SpanKindServer:
		// Whatever is in front of it: this is what Headgate is spoken to.
		return append(out, semconv.URLScheme("http"))
	case s.operation == "":
		return out
	}
	kind := semconv.MessagingOperationTypeProcess
	if s.sends {
		kind = semconv.MessagingOperationTypeSend
	}
	return append(out, semconv.MessagingSystemKey.String("headgate"), semconv.MessagingOperationName(s.operation), kind,
		semconv.MessagingDestinationName(destination(f)))
}

// failed says of a span whether what it is about went wrong, as the semantic conventions have
// it: an answer 4xx is the client's error, and so one of whoever called.
func (s shape) failed(f trace.Facts) (why string, failed bool) {
	switch s.kind {
	case otel.SpanKindServer:
		failed = f.Status >= 500
	case otel.SpanKindClient:
		failed = f.Failed || f.Status >= 400
	default:
		failed = f.Failed
	}
	if why = f.Reason; why == "" && f.Status != 0 {
		why = strconv.Itoa(f.Status)
	}
	if why == "" {
		why = semconv.ErrorTypeOther.Value.AsString()
	}
	return why, failed
}

// about gives the attributes of the facts that are there.
func about(f trace.Facts) []attribute.KeyValue {
	out := make([]attribute.KeyValue, 0, 12)
	text := func(key attribute.Key, value string) {
		if value != "" {
			out = append(out, key.String(value))
		}
	}
	number := func(key attribute.Key, value int) {
		if value != 0 {
			out = append(out, key.Int(value))
		}
	}
	text("headgate.tracking_id", f.Tracking)
	text("headgate.batch_id", f.Batch)
	text("headgate.route", f.Route)
	text("headgate.target", f.Target)
	text("headgate.step", f.Step)
	text("headgate.state", f.State)
	text("headgate.reason", f.Reason)
	number("headgate.attempts", f.Attempts)
	number("headgate.polls", f.Polls)
	text(semconv.HTTPRequestMethodKey, f.Method)
	text(semconv.HTTPRouteKey, f.Pattern)
	number(semconv.HTTPResponseStatusCodeKey, f.Status)
	number(semconv.MessagingBatchMessageCountKey, f.Records)
	if f.Host != "" {
		host, port, err := net.SplitHostPort(f.Host)
		if err != nil {
			host = f.Host
		}
		text(semconv.ServerAddressKey, host)
		if n, err := strconv.Atoi(port); err == nil {
			number(semconv.ServerPortKey, n)
		}
	}
	return out
}

// w3c reads and writes trace contexts; baggage is not forwarded.
var w3c propagation.TraceContext

func spanContext(c trace.Context) otel.SpanContext {
	carrier := propagation.MapCarrier{"traceparent": string(c)}
	return otel.SpanContextFromContext(w3c.Extract(context.Background(), carrier))
}

func contextOf(s otel.SpanContext) trace.Context {
	if !s.IsValid() {
		return ""
	}
	return trace.Context("00-" + s.TraceID().String() + "-" + s.SpanID().String() + "-" + s.TraceFlags().String())
}
