// Package admin owns the operator's listener: health, metrics, profiles, the dashboard
// of the queues and the admin API, which openapi.yaml describes. It knows no routes; what it
// shows and changes is handed to it as handlers, functions and small interfaces.
package admin

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/klauspost/compress/gzhttp"

	"headgate/config/secret"
	"headgate/gateway/wire"
)

const (
	maxBody = 11 << 20 // a corrected payload is the largest thing that is posted
	maxHead = 16 << 10
)

// Options of New. What is nil is not there: 404.
type Options struct {
	// Token opens everything but the health checks. Empty: nothing else is ever open.
	Token secret.Value
	Log   *slog.Logger // default: none
	// Ready tells what requests need and how it stands; it is asked on each /readyz.
	Ready func(ctx context.Context) []Check
	// Metrics serves /metrics.
	Metrics http.Handler
	// DeadLetters is what /deadletters shows and changes.
	DeadLetters DeadLetters
	// Dispatches is what /dispatches finds.
	Dispatches Dispatches
	// Reload reads the files again and tells what came of it, and Reloads how it stands.
	Reload  func(ctx context.Context) Reload
	Reloads func(ctx context.Context) ReloadState
	// Targets is what /targets shows and changes.
	Targets Targets
	// Config gives what /config shows: anything that JSON takes, without secrets.
	Config func() any
	// Level is the least severe level of the process's log, for /loglevel.
	Level *slog.LevelVar
	// Asynqmon serves everything under /asynqmon, which must be its root path.
	Asynqmon http.Handler
	// Redis is nil when all of Redis answers, which Asynqmon does not tell by itself.
	Redis func(ctx context.Context) error
	// AsynqmonWrites lets its buttons through; otherwise it is for looking only.
	AsynqmonWrites bool
}

// Server is the second listener. Make one with New.
type Server struct {
	o       Options
	session session
	guesses *guesses
	// asynqmon is the dashboard as it is served; nil when there is none.
	asynqmon http.Handler
	origins  *http.CrossOriginProtection
	api      []endpoint
	level    level
	runner   *wire.Runner
	base     context.Context
	abandon  context.CancelFunc
}

// New makes a server; it does nothing before Start.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{o: o, session: newSession(o.Token), guesses: newGuesses(time.Now), origins: http.NewCrossOriginProtection()}
	if o.Asynqmon != nil {
		s.asynqmon = gzhttp.GzipHandler(dashboard{s})
	}
	s.base, s.abandon = context.WithCancel(context.Background())
	s.level = level{v: o.Level, log: o.Log}
	s.api = s.endpoints()
	serve := adaptor.HTTPHandler(s.handler())
	s.runner = wire.New(wire.Config{
		Handler: func(c *fiber.Ctx) error {
			// The adaptor answers a target that net/url cannot parse with a bare 500.
			if _, err := url.ParseRequestURI(string(c.Request().Header.RequestURI())); err != nil {
				return badTarget(c)
			}
			return serve(c)
		},
		ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		MaxBody: maxBody, MaxHead: maxHead,
		Panicked: func(value any, stack []byte) {
			o.Log.Error("panic", "listener", "admin", "panic", fmt.Sprint(value), "stack", string(stack))
		},
	})
	return s
}

func badTarget(c *fiber.Ctx) error {
	p := problem(http.StatusBadRequest, "bad-request", "Bad request", "The request target is not well-formed.")
	c.Status(p.Status)
	c.Set(fiber.HeaderContentType, wire.ProblemType)
	return c.Send(p.JSON())
}

// Start binds addr and serves. Connections are taken when it returns; ctx bounds the
// binding only.
func (s *Server) Start(ctx context.Context, addr string) error {
	return s.runner.Start(ctx, addr)
}

// Addr is the address that Start bound; empty before.
func (s *Server) Addr() string { return s.runner.Addr() }

// SetToken replaces the token; who has shown the former one must show the new one.
func (s *Server) SetToken(token secret.Value) { s.session.set(token) }

// Stop ends what takes long (a profile) and lets the requests under way answer, at most
// until ctx ends.
func (s *Server) Stop(ctx context.Context) error {
	s.abandon()
	s.level.stop()
	return s.runner.Stop(ctx)
}
