package main

import (
	"bytes"
	"fmt"
	"sync/atomic"

	"github.com/valyala/fasthttp"
)

// sink is the backends of the throughput measurements, a process of its own: it counts
// what arrives and answers 200 at once.
type sink struct {
	arrived, bytes, polls atomic.Int64
}

func serveSink(args []string) error {
	s := &sink{}
	server := &fasthttp.Server{NoDefaultServerHeader: true, NoDefaultDate: true, MaxRequestBodySize: 64 << 20, Handler: s.serve}
	fmt.Println("sink is up")
	return server.ListenAndServe("127.0.0.1:" + args[1])
}

// serve takes a record, a batch of records below /batch, or a job below /jobs that never
// ends. GET /count, /bytes and /polls tell what there was.
func (s *sink) serve(c *fasthttp.RequestCtx) {
	job := bytes.HasPrefix(c.Path(), []byte("/jobs/"))
	switch {
	case c.IsGet() && job:
		s.polls.Add(1)
		c.SetContentType("application/json")
		c.SetBodyString(`{"state":"running"}`)
	case c.IsGet():
		numbers := map[string]*atomic.Int64{"/count": &s.arrived, "/bytes": &s.bytes, "/polls": &s.polls}
		if n := numbers[string(c.Path())]; n != nil {
			_, _ = fmt.Fprint(c, n.Load())
		}
	case job:
		s.arrived.Add(1)
		c.SetContentType("application/json")
		_, _ = fmt.Fprintf(c, `{"id":%q}`, c.Path()[len("/jobs/"):])
	case bytes.HasPrefix(c.Path(), []byte("/batch")):
		s.arrived.Add(int64(bytes.Count(c.Request.Body(), []byte(`"email"`))))
	default:
		s.bytes.Add(int64(len(c.Request.Body())))
		s.arrived.Add(1)
	}
}
