package routetests

import (
	"io"
	"net/http"
	"reflect"
	"testing"

	"headgate/config/yamlsrc"
)

// callTo makes a backend with these calls be called a number of times by GET /b.
func callTo(t *testing.T, calls string, times int) *backend {
	t.Helper()
	var report yamlsrc.Report
	b := &backend{}
	node(t, calls).Decode(&b.script, &report)
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	for range times {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://crm.example/b", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := b.RoundTrip(r); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	}
	return b
}

func TestCallsAreCounted(t *testing.T) {
	const one, repeated = "{answer: {status: 200}}", "{expect: {path: /b}, answer: {timeout: true}, repeat: true}"
	tests := map[string]struct {
		calls    string
		times    int
		failures []string
		missing  []string
		stray    bool
	}{
		"as written":       {"[" + one + "]", 1, nil, nil, false},
		"one too many":     {"[" + one + "]", 2, []string{"call 2: not expected: GET https://crm.example/b"}, nil, true},
		"none expected":    {"[]", 1, []string{"call 1: not expected: GET https://crm.example/b"}, nil, true},
		"repeated":         {"[" + one + ", " + repeated + "]", 50, nil, nil, false},
		"repeated never":   {"[" + one + ", " + repeated + "]", 1, nil, []string{"call 2: expected, but not made: /b"}, false},
		"nothing is asked": {"[" + one + "]", 0, nil, []string{"call 1: expected, but not made"}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := callTo(t, tt.calls, tt.times)
			if !reflect.DeepEqual(b.failures, tt.failures) || !reflect.DeepEqual(b.missing(), tt.missing) || b.stray != tt.stray {
				t.Errorf("failures %q, missing %q, stray %v", b.failures, b.missing(), b.stray)
			}
		})
	}
}

func TestDifferencesOfRepeatedCallsAreFew(t *testing.T) {
	b := callTo(t, "[{expect: {path: /a}, answer: {status: 200}, repeat: true}]", 1000)
	if len(b.failures) != enough || b.made != 1000 {
		t.Errorf("%d differences of %d calls, want %d", len(b.failures), b.made, enough)
	}
}
