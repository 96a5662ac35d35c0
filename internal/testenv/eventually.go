package testenv

import (
	"testing"
	"time"
)

// Eventually fails the test unless cond holds within the timeout. It asks at once and
// then every few milliseconds, in the calling goroutine. msg says what was waited for.
func Eventually(t testing.TB, timeout time.Duration, cond func() bool, msg string) {
	t.Helper()
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	look := time.NewTicker(min(5*time.Millisecond, max(timeout/10, time.Microsecond)))
	defer look.Stop()
	for !cond() {
		select {
		case <-look.C:
		case <-deadline.C:
			if cond() { // the last look counts: the process may have been starved
				return
			}
			t.Fatalf("not within %v: %s", timeout, msg)
		}
	}
}
