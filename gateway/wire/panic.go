package wire

import (
	"fmt"
	"runtime"
)

// PanicText says of a panic what the log may hold: what the Go runtime found, and of any other
// value its type only, since it may have been made from what a client sent. The stack says
// where.
func PanicText(value any) string {
	if err, ok := value.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", value)
}
