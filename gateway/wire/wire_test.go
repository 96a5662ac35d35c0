package wire

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreTopFunction("github.com/valyala/fasthttp.(*workerPool).workerFunc"),
	)
}

func run(t *testing.T, cfg Config) *Runner {
	t.Helper()
	cfg.ReadTimeout, cfg.WriteTimeout, cfg.IdleTimeout = 10*time.Second, 10*time.Second, 10*time.Second
	cfg.MaxBody, cfg.MaxHead = 1<<10, 4<<10
	r := New(cfg)
	if err := r.Start(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return r
}

// exchange sends a request as it is and reads until the server closes.
func exchange(t *testing.T, r *Runner, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(conn, request)
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

func TestPanicOfTheHandler(t *testing.T) {
	var seen atomic.Value
	r := run(t, Config{
		Handler:  func(*fiber.Ctx) error { panic("secret") },
		Panicked: func(value any, stack []byte) { seen.Store(value.(string) + string(stack)) },
	})
	got := exchange(t, r, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if !strings.Contains(got, " 500 ") || !strings.Contains(got, "urn:headgate:problem:internal") || strings.Contains(got, "secret") {
		t.Errorf("got %s", got)
	}
	if text, _ := seen.Load().(string); !strings.Contains(text, "secret") || !strings.Contains(text, "wire_test.go") {
		t.Errorf("reported %q", text)
	}
}

func TestErrorOfTheHandler(t *testing.T) {
	var reason string
	r := run(t, Config{
		Handler: func(*fiber.Ctx) error { return fiber.NewError(http.StatusTeapot, "secret") },
		Refused: func(_ int, why string) { reason = why },
	})
	got := exchange(t, r, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if !strings.Contains(got, " 500 ") || strings.Contains(got, "secret") || reason != "internal" {
		t.Errorf("got %s, reason %q", got, reason)
	}
}

// TestStopAtOnce: serving may not have begun yet.
func TestStopAtOnce(t *testing.T) {
	for range 50 {
		r := New(Config{Handler: func(*fiber.Ctx) error { return nil }, MaxBody: 1, MaxHead: 4 << 10})
		if err := r.Start(t.Context(), "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if err := r.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestProblemsAreWritten(t *testing.T) {
	text := Problem{Type: URN("x"), Title: "<T>", Status: 400, Errors: make(chan int)}.JSON()
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil || doc["type"] != "urn:headgate:problem:x" || !strings.Contains(string(text), "<T>") {
		t.Fatalf("got %s, %v", text, err)
	}
}
