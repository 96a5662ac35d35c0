package admin

import (
	"context"
	"testing"
	"time"
)

// TestReadyAnswersBeforeItIsGivenUp: headgate health and the chart's probes wait for 3 s. What
// answers later seems to be away itself, whatever it has to tell.
func TestReadyAnswersBeforeItIsGivenUp(t *testing.T) {
	var left time.Duration
	s := start(t, func(o *Options) {
		o.Ready = func(ctx context.Context) []Check {
			until, _ := ctx.Deadline()
			left = time.Until(until)
			return nil
		}
	})
	ask(t, s, "GET", "/readyz", "") // the answer alone says nothing of time
	if left <= 0 || left > 2500*time.Millisecond {
		t.Errorf("the checks may take %v", left)
	}
}
