package gateway

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestAccessLogIsSampled: what went well is written as often as was asked for, what did not
// always.
func TestAccessLogIsSampled(t *testing.T) {
	const requests = 400
	for name, tt := range map[string]struct {
		share    float64
		from, to int // lines of requests that were answered well
	}{
		"default": {0, requests, requests},
		"none":    {-1, 0, 0},
		"half":    {0.5, requests / 4, 3 * requests / 4}, // beyond ten standard deviations
	} {
		t.Run(name, func(t *testing.T) {
			var counted atomic.Int64
			r := start(t, func(_ *rig, o *Options) {
				o.AccessSample, o.Observe = tt.share, func(string, int, time.Duration) { counted.Add(1) }
			})
			for range requests {
				if got := r.do("POST", "/profiles/42", body).status; got != 202 {
					t.Fatalf("answered %d", got)
				}
			}
			for range 10 {
				r.do("GET", "/nowhere", "")
			}
			log := r.log.String()
			if n := strings.Count(log, `"status":202`); n < tt.from || n > tt.to {
				t.Errorf("%d lines of %d", n, requests)
			}
			if n := strings.Count(log, `"status":404`); n != 10 {
				t.Errorf("%d lines of 10 that were answered 404", n)
			}
			if n := counted.Load(); n != requests+10 {
				t.Errorf("%d counted", n)
			}
		})
	}
}
