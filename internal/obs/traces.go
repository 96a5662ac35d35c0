package obs

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	otel "go.opentelemetry.io/otel/trace"

	"headgate/dispatch/trace"
)

// flushTime is how long Stop waits for the last spans to be taken.
const flushTime = 3 * time.Second

// complainEvery is how often at most the log says that spans are not taken.
const complainEvery = time.Minute

// Traces sends spans to where the OTEL_* variables say. The nil one sends none.
type Traces struct {
	provider *sdk.TracerProvider
	tracer   otel.Tracer
	exporter *exporter
	abandon  context.CancelFunc
	log      *slog.Logger
}

// NewTraces reads the OTEL_* variables, as getenv gives them, and connects on first use. It
// gives nil when they ask for no traces. An error names the variable that is wrong.
func NewTraces(ctx context.Context, version string, getenv func(string) string, log *slog.Logger) (*Traces, error) {
	on, err := tracesWanted(getenv)
	if err != nil || !on {
		return nil, err
	}
	client, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("export of traces: %w", err)
	}
	return newTraces(ctx, version, client, log)
}

func newTraces(ctx context.Context, version string, to sdk.SpanExporter, log *slog.Logger) (*Traces, error) {
	// What the variables say comes last, and so counts.
	about, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName("headgate"), semconv.ServiceVersion(version), semconv.ServiceInstanceID(uuid.NewString())),
		resource.WithFromEnv(),
	)
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	life, abandon := context.WithCancel(context.WithoutCancel(ctx))
	e := &exporter{SpanExporter: to, life: life, log: log}
	size := func(o *sdk.BatchSpanProcessorOptions) { e.room = int64(o.MaxQueueSize) } // as OTEL_BSP_* have it
	queue := sdk.NewBatchSpanProcessor(e, size)
	provider := sdk.NewTracerProvider(sdk.WithResource(about), sdk.WithSpanProcessor(bounded{queue, e}))
	return &Traces{provider, provider.Tracer("headgate", otel.WithInstrumentationVersion(version)), e, abandon, log}, nil
}

// Tracer makes the spans; nil when there are none to be made.
func (t *Traces) Tracer() trace.Tracer {
	if t == nil {
		return nil
	}
	return t.start
}

// Stop sends what is left, within 3 s and not after ctx has ended. What is not taken by then is
// lost: that is told in the log, and nothing else comes of it.
func (t *Traces) Stop(ctx context.Context) {
	if t == nil {
		return
	}
	defer t.abandon()
	ctx, cancel := context.WithTimeout(ctx, flushTime)
	defer cancel()
	err := t.provider.Shutdown(ctx)
	if lost := t.exporter.lost.Load() + t.exporter.queued.Load(); lost > 0 || err != nil {
		t.log.WarnContext(ctx, "the last spans are not taken; they are lost", said(lost, err)...)
	}
}

// bounded drops spans that come while the queue is full: nobody waits for an exporter. The
// queue would do so by itself, and tell nobody.
type bounded struct {
	sdk.SpanProcessor
	exporter *exporter
}

// OnEnd implements sdk.SpanProcessor.
func (b bounded) OnEnd(s sdk.ReadOnlySpan) {
	e := b.exporter
	switch {
	case !s.SpanContext().IsSampled():
	case e.queued.Add(1) > e.room:
		e.queued.Add(-1)
		e.lost.Add(1)
	default:
		b.SpanProcessor.OnEnd(s)
	}
}

// exporter gives up when the process has stopped, and tells the log of what goes wrong, not
// each time.
type exporter struct {
	sdk.SpanExporter
	life context.Context //nolint:containedctx // Stop ends it; the library's has no end of ours
	log  *slog.Logger

	room   int64        // how many spans the queue takes
	queued atomic.Int64 // spans that have not been tried
	lost   atomic.Int64 // spans that the log has not told of, those included that are being sent
	told   time.Time    // only one export runs at a time
}

// ExportSpans implements sdk.SpanExporter. It never fails: what was to be told is told.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.life, cancel)()
	n := int64(len(spans))
	e.lost.Add(n)
	e.queued.Add(-n)
	err := e.SpanExporter.ExportSpans(ctx, spans)
	if err == nil {
		e.lost.Add(-n)
	}
	if e.life.Err() == nil && e.lost.Load() > 0 && time.Since(e.told) >= complainEvery {
		e.log.WarnContext(ctx, "spans are not taken; they are lost", said(e.lost.Swap(0), err)...)
		e.told = time.Now()
	}
	return nil
}

// said gives what a line about lost spans tells. Without an error the queue was full.
func said(lost int64, err error) []any {
	if err == nil {
		return []any{"spans", lost}
	}
	return []any{"spans", lost, "error", err}
}
