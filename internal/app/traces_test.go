package app_test

import (
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"testing"

	spans "go.opentelemetry.io/proto/otlp/trace/v1"
)

// TestTraces follows two requests through a gateway, Redis and a worker to a backend that fails
// once, one that is polled and one that takes batches, and looks at all that a collector got.
func TestTraces(t *testing.T) {
	r := newReceiver(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", r.URL)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	t.Setenv("OTEL_SERVICE_NAME", "headgate-test")
	w := newTracedWorld(t)
	ids := w.people(t)
	w.flush()
	tree := r.tree(t)

	// The request of the client that traces.
	var server *spans.Span
	for _, s := range tree.named("POST /people/:id", nil, 2) {
		if hex.EncodeToString(s.GetTraceId()) == clientTrace {
			server = s
		} else if len(s.GetParentSpanId()) != 0 {
			t.Errorf("a request without a trace has a parent: %v", s)
		}
	}
	if server == nil || hex.EncodeToString(server.GetParentSpanId()) != clientSpan || server.GetKind() != spans.Span_SPAN_KIND_SERVER {
		t.Fatalf("the server's span is %v", server)
	}
	tree.has(server, map[string]any{
		"http.request.method": "POST", "http.route": "/people/:id", "http.response.status_code": int64(202), "url.scheme": "http",
		"headgate.route": "people", "headgate.tracking_id": ids[0],
	})
	producer := tree.named("accept people", server, 1)[0]
	if producer.GetKind() != spans.Span_SPAN_KIND_PRODUCER {
		t.Errorf("accepting is a %v", producer.GetKind())
	}
	tree.has(producer, map[string]any{
		"messaging.system": "headgate", "messaging.operation.type": "send", "messaging.destination.name": "people", "headgate.tracking_id": ids[0],
	})

	// Both tries of the CRM, whichever of the requests had the failure.
	var failed []*spans.Span
	for _, s := range tree.named("attempt crm", nil, 3) {
		call := tree.named("PUT crm/call", s, 1)[0]
		want := int64(200)
		if s.GetStatus().GetCode() == spans.Status_STATUS_CODE_ERROR {
			failed, want = append(failed, s), 503
			tree.has(s, map[string]any{"error.type": "server_error", "headgate.state": "retrying", "headgate.reason": "server_error"})
			tree.has(call, map[string]any{"error.type": "server_error"})
		} else {
			tree.has(s, map[string]any{"headgate.state": "succeeded", "headgate.reason": nil})
		}
		if s.GetKind() != spans.Span_SPAN_KIND_CONSUMER || call.GetKind() != spans.Span_SPAN_KIND_CLIENT {
			t.Errorf("an attempt is a %v, its call a %v", s.GetKind(), call.GetKind())
		}
		host, _, _ := strings.Cut(w.backend.host(), ":")
		tree.has(call, map[string]any{"http.request.method": "PUT", "http.response.status_code": want, "server.address": host, "headgate.target": "crm"})
	}
	if len(failed) != 1 {
		t.Errorf("%d attempts failed, want 1", len(failed))
	}

	// One job is polled twice, the other once.
	submit := tree.named("attempt jobs", producer, 1)[0]
	tree.named("POST jobs/submit", submit, 1)
	tree.has(submit, map[string]any{"headgate.state": "delivering", "headgate.step": "submit"})
	for _, s := range tree.named("poll jobs", nil, 3) {
		tree.named("GET jobs/finish", s, 1)
		tree.has(s, map[string]any{"messaging.operation.type": "process", "headgate.step": "finish"})
	}
	tree.named("DELETE jobs/forget", tree.named("settle jobs", producer, 1)[0], 1)

	// A batch: joined in the members' traces, sent in its own.
	joined := tree.named("join bulk", producer, 1)[0]
	batch, _ := attributes(joined)["headgate.batch_id"].(string)
	root := tree.named("collect bulk", nil, 1)[0]
	if len(root.GetParentSpanId()) != 0 || slices.Equal(root.GetTraceId(), server.GetTraceId()) || !strings.HasPrefix(batch, "bat_") {
		t.Errorf("the trace of %s begins with %v", batch, root)
	}
	tree.has(root, map[string]any{"headgate.tracking_id": batch})
	if links := root.GetLinks(); len(links) != 1 || tree.byID[hex.EncodeToString(links[0].GetSpanId())].GetName() != "join bulk" {
		t.Errorf("the batch's first span has the links %v", links)
	}
	sent := tree.named("attempt bulk", root, 1)[0]
	tree.has(sent, map[string]any{"messaging.batch.message_count": int64(2), "headgate.tracking_id": batch})
	tree.named("POST bulk/call", sent, 1)
	tree.named("settle bulk", root, 1)
	var linked []string
	for _, link := range sent.GetLinks() {
		from := tree.byID[hex.EncodeToString(link.GetSpanId())]
		if from.GetName() != "accept people" {
			t.Errorf("the batch is linked with %v", from)
		}
		linked = append(linked, attributes(from)["headgate.tracking_id"].(string))
	}
	slices.Sort(linked)
	if want := slices.Sorted(slices.Values(ids[:])); !slices.Equal(linked, want) {
		t.Errorf("the batch is linked with %q, want %q", linked, want)
	}

	// Each call carries its own span, and nothing else that the client sent.
	for _, req := range w.backend.requests() {
		parts := strings.Split(req.Header.Get("Traceparent"), "-")
		if len(parts) != 4 || tree.byID[parts[2]].GetKind() != spans.Span_SPAN_KIND_CLIENT || hex.EncodeToString(tree.byID[parts[2]].GetTraceId()) != parts[1] {
			t.Errorf("%s %s carries %q", req.Method, req.URL.Path, req.Header.Get("Traceparent"))
		}
		if req.Header.Get("Baggage") != "" {
			t.Errorf("%s %s carries baggage", req.Method, req.URL.Path)
		}
	}

	text := r.text.String()
	for _, leak := range []string{"planted", "203.0.113.77", "@example.com"} {
		if i := strings.Index(text, leak); i >= 0 {
			t.Errorf("%q is in what was exported: …%s…", leak, text[max(0, i-200):min(len(text), i+80)])
		}
	}
	for _, want := range []string{`"headgate-test"`, `"deployment.environment.name"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the resource does not say %s", want)
		}
	}
}

// TestTracesOff: without a variable that names an exporter, the client's trace goes to the
// backends as it came, and batches have none.
func TestTracesOff(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	t.Setenv("OTEL_TRACES_EXPORTER", "")
	w := newTracedWorld(t)
	w.people(t)
	w.flush()
	const from = "00-" + clientTrace + "-" + clientSpan + "-01"
	own := 0
	for _, req := range w.backend.requests() {
		switch got := req.Header.Get("Traceparent"); {
		case got == from && req.URL.Path != "/bulk":
			own++
		case got != "":
			t.Errorf("%s %s carries %q", req.Method, req.URL.Path, got)
		}
		if req.Method == http.MethodPost && req.Header.Get("Baggage") != "" {
			t.Error("baggage is forwarded")
		}
	}
	if own < 4 { // crm, the job, a poll, and its end
		t.Errorf("%d calls carry the client's trace", own)
	}
}
