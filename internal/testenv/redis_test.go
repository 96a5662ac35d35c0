package testenv

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestMain(m *testing.M) {
	if os.Getenv(orphanVar) != "" {
		os.Exit(m.Run()) // the child of TestServerDiesWithTheTestBinary, which is killed
	}
	Leaks(m)
}

func TestServersArePrivate(t *testing.T) {
	ctx := t.Context()
	a, b := Redis(t), Redis(t)
	if a.Addr() == b.Addr() {
		t.Fatalf("both servers are at %s", a.Addr())
	}
	if err := a.Client(t).Set(ctx, "k", "a", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := b.Client(t).Get(ctx, "k").Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("the second server sees the first one's key: %v", err)
	}
}

func TestAddressesAreOneServer(t *testing.T) {
	ctx := t.Context()
	r := Redis(t)
	if err := r.Client(t).Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	parsed, err := redis.ParseURL(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]*redis.Options{"url": parsed, "socket": {Network: "unix", Addr: r.Socket()}} {
		c := redis.NewClient(o)
		t.Cleanup(func() { _ = c.Close() })
		if v, err := c.Get(ctx, "k").Result(); err != nil || v != "v" {
			t.Errorf("%s: got %q, %v", name, v, err)
		}
	}
}

func TestDefaultsAndConf(t *testing.T) {
	cases := map[string]struct {
		options []Option
		key     string
		want    string
	}{
		"no snapshots":    {nil, "save", ""},
		"no file":         {nil, "appendonly", "no"},
		"no eviction":     {nil, "maxmemory-policy", "noeviction"},
		"append-only":     {[]Option{WithAOF()}, "appendfsync", "always"},
		"replaced":        {[]Option{WithConf("maxmemory-policy", "allkeys-lru")}, "maxmemory-policy", "allkeys-lru"},
		"several values":  {[]Option{WithConf("save", "900", "1")}, "save", "900 1"},
		"the last counts": {[]Option{WithAOF(), WithConf("appendonly", "no")}, "appendonly", "no"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Redis(t, c.options...).Client(t).ConfigGet(t.Context(), c.key).Result()
			if err != nil || got[c.key] != c.want {
				t.Errorf("%s is %q (%v), want %q", c.key, got[c.key], err, c.want)
			}
		})
	}
}

func TestKillAndRestart(t *testing.T) {
	cases := map[string]struct {
		options []Option
		down    func(*RedisServer)
		keeps   bool
	}{
		"killed, in memory":       {nil, (*RedisServer).Kill, false},
		"killed, append-only":     {[]Option{WithAOF()}, (*RedisServer).Kill, true},
		"stopped, append-only":    {[]Option{WithAOF()}, (*RedisServer).Stop, true},
		"not down, append-only":   {[]Option{WithAOF()}, func(*RedisServer) {}, true},
		"killed twice, in memory": {nil, func(r *RedisServer) { r.Kill(); r.Kill(); r.Stop() }, false},
		"killed while paused":     {[]Option{WithAOF()}, func(r *RedisServer) { r.Pause(); r.Kill() }, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			r := Redis(t, c.options...)
			client := r.Client(t)
			if err := client.Set(ctx, "k", "v", 0).Err(); err != nil {
				t.Fatal(err)
			}
			before := r.Addr()
			c.down(r)
			r.Restart()
			if r.Addr() != before {
				t.Errorf("moved from %s to %s", before, r.Addr())
			}
			n, err := r.Client(t).Exists(ctx, "k").Result()
			if err != nil || (n == 1) != c.keeps {
				t.Errorf("after the restart %d keys (%v), want the key kept: %v", n, err, c.keeps)
			}
		})
	}
}

func TestKilledServerRefusesConnections(t *testing.T) {
	r := Redis(t)
	r.Kill()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", r.Addr())
	if err == nil {
		_ = conn.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial after Kill: %v, want connection refused", err)
	}
}

func TestPausedServerHangsAndGoesOn(t *testing.T) {
	r := Redis(t)
	client := r.Client(t)
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	r.Pause()
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := client.Ping(short).Err(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a paused server answered: %v", err)
	}
	r.Resume()
	Eventually(t, 5*time.Second, func() bool { return client.Ping(t.Context()).Err() == nil },
		"an answer of the resumed server")
}

// fatal catches what a helper says to its test.
type fatal struct {
	testing.TB
	said    string
	cleanup []func()
}

func (f *fatal) Helper()           {}
func (f *fatal) Cleanup(fn func()) { f.cleanup = append(f.cleanup, fn) }
func (f *fatal) Fatalf(format string, args ...any) {
	f.said = strings.TrimSpace(sprintf(format, args...))
	panic(f)
}

// saying runs fn and gives what it failed with, empty when it did not.
func saying(t *testing.T, fn func(testing.TB)) string {
	t.Helper()
	f := &fatal{TB: t}
	func() {
		defer func() {
			if r := recover(); r != nil && r != any(f) {
				panic(r)
			}
		}()
		fn(f)
	}()
	for _, c := range f.cleanup {
		c()
	}
	return f.said
}

func TestWithoutServerTheRemedyIsNamed(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	said := saying(t, func(tb testing.TB) { Redis(tb) })
	if !strings.Contains(said, "make test") {
		t.Errorf("the failure does not name the remedy: %q", said)
	}
}

func TestServerThatCannotStartShowsItsLog(t *testing.T) {
	said := saying(t, func(tb testing.TB) { Redis(tb, WithConf("no-such-directive", "1")) })
	if !strings.Contains(said, "no-such-directive") {
		t.Errorf("the failure does not show the server's log: %q", said)
	}
}

func TestDirectoryIsRemoved(t *testing.T) {
	var dir string
	t.Run("inner", func(t *testing.T) { dir = Redis(t, WithAOF()).dir })
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}

const orphanVar = "HEADGATE_TESTENV_ORPHAN"

// TestServerDiesWithTheTestBinary runs itself as a child, which starts a server, and
// kills the child.
func TestServerDiesWithTheTestBinary(t *testing.T) {
	if file := os.Getenv(orphanVar); file != "" {
		r := Redis(t)
		if err := os.WriteFile(file, []byte(strconv.Itoa(r.proc.cmd.Process.Pid)), 0o600); err != nil {
			t.Fatal(err)
		}
		<-t.Context().Done() // never: the parent kills this process
		return
	}
	if dieWithParent() == nil {
		t.Skip("this system cannot tie a child to its parent")
	}
	file := t.TempDir() + "/pid"
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), orphanVar+"="+file, "TMPDIR="+t.TempDir()) // it cannot clean up
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	Eventually(t, 30*time.Second, func() bool {
		data, err := os.ReadFile(file)
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(string(data))
		return err == nil
	}, "the child's server")
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // killed, as asked
	Eventually(t, 10*time.Second, func() bool { return gone(pid) }, "the end of the server of a killed test binary")
}

// gone reports whether the process has ended; one that nobody has collected yet has.
func gone(pid int) bool {
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}
