package target

import (
	"context"
	"net/http/httptest"
	"testing"

	"headgate/dispatch/tracking"
)

// BenchmarkRun is one call over a kept-alive connection to a server in the same process.
func BenchmarkRun(b *testing.B) {
	for name, yaml := range map[string]string{
		"payload":    "put: /contacts/${{ .params.id }}",
		"mapped":     "put: /contacts/${{ .params.id }}\njson: {email: \"${{ .payload.email }}\", n: \"${{ .payload.n }}\"}",
		"and result": "put: /contacts/${{ .params.id }}\nresult: {id: \"${{ .response.body.id }}\"}",
	} {
		b.Run(name, func(b *testing.B) {
			server := httptest.NewServer(says(200, `{"id":7}`))
			defer server.Close()
			p := mustCompile(b, server.URL, "url: ${URL}\n"+yaml)
			e := NewEngine(Outgoing{}, nil)
			defer e.Close()
			in := input()
			b.ReportAllocs()
			for b.Loop() {
				if end, ok := e.Run(context.Background(), p, in).(tracking.Concluded); !ok || end.State != tracking.Succeeded {
					b.Fatalf("%+v", end)
				}
			}
		})
	}
}
