package embedded

import (
	"context"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Leaks(m) }

func client(t *testing.T, s *Server) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Network: s.Network, Addr: s.Addr, ContextTimeoutEnabled: true, MaxRetries: -1})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// What was acknowledged is there again after a stop and a start.
func TestChildKeepsItsData(t *testing.T) {
	dir := t.TempDir()
	for i, want := range []string{"", "kept"} {
		s, err := Start(t.Context(), dir, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if !s.Durable || s.Banner() != "" {
			t.Fatalf("not durable: %+v", s)
		}
		c := client(t, s)
		if got := c.Get(t.Context(), "k").Val(); got != want {
			t.Fatalf("start %d: read %q, want %q", i, got, want)
		}
		if err := c.Set(t.Context(), "k", "kept", 0).Err(); err != nil {
			t.Fatal(err)
		}
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := s.Stop(); err != nil {
			t.Fatalf("second stop: %v", err)
		}
	}
}

// A server that the kernel kills is there again by itself, with what it was given, and stops as
// any other.
func TestChildThatDiesIsStartedAgain(t *testing.T) {
	var told strings.Builder
	s, err := Start(t.Context(), t.TempDir(), slog.New(slog.NewTextHandler(&told, nil)))
	if err != nil {
		t.Fatal(err)
	}
	c := client(t, s)
	if err := c.ConfigSet(t.Context(), "appendfsync", "always").Err(); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if n := c.Incr(t.Context(), "k").Val(); n != int64(i+1) {
			t.Errorf("after %d deaths it has %d", i, n)
		}
		info, err := c.InfoMap(t.Context(), "server").Result()
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(info["Server"]["process_id"])
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		testenv.Eventually(t, 10*time.Second, func() bool {
			now, err := c.InfoMap(context.Background(), "server").Result()
			return err == nil && now["Server"]["process_id"] != strconv.Itoa(pid)
		}, "it is not started again")
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if strings.Count(told.String(), "started again") != 2 {
		t.Errorf("the log says %s", told.String())
	}
}

func TestDirectoryHasOneOwner(t *testing.T) {
	dir := t.TempDir()
	s, err := Start(t.Context(), dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Stop() }()
	if _, err := Start(t.Context(), dir, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "another headgate") {
		t.Fatalf("a second owner: %v", err)
	}
}

func TestStartThatFailsSaysWhereToLook(t *testing.T) {
	// A binary that ends at once stands for a server that refuses its data.
	binary, err := exec.LookPath("false")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	_, err = child(t.Context(), binary, dir, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "redis.log")) {
		t.Fatalf("%v", err)
	}
}

// Without time that passes, a rate limit's window would never end.
func TestEmulationExpiresKeys(t *testing.T) {
	s, err := emulate()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Stop() }()
	if s.Durable || s.Banner() == "" {
		t.Fatal("the emulation passes for a durable server")
	}
	c := client(t, s)
	if err := c.Set(t.Context(), "k", "v", 100*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 5*time.Second, func() bool {
		return c.Exists(context.Background(), "k").Val() == 0
	}, "the key did not expire")
}
