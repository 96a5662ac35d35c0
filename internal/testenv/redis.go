// Package testenv owns what tests need from outside the process: a private
// redis-server per call, a check for leaked goroutines, and waiting for a condition
// without sleeping. Only tests import it, and it knows nothing else of this module, so
// that every package's tests can use it.
package testenv

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Option changes how a private server is started.
type Option func(*conf)

// WithAOF lets the server keep its data across Kill and Restart: every write is on
// disk before it is answered.
func WithAOF() Option {
	return func(c *conf) {
		c.set("appendonly", "yes")
		c.set("appendfsync", "always")
	}
}

// WithConf sets a redis.conf directive, such as WithConf("maxmemory", "20mb") or
// WithConf("save", "900", "1"). It replaces the default of the same name.
func WithConf(key string, values ...string) Option {
	return func(c *conf) { c.set(key, values...) }
}

// RedisServer is a redis-server process of its own, on the loopback interface and on a
// Unix socket. Its methods are called from the goroutine of its test: they fail the
// test when they cannot do what they say.
type RedisServer struct {
	t    testing.TB
	dir  string
	port int
	bus  int // of a cluster's node, and so is
	tls  int // 0 without tls-cluster
	conf conf

	mu   sync.Mutex
	proc *process // nil while the server is down
}

// Redis starts a private server and waits until it answers. It holds nothing on disk
// unless WithAOF is given, refuses writes when full (noeviction), and is killed and
// removed at the end of the test. Without a redis-server on the PATH the test fails.
func Redis(t testing.TB, options ...Option) *RedisServer {
	t.Helper()
	// Not t.TempDir: its path holds the test's name, and a Unix socket's path ends at
	// 104 (BSD) or 108 (Linux) bytes.
	dir, err := os.MkdirTemp("", "hgredis")
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	r := &RedisServer{t: t, dir: dir, conf: defaults()}
	for _, o := range options {
		o(&r.conf)
	}
	t.Cleanup(r.remove)
	if err := r.startOnFreePort(); err != nil {
		t.Fatalf("testenv: %v", err)
	}
	return r
}

// Addr is the server's TCP address, host:port. It stays the same across Restart.
func (r *RedisServer) Addr() string { return "127.0.0.1:" + strconv.Itoa(r.port) }

// URL is the server's TCP address as redis://host:port/0.
func (r *RedisServer) URL() string { return "redis://" + r.Addr() + "/0" }

// Socket is the path of the server's Unix socket.
func (r *RedisServer) Socket() string { return filepath.Join(r.dir, "redis.sock") }

// Options are the client options that the product uses too: deadlines of contexts
// count, and no maintenance notifications are asked for.
func (r *RedisServer) Options() *redis.Options {
	return &redis.Options{
		Addr:                     r.Addr(),
		ContextTimeoutEnabled:    true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// Client connects to the server; it is closed at the end of t.
func (r *RedisServer) Client(t testing.TB) *redis.Client {
	t.Helper()
	c := redis.NewClient(r.Options())
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("testenv: close the redis client: %v", err)
		}
	})
	return c
}

// Kill ends the server at once, as a power cut would (SIGKILL). What was not in the
// append-only file is lost.
func (r *RedisServer) Kill() {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kill()
}

// Stop ends the server in good order (SIGTERM) and waits until it is gone.
func (r *RedisServer) Stop() {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.proc == nil {
		return
	}
	if err := r.proc.terminate(10 * time.Second); err != nil {
		r.t.Errorf("testenv: stop redis-server: %v", err)
	}
	r.proc = nil
}

// Pause freezes the server (SIGSTOP): connections stay open and nothing answers.
func (r *RedisServer) Pause() {
	r.t.Helper()
	r.signal("pause", (*process).pause)
}

// Resume lets a paused server go on (SIGCONT).
func (r *RedisServer) Resume() {
	r.t.Helper()
	r.signal("resume", (*process).resume)
}

// Restart starts the server again in the same directory and on the same port, and
// waits until it answers. One that still runs is killed first.
func (r *RedisServer) Restart() {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kill()
	// The port is out of the range that the kernel hands out by itself, but another
	// test binary may hold it for the instant in which it looks for a free one.
	deadline := time.Now().Add(startTimeout)
	for {
		err := r.start()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("testenv: restart: %v", err)
		}
	}
}

func (r *RedisServer) signal(what string, send func(*process) error) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.proc == nil {
		r.t.Fatalf("testenv: %s redis-server: it is not running", what)
	}
	if err := send(r.proc); err != nil {
		r.t.Fatalf("testenv: %s redis-server: %v", what, err)
	}
}

func (r *RedisServer) kill() {
	if r.proc != nil {
		r.proc.kill()
		r.proc = nil
	}
}

func (r *RedisServer) remove() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kill()
	if err := os.RemoveAll(r.dir); err != nil {
		r.t.Errorf("testenv: %v", err)
	}
}

func (r *RedisServer) startOnFreePort() error {
	var err error
	for range 20 {
		if r.port, err = freePort(context.Background()); err != nil {
			return err
		}
		if err = r.start(); err == nil {
			return nil
		}
		if !portTaken(err) {
			break
		}
	}
	return fmt.Errorf("start redis-server: %w", err)
}
