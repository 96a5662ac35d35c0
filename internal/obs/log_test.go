package obs

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"

	"headgate/dispatch/trace"
)

const clientContext trace.Context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	log, level, err := Logger(&out, "json", "warn")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("before")
	level.Set(slog.LevelInfo)
	log.Info("after")
	if text := out.String(); bytes.Contains(out.Bytes(), []byte("before")) || !bytes.Contains(out.Bytes(), []byte("after")) {
		t.Errorf("the level was changed between: %s", text)
	}
	for _, bad := range [][2]string{{"xml", "info"}, {"json", "loud"}} {
		if _, _, err := Logger(&out, bad[0], bad[1]); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}

// TestLinesNameTheirTrace: by their context, however the logger was made.
func TestLinesNameTheirTrace(t *testing.T) {
	var out bytes.Buffer
	lines := NewLines(&out)
	log, _, err := Logger(lines, "json", "info")
	if err != nil {
		t.Fatal(err)
	}
	traces, spans := inMemory(t)
	client := trace.With(t.Context(), clientContext)
	own, end := traces.Tracer().Start(client, trace.Request, trace.Facts{Method: "GET"})
	log.InfoContext(t.Context(), "none")
	log.With("a", 1).InfoContext(client, "the client's")
	log.ErrorContext(own, "our own")
	end(trace.Facts{})
	if err := lines.Flush(); err != nil {
		t.Fatal(err)
	}
	span := spans()[0].SpanContext
	want := []map[string]any{
		{"msg": "none", "trace_id": nil, "span_id": nil},
		{"msg": "the client's", "trace_id": clientContext.TraceID(), "span_id": nil},
		{"msg": "our own", "trace_id": span.TraceID().String(), "span_id": span.SpanID().String()},
	}
	for dec, i := json.NewDecoder(&out), 0; i < len(want); i++ {
		var got map[string]any
		if err := dec.Decode(&got); err != nil {
			t.Fatal(err)
		}
		for key, value := range want[i] {
			if got[key] != value {
				t.Errorf("%v: %s is %v, want %v", got["msg"], key, got[key], value)
			}
		}
	}
}
