package cli

import (
	"runtime/debug"
	"testing"
)

// TestBallast: the limit that the chart sets leaves it, what an operator sets does not.
func TestBallast(t *testing.T) {
	for name, tt := range map[string]struct {
		gogc  string
		limit int64
		is    bool
	}{
		"nothing set":     {limit: -1, is: true},
		"a usual limit":   {limit: 460 << 20, is: true},
		"a narrow limit":  {limit: 100 << 20},
		"a pace is given": {gogc: "200", limit: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOGC", tt.gogc)
			defer debug.SetMemoryLimit(debug.SetMemoryLimit(tt.limit))
			if got := newBallast() != nil; got != tt.is {
				t.Errorf("a ballast: %t", got)
			}
		})
	}
}
