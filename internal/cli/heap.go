package cli

import (
	"os"
	"runtime/debug"
)

// ballast is never touched, so that it takes no memory: the collector counts it as in use,
// and waits for about as much garbage more. A gateway holds some 5 MB; without the
// ballast it would collect after each 6 MB, which are less than a thousand requests. A
// higher GOGC would do the same, but let a process that holds much grow as many times.
const ballastBytes = 20 << 20

// newBallast gives nil when the operator has set how often the collector works, or has set a
// memory limit, to which it counts, of which it would be much.
func newBallast() []byte {
	if os.Getenv("GOGC") != "" || debug.SetMemoryLimit(-1) < 10*ballastBytes {
		return nil
	}
	return make([]byte, ballastBytes)
}
