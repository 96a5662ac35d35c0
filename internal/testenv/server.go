package testenv

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// startTimeout bounds how long a server may take until it answers; on an idle machine
// it takes about 10 ms, and loading an append-only file more.
const startTimeout = 20 * time.Second

// errNoServer is what a machine without Redis is told.
var errNoServer = errors.New("redis-server is not on the PATH; run `make test`, which installs it, " +
	"or `scripts/redis.sh` alone")

// conf is a redis.conf, in the order in which directives were first set.
type conf struct {
	order []string
	value map[string][]string
}

func defaults() conf {
	c := conf{value: map[string][]string{}}
	c.set("bind", "127.0.0.1")
	c.set("save", "")
	c.set("appendonly", "no")
	c.set("maxmemory-policy", "noeviction")
	return c
}

func (c *conf) set(key string, values ...string) {
	if _, known := c.value[key]; !known {
		c.order = append(c.order, key)
	}
	c.value[key] = values
}

func (c *conf) args() []string {
	var args []string
	for _, key := range c.order {
		args = append(args, "--"+key)
		args = append(args, c.value[key]...)
	}
	return args
}

// start runs the server and returns once it answers a PING on its Unix socket: that
// one, unlike the port, cannot be another server's.
func (r *RedisServer) start() error {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		return errNoServer
	}
	// A killed server leaves its socket file behind.
	if err := os.Remove(r.Socket()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	args := append(r.conf.args(),
		"--port", strconv.Itoa(r.port), "--unixsocket", r.Socket(), "--dir", r.dir, "--daemonize", "no")
	proc, err := startProcess(binary, args, filepath.Join(r.dir, "redis.log"))
	if err != nil {
		return err
	}
	if err := awaitReady(proc, r.Socket()); err != nil {
		proc.kill()
		return fmt.Errorf("%w; its last lines:\n%s", err, lastLines(filepath.Join(r.dir, "redis.log"), 8))
	}
	r.proc = proc
	return nil
}

func awaitReady(proc *process, socket string) error {
	deadline := time.NewTimer(startTimeout)
	defer deadline.Stop()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for {
		if ping(socket) {
			return nil
		}
		select {
		case <-proc.done:
			return errors.New("redis-server ended at once")
		case <-deadline.C:
			return fmt.Errorf("redis-server did not answer within %v", startTimeout)
		case <-look.C:
		}
	}
}

// ping asks over a connection of its own: a client would retry, back off and keep
// goroutines. A server that still loads its file answers -LOADING.
func ping(socket string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }() // the answer has been read; nothing depends on it
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return false
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	return err == nil && strings.HasPrefix(answer, "+PONG")
}

// freePort picks a port below the range from which Linux (32768) and the BSDs (49152)
// choose local ports, so that no outgoing connection takes it between Kill and Restart
// and none connects to itself while the server is down.
func freePort(ctx context.Context) (int, error) {
	var err error
	for range 100 {
		port := 20000 + rand.IntN(12000) //nolint:gosec // a port number is no secret
		var l net.Listener
		l, err = (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			continue
		}
		return port, l.Close()
	}
	return 0, fmt.Errorf("no free port: %w", err)
}

// portTaken tells a lost race for the port, which redis-server prints, from other faults.
func portTaken(err error) bool { return strings.Contains(err.Error(), "Address already in use") }

func lastLines(file string, n int) string {
	data, err := os.ReadFile(file) //nolint:gosec // the log in the server's own directory
	if err != nil {
		return err.Error()
	}
	lines := slices.Collect(strings.Lines(string(data)))
	return strings.Join(lines[max(0, len(lines)-n):], "")
}
