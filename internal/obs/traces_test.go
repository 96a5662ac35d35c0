package obs

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"headgate/dispatch/trace"
)

// inMemory gives traces whose spans are kept, and what reads them: it stops the traces.
func inMemory(t *testing.T) (*Traces, func() tracetest.SpanStubs) {
	t.Helper()
	kept := &keeping{InMemoryExporter: tracetest.NewInMemoryExporter()}
	traces, err := newTraces(t.Context(), "test", kept, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return traces, func() tracetest.SpanStubs {
		traces.Stop(t.Context())
		return kept.GetSpans()
	}
}

// keeping keeps what it has when it is stopped.
type keeping struct{ *tracetest.InMemoryExporter }

func (keeping) Shutdown(context.Context) error { return nil }

func TestSpans(t *testing.T) {
	for kind, tt := range map[trace.Kind]struct {
		begins, ends trace.Facts
		name, span   string
		status       string
		errorType    string
	}{
		trace.Request: {trace.Facts{Method: "POST"}, trace.Facts{Pattern: "/profiles/:id", Status: 503}, "POST /profiles/:id", "server", "Error", "503"},
		trace.Accept:  {trace.Facts{Route: "profiles"}, trace.Facts{Tracking: "trk_1"}, "accept profiles", "producer", "Unset", ""},
		trace.Join:    {trace.Facts{Target: "crm"}, trace.Facts{Batch: "bat_1"}, "join crm", "consumer", "Unset", ""},
		trace.Collect: {trace.Facts{Target: "crm"}, trace.Facts{}, "collect crm", "producer", "Unset", ""},
		trace.Attempt: {trace.Facts{Target: "crm"}, trace.Facts{Failed: true, Reason: "timeout"}, "attempt crm", "consumer", "Error", "timeout"},
		trace.Poll:    {trace.Facts{Target: "crm"}, trace.Facts{State: "waiting"}, "poll crm", "consumer", "Unset", ""},
		trace.Settle:  {trace.Facts{Target: "crm"}, trace.Facts{Failed: true}, "settle crm", "consumer", "Error", "_OTHER"},
		trace.Call: {trace.Facts{Target: "crm", Step: "upload", Method: "PUT", Host: "crm.example.com:8443"}, trace.Facts{Status: 404},
			"PUT crm/upload", "client", "Error", "404"},
	} {
		traces, spans := inMemory(t)
		ctx, end := traces.Tracer().Start(trace.With(t.Context(), clientContext), kind, tt.begins)
		end(tt.ends)
		end(trace.Facts{Reason: "a second time", Failed: true})
		list := spans()
		if len(list) != 1 {
			t.Fatalf("%d spans", len(list))
		}
		got := list[0]
		attributes := map[string]string{}
		for _, a := range got.Attributes {
			attributes[string(a.Key)] = a.Value.String()
		}
		if got.Name != tt.name || got.SpanKind.String() != tt.span || got.Status.Code.String() != tt.status || got.Status.Description != "" ||
			attributes["error.type"] != tt.errorType {
			t.Errorf("%s: %s, %v, %v, want %+v", got.Name, got.SpanKind, got.Status, attributes, tt)
		}
		if kind == trace.Call && (attributes["server.address"] != "crm.example.com" || attributes["server.port"] != "8443") {
			t.Errorf("it goes to %v", attributes)
		}
		child := got.Parent.SpanID().String() == clientContext.SpanID() && got.SpanContext.TraceID().String() == clientContext.TraceID()
		if root := kind == trace.Collect; child == root || !root && !got.Parent.IsRemote() {
			t.Errorf("%s: its parent is %v", got.Name, got.Parent)
		}
		if c := trace.From(ctx); c.SpanID() != got.SpanContext.SpanID().String() || !c.Sampled() {
			t.Errorf("%s: the context is %s", got.Name, c)
		}
	}
}

// TestLinksAreBounded: a batch may have any number of members.
func TestLinksAreBounded(t *testing.T) {
	traces, spans := inMemory(t)
	_, end := traces.Tracer().Start(t.Context(), trace.Attempt, trace.Facts{Target: "crm"})
	links := make([]trace.Context, 3*trace.MaxLinks)
	for i := range links {
		links[i] = clientContext
	}
	links[0] = "no trace"
	end(trace.Facts{}, links...)
	if n := len(spans()[0].Links); n != trace.MaxLinks-1 {
		t.Errorf("%d links", n)
	}
}

// TestNotSampled: what the client does not record is not recorded here, and belongs to its trace
// all the same.
func TestNotSampled(t *testing.T) {
	traces, spans := inMemory(t)
	parent := clientContext[:len(clientContext)-1] + "0"
	ctx, end := traces.Tracer().Start(trace.With(t.Context(), parent), trace.Request, trace.Facts{Method: "GET"})
	end(trace.Facts{Status: 200})
	if c := trace.From(ctx); c.TraceID() != parent.TraceID() || c.Sampled() {
		t.Errorf("the context is %s", c)
	}
	if list := spans(); len(list) != 0 {
		t.Errorf("recorded: %v", list)
	}
}

func TestTracesWanted(t *testing.T) {
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
	for name, tt := range map[string]struct {
		env  map[string]string
		on   bool
		says string
	}{
		"nothing":            {nil, false, ""},
		"an endpoint":        {map[string]string{endpoint: "http://collector:4318"}, true, ""},
		"one for traces":     {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://collector/v1/traces"}, true, ""},
		"an exporter":        {map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true, ""},
		"none":               {map[string]string{"OTEL_TRACES_EXPORTER": "none", endpoint: "http://collector:4318"}, false, ""},
		"disabled":           {map[string]string{"OTEL_SDK_DISABLED": "TRUE", endpoint: "http://collector:4318"}, false, ""},
		"another exporter":   {map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, false, `OTEL_TRACES_EXPORTER: "zipkin" is not known; write otlp or none`},
		"no URL":             {map[string]string{endpoint: "collector:4317"}, false, "OTEL_EXPORTER_OTLP_ENDPOINT: not a URL"},
		"grpc":               {map[string]string{endpoint: "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, false, "write http/protobuf"},
		"headers":            {map[string]string{endpoint: "http://c:4318", "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20x,x-org=1"}, true, ""},
		"bad headers":        {map[string]string{endpoint: "http://c:4318", "OTEL_EXPORTER_OTLP_HEADERS": "secret"}, false, "OTEL_EXPORTER_OTLP_HEADERS: write pairs"},
		"a sampler":          {map[string]string{endpoint: "http://c:4318", "OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}, true, ""},
		"no sampler":         {map[string]string{endpoint: "http://c:4318", "OTEL_TRACES_SAMPLER": "some"}, false, `OTEL_TRACES_SAMPLER: "some" is not known`},
		"a share beyond all": {map[string]string{endpoint: "http://c:4318", "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "5"}, false, `OTEL_TRACES_SAMPLER_ARG: "5" is not a share`},
	} {
		on, err := tracesWanted(func(name string) string { return tt.env[name] })
		if on != tt.on || (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %t, %v", name, on, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: a header is shown: %v", name, err)
		}
	}
	if traces, err := NewTraces(t.Context(), "test", func(string) string { return "" }, nil); traces != nil || err != nil || traces.Tracer() != nil {
		t.Errorf("without variables there are %v, %v", traces, err)
	}
}

// TestExporterThatHangs: nobody waits for it, neither who makes spans nor who stops the process.
func TestExporterThatHangs(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(release) })
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "16")
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "16")
	var log locked
	traces, err := NewTraces(t.Context(), "test", os.Getenv, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 10_000 { // many more than its queue takes
		_, end := traces.Tracer().Start(t.Context(), trace.Request, trace.Facts{Method: "GET"})
		end(trace.Facts{Status: 200})
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("spans took %s", took)
	}
	began = time.Now()
	traces.Stop(t.Context())
	if took := time.Since(began); took > flushTime+time.Second {
		t.Errorf("stopping took %s", took)
	}
	if text := log.String(); !strings.Contains(text, "the last spans are not taken") {
		t.Errorf("the log says %s", text)
	}
}

// TestExporterThatIsAway: the log says so, once.
func TestExporterThatIsAway(t *testing.T) {
	var log locked
	e := &exporter{SpanExporter: failing{}, life: t.Context(), log: slog.New(slog.NewTextHandler(&log, nil))}
	for range 3 {
		if err := e.ExportSpans(t.Context(), make([]sdk.ReadOnlySpan, 2)); err != nil {
			t.Error(err)
		}
	}
	if text := log.String(); strings.Count(text, "spans are not taken") != 1 {
		t.Errorf("the log says %s", text)
	}
}

type failing struct{}

func (failing) ExportSpans(context.Context, []sdk.ReadOnlySpan) error { return io.ErrUnexpectedEOF }
func (failing) Shutdown(context.Context) error                        { return nil }

// locked is a buffer for several writers.
type locked struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (l *locked) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(text)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.String()
}

// BenchmarkSpan is one that is recorded, and so what a request pays for each of its two.
func BenchmarkSpan(b *testing.B) {
	traces, err := newTraces(b.Context(), "test", failing{}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer traces.Stop(context.Background())
	ctx, tracer := trace.With(b.Context(), clientContext), traces.Tracer()
	b.ReportAllocs()
	for b.Loop() {
		_, end := tracer.Start(ctx, trace.Request, trace.Facts{Method: "POST"})
		end(trace.Facts{Route: "profiles", Pattern: "/profiles/:id", Tracking: "trk_1", Status: 202})
	}
}
