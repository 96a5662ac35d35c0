// Package gateway owns the public HTTP side: it reads requests, asks the policies of
// the matched route, maps the body for each target, hands it to the dispatch and
// answers; and it shows what became of it under /tracking/. It knows Fiber, and nothing
// of Redis, queues, backends or the names of single policies.
package gateway

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"

	"headgate/dispatch/trace"
	"headgate/gateway/wire"
	"headgate/policies"
	"headgate/routes"
)

// Table is what the gateway needs of *routes.Table.
type Table interface {
	// Match finds the route of a request; allow lists the methods a path has when only
	// the method differs. path is as it came, still percent-encoded.
	Match(method, path string) (r *routes.Route, params map[string]string, allow []string)
	// TrackingAuth guards GET /tracking; nil lets anyone ask, as the anonymous tenant.
	TrackingAuth() *routes.Auth
}

var _ Table = (*routes.Table)(nil)

// Server is the public listener. Make one with New.
type Server struct {
	o      Options
	runner *wire.Runner

	draining atomic.Bool
	waiters  chan struct{} // one slot for each client that waits for a final state

	// base ends when Stop runs out of time; waiting ends as soon as Stop begins, so that
	// long polls do not hold it up.
	base    context.Context
	abandon context.CancelFunc
	waiting context.Context
	unwait  context.CancelFunc

	// trackingAuth is Table.TrackingAuth as a policy; a field so that tests can do
	// without a route file.
	trackingAuth func(Table) policies.Policy
}

// New makes a server; it does nothing before Start.
func New(o Options) *Server {
	o = o.withDefaults()
	s := &Server{o: o, waiters: make(chan struct{}, o.MaxWaiters), trackingAuth: trackingAuth}
	s.base, s.abandon = context.WithCancel(context.Background())
	s.waiting, s.unwait = context.WithCancel(s.base)
	s.runner = wire.New(wire.Config{
		Handler:      s.handle,
		ReadTimeout:  o.ReadTimeout,
		WriteTimeout: o.WriteTimeout,
		IdleTimeout:  o.IdleTimeout,
		MaxBody:      int(o.MaxBody),
		MaxHead:      o.MaxHeader,
		Refused:      s.refused,
		Panicked: func(value any, stack []byte) {
			o.Log.Error("panic", "panic", wire.PanicText(value), "stack", string(stack))
		},
		Abandon: s.abandon,
	})
	return s
}

// trackingAuth avoids the nil pointer inside a non-nil interface.
func trackingAuth(t Table) policies.Policy { return authPolicy(t.TrackingAuth()) }

func authPolicy(a *routes.Auth) policies.Policy {
	if a == nil {
		return nil
	}
	return a
}

// Start binds addr and serves. Connections are taken when it returns; ctx bounds the
// binding only.
func (s *Server) Start(ctx context.Context, addr string) error {
	return s.runner.Start(ctx, addr)
}

// Addr is the address that Start bound; empty before.
func (s *Server) Addr() string { return s.runner.Addr() }

// Drain lets each answer end its connection from now on, so that a client's or load balancer's
// next request goes elsewhere. Nothing is refused: what still comes is accepted.
func (s *Server) Drain() { s.draining.Store(true) }

// Stop drains, lets the requests under way end, at most until ctx ends, and cuts those
// that have not. No goroutine of the server is left when it returns nil.
func (s *Server) Stop(ctx context.Context) error {
	s.Drain()
	s.unwait()
	defer s.abandon()
	return s.runner.Stop(ctx)
}

// handle is the only Fiber handler: routing is the table's.
func (s *Server) handle(fc *fiber.Ctx) error {
	start := time.Now()
	c, a := readCall(fc, s.o.TrustedProxies, start)
	ctx, end := s.o.Trace.Start(trace.With(s.base, trace.Parse(c.req.Header["Traceparent"])), trace.Request, trace.Facts{Method: c.req.Method})
	if a == nil {
		a = s.answerCall(ctx, c)
	}
	if s.draining.Load() {
		a.close = true // the next request belongs to another server
	}
	a.write(fc, c.header)
	s.access(ctx, c, a.status, time.Since(start))
	end(trace.Facts{Route: c.note.route, Pattern: c.note.pattern, Tracking: c.note.trackingID, Status: a.status})
	return nil
}

// answerCall turns a panic into a 500: nothing of it reaches the client.
func (s *Server) answerCall(ctx context.Context, c *call) (a *answer) {
	defer func() {
		if value := recover(); value != nil {
			a = s.panicked(ctx, c, value, debug.Stack())
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, s.o.RequestTimeout)
	defer cancel()
	table := s.o.Table()
	if id, ok := trackingPath(c.req.Path); ok {
		return s.tracking(ctx, c, table, id)
	}
	if token, ok := callbackPath(c.req.Path); ok && s.o.Callbacks != nil {
		return s.callback(ctx, c, token)
	}
	return s.route(ctx, c, table)
}

func (s *Server) panicked(ctx context.Context, c *call, value any, stack []byte) *answer {
	s.o.Log.ErrorContext(ctx, "panic", "method", c.req.Method, "route", c.note.route, "panic", wire.PanicText(value), "stack", string(stack))
	c.note.reason = "panic"
	return problem("internal", http.StatusInternalServerError, "The request could not be handled.")
}

// access writes the line that a request gets. The path, the query, the body, the headers, who
// asks and from where are not in it: they may be personal data or credentials.
func (s *Server) access(ctx context.Context, c *call, status int, took time.Duration) {
	if s.o.Observe != nil {
		s.o.Observe(c.note.route, status, took)
	}
	if !s.written(status) {
		return
	}
	attrs := make([]slog.Attr, 0, 8)
	attrs = append(attrs,
		slog.String("method", c.req.Method), slog.String("route", c.note.route),
		slog.Int("status", status), slog.Float64("duration_ms", float64(took.Microseconds())/1000))
	for _, a := range []struct{ key, value string }{
		{"tracking_id", c.note.trackingID}, {"tenant", c.note.tenant}, {"reason", c.note.reason},
	} {
		if a.value != "" {
			attrs = append(attrs, slog.String(a.key, a.value))
		}
	}
	s.o.Log.LogAttrs(ctx, slog.LevelInfo, "request", attrs...)
}

// written reports whether a request gets its line: each one that was not answered well, and of
// the others the share that was asked for.
func (s *Server) written(status int) bool {
	return status >= http.StatusBadRequest || s.o.AccessSample >= 1 ||
		rand.Float64() < s.o.AccessSample //nolint:gosec // nothing hangs on who can foretell it
}

// refused logs what was answered before it was a request.
func (s *Server) refused(status int, reason string) {
	s.o.Log.Info("request", "route", "", "status", status, "reason", reason)
	if s.o.Observe != nil {
		s.o.Observe("", status, 0)
	}
}
