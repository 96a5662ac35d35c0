package testenv

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func sprintf(format string, args ...any) string { return fmt.Sprintf(format, args...) }

func TestEventually(t *testing.T) {
	asked := 0
	said := saying(t, func(tb testing.TB) {
		Eventually(tb, 10*time.Second, func() bool { asked++; return asked == 3 }, "the third question")
	})
	if said != "" || asked != 3 {
		t.Errorf("asked %d times, said %q; want 3 and nothing", asked, said)
	}
	said = saying(t, func(tb testing.TB) {
		Eventually(tb, 5*time.Millisecond, func() bool { return false }, "what never comes")
	})
	if !strings.Contains(said, "what never comes") || !strings.Contains(said, "5ms") {
		t.Errorf("said %q, want what was waited for and how long", said)
	}
}

func TestEventuallyAsksAtOnce(t *testing.T) {
	said := saying(t, func(tb testing.TB) { Eventually(tb, 0, func() bool { return true }, "nothing") })
	if said != "" {
		t.Errorf("a condition that holds failed: %s", said)
	}
}

func TestLeakIsFound(t *testing.T) {
	forever := make(chan struct{})
	ended := make(chan struct{})
	go func() { defer close(ended); <-forever }()
	if err := goleak.Find(Background()...); err == nil {
		t.Error("a goroutine that waits forever was not found")
	}
	close(forever)
	<-ended
}
