// Package embedded starts a Redis for one process: a private redis-server child that
// keeps an append-only file, or, where there is no such binary, an emulation in memory.
// It knows nothing of what is kept in it.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// Server is a running embedded Redis.
type Server struct {
	Network, Addr string // how to reach it
	// Durable reports whether what is acknowledged survives the process.
	Durable bool

	stop func() error
	once sync.Once
}

// Banner tells an operator what the emulation means. Empty for a durable server.
func (s *Server) Banner() string {
	if s.Durable {
		return ""
	}
	return "redis-server is not on the PATH: using the in-memory emulation.\n" +
		"It is for trying Headgate out only: nothing survives the end of this process,\n" +
		"and it is many times slower. Install redis-server for anything else."
}

// Start starts a server that keeps its data in dir. It returns when the server answers. One that
// dies is started again, which log tells.
func Start(ctx context.Context, dir string, log *slog.Logger) (*Server, error) {
	binary, err := exec.LookPath("redis-server")
	if errors.Is(err, exec.ErrNotFound) {
		return emulate()
	}
	if err != nil {
		return nil, fmt.Errorf("look for redis-server: %w", err)
	}
	return child(ctx, binary, dir, log)
}

// Stop ends the server; a durable one has written everything down when it returns.
func (s *Server) Stop() error {
	var err error
	s.once.Do(func() { err = s.stop() })
	return err
}

// stopTimeout covers writing the rest of the append-only file.
const stopTimeout = 10 * time.Second

// startTimeout covers reading a large append-only file.
const startTimeout = 60 * time.Second

func child(ctx context.Context, binary, dir string, log *slog.Logger) (*Server, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	// A socket's path is limited to about 100 bytes, so it does not lie in dir.
	sockets, err := os.MkdirTemp("", "headgate-")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make socket directory: %w", err), lock.Close())
	}
	socket := filepath.Join(sockets, "redis.sock")
	file, err := os.OpenFile(filepath.Join(dir, "redis.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // the operator's own data directory
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open redis log: %w", err), os.RemoveAll(sockets), lock.Close())
	}
	k, err := keep(func() *exec.Cmd {
		cmd := exec.Command(binary, "--port", "0", "--unixsocket", socket, "--unixsocketperm", "700", //nolint:gosec,noctx // found on the PATH; its life is the server's
			"--dir", dir, "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
			"--maxmemory-policy", "noeviction", "--daemonize", "no")
		cmd.Stdout, cmd.Stderr = file, file
		cmd.SysProcAttr = dieWithParent()
		return cmd
	}, log)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start redis-server: %w", err), file.Close(), os.RemoveAll(sockets), lock.Close())
	}
	stop := func() error {
		k.stop()
		return errors.Join(file.Close(), os.RemoveAll(sockets), lock.Close())
	}
	if err := answers(ctx, socket, k); err != nil {
		return nil, errors.Join(fmt.Errorf("%w; see %s", err, file.Name()), stop())
	}
	return &Server{Network: "unix", Addr: socket, Durable: true, stop: stop}, nil
}

// answers waits until the server has loaded its data and answers.
func answers(ctx context.Context, socket string, k *keeper) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: socket, ContextTimeoutEnabled: true, MaxRetries: -1})
	defer func() { _ = client.Close() }()
	for {
		if client.Ping(ctx).Err() == nil {
			return nil
		}
		select {
		case <-k.ended:
			return fmt.Errorf("redis-server ended at start: %w", k.failure)
		case <-ctx.Done():
			return fmt.Errorf("redis-server does not answer: %w", ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// lockDir keeps a second process from appending to the same file.
func lockDir(dir string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the operator's own data directory
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("data directory %s is used by another headgate: %w", dir, err), file.Close())
	}
	return file, nil
}

func emulate() (*Server, error) {
	m := miniredis.NewMiniRedis()
	if err := m.Start(); err != nil {
		return nil, fmt.Errorf("start redis emulation: %w", err)
	}
	// The emulation expires nothing by itself: without this a rate limit's window would
	// never end.
	const tick = 250 * time.Millisecond
	ticker, done := time.NewTicker(tick), make(chan struct{})
	var ticking sync.WaitGroup
	ticking.Go(func() {
		for {
			select {
			case <-ticker.C:
				m.FastForward(tick)
			case <-done:
				return
			}
		}
	})
	return &Server{Network: "tcp", Addr: m.Addr(), stop: func() error {
		ticker.Stop()
		close(done)
		ticking.Wait()
		m.Close()
		return nil
	}}, nil
}
