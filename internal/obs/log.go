// Package obs owns what an operator sees of a running process: the logger, the metrics and
// the export of traces. It knows no request and no delivery beyond the labels it is given.
package obs

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	otel "go.opentelemetry.io/otel/trace"

	"headgate/dispatch/trace"
)

// Logger makes the process's logger. format is json or text, level a slog level name;
// the returned variable changes the level at run time. To Lines, nothing from WARN on waits.
// Lines that belong to a trace, by their context, name it.
func Logger(out io.Writer, format, level string) (*slog.Logger, *slog.LevelVar, error) {
	current := new(slog.LevelVar)
	if err := current.UnmarshalText([]byte(level)); err != nil {
		return nil, nil, fmt.Errorf("log level: %w", err)
	}
	options := &slog.HandlerOptions{Level: current}
	var handler slog.Handler
	switch format {
	case "json":
		handler = slog.NewJSONHandler(out, options)
	case "text":
		handler = slog.NewTextHandler(out, options)
	default:
		return nil, nil, fmt.Errorf("log format %q: write json or text", format)
	}
	if lines, ok := out.(*Lines); ok {
		handler = lines.Urgent(handler)
	}
	return slog.New(Traced(handler)), current, nil
}

// Traced gives h, with trace_id in each line whose context belongs to a trace, and span_id in
// each that was written within a span of this process.
func Traced(h slog.Handler) slog.Handler { return traced{h} }

type traced struct{ slog.Handler }

// Handle implements slog.Handler.
func (t traced) Handle(ctx context.Context, r slog.Record) error {
	if c := trace.From(ctx); c != "" {
		r.AddAttrs(slog.String("trace_id", c.TraceID()))
		if own := otel.SpanContextFromContext(ctx); own.IsValid() && !own.IsRemote() && own.SpanID().String() == c.SpanID() {
			r.AddAttrs(slog.String("span_id", c.SpanID()))
		}
	}
	return t.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (t traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{t.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (t traced) WithGroup(name string) slog.Handler { return traced{t.Handler.WithGroup(name)} }
