package trace_test

import (
	"context"
	"testing"

	"headgate/dispatch/trace"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestParse(t *testing.T) {
	for value, want := range map[string]bool{
		parent: true,
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00":   true,
		"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01":   false,
		"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01":   false,
		"00-00000000000000000000000000000000-b7ad6b7169203331-01":   false,
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01":   false,
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x": false,
		"00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01":   false,
		"": false,
	} {
		if got := trace.Parse([]string{value}) != ""; got != want {
			t.Errorf("%q is taken: %t, want %t", value, got, want)
		}
	}
	if got := trace.Parse([]string{parent, parent}); got != "" {
		t.Errorf("two headers gave %q", got)
	}
	if got := trace.Parse(nil); got != "" {
		t.Errorf("no header gave %q", got)
	}
}

func TestContext(t *testing.T) {
	c := trace.From(trace.With(t.Context(), parent))
	if c.TraceID() != "0af7651916cd43dd8448eb211c80319c" || c.SpanID() != "b7ad6b7169203331" || !c.Sampled() {
		t.Errorf("%s: trace %s, span %s, sampled %t", c, c.TraceID(), c.SpanID(), c.Sampled())
	}
	if c := c[:len(c)-1] + "2"; c.Sampled() {
		t.Errorf("%s passes for sampled", c)
	}
	none := trace.From(trace.With(t.Context(), ""))
	if none != "" || none.TraceID() != "" || none.SpanID() != "" || none.Sampled() {
		t.Errorf("no trace is %q", none)
	}
}

// TestOffCostsNothing: without a tracer, a span is two function calls and no allocation.
func TestOffCostsNothing(t *testing.T) {
	var off trace.Tracer
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() { span(ctx, off) }); n != 0 {
		t.Errorf("%v allocations a span", n)
	}
	if got, _ := off.Start(ctx, trace.Call, trace.Facts{}); got != ctx {
		t.Error("the context has changed")
	}
}

func BenchmarkOff(b *testing.B) {
	var off trace.Tracer
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		span(ctx, off)
	}
}

func span(ctx context.Context, tracer trace.Tracer) {
	_, end := tracer.Start(ctx, trace.Call, trace.Facts{Target: "crm", Step: "upload", Method: "POST", Host: "crm.example.com"})
	end(trace.Facts{Status: 200})
}
