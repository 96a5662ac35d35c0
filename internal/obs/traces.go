package obs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
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
	// Spans that come while its queue is full are dropped: nobody waits for an exporter.
	provider := sdk.NewTracerProvider(sdk.WithResource(about), sdk.WithBatcher(&exporter{SpanExporter: to, life: life, log: log}))
	return &Traces{provider: provider, tracer: provider.Tracer("headgate", otel.WithInstrumentationVersion(version)), abandon: abandon, log: log}, nil
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
	if err := t.provider.Shutdown(ctx); err != nil {
		t.log.WarnContext(ctx, "the last spans are not taken; they are lost", "error", err)
	}
}

// exporter gives up when the process has stopped, and tells the log of what goes wrong, not
// each time.
type exporter struct {
	sdk.SpanExporter
	life context.Context //nolint:containedctx // Stop ends it; the library's has no end of ours
	log  *slog.Logger

	mu   sync.Mutex
	told time.Time
	lost int // spans, since then
}

// ExportSpans implements sdk.SpanExporter. It never fails: what was to be told is told.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.life, cancel)()
	if err := e.SpanExporter.ExportSpans(ctx, spans); err != nil && !errors.Is(e.life.Err(), context.Canceled) {
		e.complain(ctx, len(spans), err)
	}
	return nil
}

func (e *exporter) complain(ctx context.Context, spans int, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lost += spans
	if time.Since(e.told) < complainEvery {
		return
	}
	e.log.WarnContext(ctx, "spans are not taken; they are lost", "spans", e.lost, "error", err)
	e.told, e.lost = time.Now(), 0
}
