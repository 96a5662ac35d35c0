package testenv

import (
	"testing"

	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"
)

// Leaks runs a package's tests and fails when goroutines are left afterwards. It is
// the whole body of a TestMain; it ends the process. The Redis client says nothing
// meanwhile: its line for each refused connection would hide what a failed test says.
func Leaks(m *testing.M, more ...goleak.Option) {
	logging.Disable()
	goleak.VerifyTestMain(m, append(Background(), more...)...)
}

// Background lists the goroutines of libraries that are known to outlive a clean
// shutdown and to be harmless.
func Background() []goleak.Option {
	return []goleak.Option{
		// fasthttp keeps one goroutine per process that renders the Date header...
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// ...and the worker pool's cleaner sees up to 10 s late that its server has ended.
		// The workers themselves are not listed: one that stays is a handler that hangs or
		// a connection that the test forgot to close.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		// go-redis probes a server that refused connections once a second, and sees only
		// then that its pool was closed.
		goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"),
	}
}
