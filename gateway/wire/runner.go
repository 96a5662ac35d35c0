// Package wire owns the sockets of the two listeners: it runs a Fiber application
// without leaking goroutines or waiting for ever, and answers what never becomes a
// request (malformed, too large, too slow) as a problem. It knows no routes, no
// policies and no dispatch.
package wire

import (
	"context"
	"fmt"
	"net"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// forceGrace is how long Stop waits for handlers once their connections were closed.
const forceGrace = time.Second

// Config of a Runner. Zero durations mean no limit, so callers must set them.
type Config struct {
	// Handler gets every request whose method is known.
	Handler fiber.Handler
	// ReadTimeout is for the whole request, head and body.
	ReadTimeout  time.Duration
	WriteTimeout time.Duration
	// IdleTimeout is between two requests on one connection.
	IdleTimeout time.Duration
	MaxBody     int // bytes, as they come over the wire
	MaxHead     int // bytes of the request line and all headers

	// Refused is told about requests that were answered without Handler; nil: nobody.
	Refused func(status int, reason string)
	// Panicked is told about a panic that Handler let through; nil: nobody.
	Panicked func(value any, stack []byte)
	// Abandon is called when Stop ran out of time: handlers must return now.
	Abandon func()
}

// Runner serves one Fiber application on one TCP listener. It cannot be started twice.
type Runner struct {
	cfg      Config
	app      *fiber.App
	listener *listener
	served   chan error // what serving ended with

	stopOnce sync.Once
	stopErr  error
}

// New makes a Runner.
func New(cfg Config) *Runner {
	r := &Runner{cfg: cfg, served: make(chan error, 1)}
	r.app = fiber.New(fiber.Config{
		DisableStartupMessage:        true,
		StrictRouting:                true,
		CaseSensitive:                true,
		UnescapePath:                 false,
		DisablePreParseMultipartForm: true, // it would take the body away
		BodyLimit:                    cfg.MaxBody,
		ReadBufferSize:               cfg.MaxHead,
		ReadTimeout:                  cfg.ReadTimeout,
		WriteTimeout:                 cfg.WriteTimeout,
		IdleTimeout:                  cfg.IdleTimeout,
		ErrorHandler:                 r.fiberError,
	})
	r.app.Use(cfg.Handler)
	server := r.app.Server()
	server.CloseOnShutdown = true
	server.ErrorHandler = r.protocolError
	server.ExpectHandler = r.expect
	server.Handler = r.guard(r.app.Handler())
	return r
}

// guard answers methods that Fiber has no slot for, which it would do in plain text,
// and is the last net under a panic: fasthttp has none and would end the process.
func (r *Runner) guard(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	methods := r.app.Config().RequestMethods
	return func(ctx *fasthttp.RequestCtx) {
		defer func() {
			if value := recover(); value != nil {
				if r.cfg.Panicked != nil {
					r.cfg.Panicked(value, debug.Stack())
				}
				ctx.Response.Reset()
				internalProblem.write(ctx)
			}
		}()
		if !slices.Contains(methods, string(ctx.Method())) {
			r.refuse(ctx, methodProblem)
			return
		}
		next(ctx)
	}
}

// Start binds the address and serves; connections are taken when it returns.
func (r *Runner) Start(ctx context.Context, addr string) error {
	var config net.ListenConfig
	bound, err := config.Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", addr, err)
	}
	r.listener = newListener(bound)
	go func() { r.served <- r.app.Listener(r.listener) }()
	return nil
}

// Addr is the bound address, with the port that was chosen for :0. Empty before Start.
func (r *Runner) Addr() string {
	if r.listener == nil {
		return ""
	}
	return r.listener.Addr().String()
}

// Stop takes no more connections and waits for the requests under way, at most until
// ctx ends; then it closes their connections and reports ctx's error. A second call
// gives the result of the first.
func (r *Runner) Stop(ctx context.Context) error {
	r.stopOnce.Do(func() { r.stopErr = r.stop(ctx) })
	return r.stopErr
}

func (r *Runner) stop(ctx context.Context) error {
	if r.listener == nil {
		return nil
	}
	// fasthttp counts a connection that never said anything as busy for five seconds.
	r.listener.closeSilent()
	err := r.app.ShutdownWithContext(ctx)
	// Closing twice does no harm, and Serve may not have got as far as registering it.
	_ = r.listener.Close()
	if err == nil || isClosed(err) {
		err = r.listener.wait(ctx)
	}
	if err != nil {
		if r.cfg.Abandon != nil {
			r.cfg.Abandon()
		}
		r.listener.closeAll()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), forceGrace)
		defer cancel()
		if late := r.listener.wait(last); late != nil {
			return fmt.Errorf("stop serving: requests still run: %w", err)
		}
		err = fmt.Errorf("stop serving: connections were cut: %w", err)
	}
	if served := <-r.served; served != nil && err == nil && !isClosed(served) {
		err = fmt.Errorf("serve: %w", served)
	}
	return err
}

func isClosed(err error) bool {
	return strings.Contains(err.Error(), net.ErrClosed.Error())
}
