package wire

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestPanicText(t *testing.T) {
	for _, value := range []any{"ada@example.com", errors.New("ada@example.com"), fmt.Errorf("x: %w", errors.New("ada@example.com"))} {
		if got := PanicText(value); strings.Contains(got, "ada") || got == "" {
			t.Errorf("%v is told as %q", value, got)
		}
	}
	defer func() {
		if got := PanicText(recover()); !strings.Contains(got, "index out of range") {
			t.Errorf("what the runtime found is told as %q", got)
		}
	}()
	_ = make([]int, 1)[len(t.Name())]
}
