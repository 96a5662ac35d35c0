package main

import (
	"bytes"
	"fmt"
	"sync/atomic"

	"github.com/valyala/fasthttp"
)

// serveSink is the backends of the throughput measurements, a process of its own: it
// counts what arrives, answers 200 at once, and tells the count at GET /count. A batch
// says in a header how many records it is.
func serveSink(args []string) error {
	var arrived atomic.Int64
	server := &fasthttp.Server{NoDefaultServerHeader: true, NoDefaultDate: true, MaxRequestBodySize: 64 << 20, Handler: func(c *fasthttp.RequestCtx) {
		if c.IsGet() {
			_, _ = fmt.Fprint(c, arrived.Load())
			return
		}
		if bytes.HasPrefix(c.Path(), []byte("/batch")) {
			arrived.Add(int64(bytes.Count(c.Request.Body(), []byte(`"email"`))))
			return
		}
		arrived.Add(1)
	}}
	fmt.Println("sink is up")
	return server.ListenAndServe("127.0.0.1:" + args[1])
}
