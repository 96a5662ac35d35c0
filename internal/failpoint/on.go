//go:build failpoint

package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// variable is the environment variable that arms a place.
const variable = "HEADGATE_FAILPOINT"

var (
	armed, after = read(os.Getenv(variable))
	hits         atomic.Int64
)

// read takes NAME:N apart; N is 1 when it is left out.
func read(text string) (name string, n int64) {
	name, count, _ := strings.Cut(text, ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil {
		n = 1
	}
	return name, n
}

// Hit ends the process if the place is the armed one and has been hit often enough.
func Hit(name string) {
	if name != armed || hits.Add(1) != after {
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal may take a moment; nothing must happen after it
}
