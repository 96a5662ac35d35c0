package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"headgate/dispatch"
)

func TestStartReportsWhatItCannotBind(t *testing.T) {
	r := start(t, nil)
	other := New(Options{Table: func() Table { return r.table }, Acceptor: r.acceptor})
	if err := other.Start(t.Context(), r.server.Addr()); err == nil || !strings.Contains(err.Error(), r.server.Addr()) {
		t.Fatalf("got %v", err)
	}
	if err := other.Stop(t.Context()); err != nil {
		t.Fatalf("stop without start: %v", err)
	}
}

// TestDrain: nothing is refused, and every connection ends with its answer.
func TestDrain(t *testing.T) {
	r := start(t, nil)
	r.do("POST", "/profiles/42", body)
	r.server.Drain()
	if res := r.do("POST", "/profiles/42", body); res.status != 202 || !res.closes {
		t.Errorf("got %d %s, closes %t", res.status, res.body, res.closes)
	}
	if res := r.do("GET", "/tracking/trk_1", ""); res.status != 200 || !res.closes {
		t.Errorf("tracking got %d, closes %t", res.status, res.closes)
	}
}

// TestStopLetsRequestsEnd: a request that is being accepted gets its answer.
func TestStopLetsRequestsEnd(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	r := start(t, func(r *rig, _ *Options) {
		r.acceptor.onAccept = func(context.Context, dispatch.Intake) (dispatch.Receipt, error) {
			close(entered)
			<-leave
			return dispatch.Receipt{ID: "trk_1"}, nil
		}
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		res, err := r.send("POST", "/profiles/42", body)
		if err != nil || res.status != 202 || !res.closes {
			t.Errorf("got %d %s %v, %v", res.status, res.body, res.header, err)
		}
	})
	<-entered
	stopped := make(chan error)
	go func() { stopped <- r.server.Stop(context.Background()) }()
	<-r.server.waiting.Done() // Stop has begun
	close(leave)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if err := r.server.Stop(context.Background()); err != nil {
		t.Errorf("the second stop: %v", err)
	}
	if _, err := net.DialTimeout("tcp", r.server.Addr(), time.Second); err == nil {
		t.Error("the port is still open")
	}
}

// TestStopIsBounded: a handler that waits for its context is ended with it.
func TestStopIsBounded(t *testing.T) {
	before := goleak.IgnoreCurrent()
	entered := make(chan struct{})
	r := start(t, func(r *rig, o *Options) {
		o.RequestTimeout = time.Hour
		r.acceptor.onAccept = func(ctx context.Context, _ dispatch.Intake) (dispatch.Receipt, error) {
			close(entered)
			<-ctx.Done()
			return dispatch.Receipt{}, ctx.Err()
		}
	})
	conn, err := net.Dial("tcp", r.server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "POST /profiles/42 HTTP/1.1\r\n"+head+"Content-Length: 2\r\n\r\n{}")
	<-entered
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	r.stopped = true
	began := time.Now()
	if err := r.server.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "were cut") {
		t.Fatalf("got %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	_ = conn.Close()
	goleak.VerifyNone(t, before,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreTopFunction("github.com/valyala/fasthttp.(*workerPool).workerFunc"))
}

// TestStopEndsLongPolls: a client that waits gets what is known.
func TestStopEndsLongPolls(t *testing.T) {
	var waits chan time.Duration
	r := start(t, func(r *rig, _ *Options) { waits, _ = r.waitable() })
	r.do("POST", "/profiles/42", body)
	var wg sync.WaitGroup
	wg.Go(func() {
		res, err := r.send("GET", "/tracking/trk_1", "", "Prefer", "wait=60")
		if err != nil || res.status != 200 || res.doc["status"] != "in_progress" {
			t.Errorf("got %d %s, %v", res.status, res.body, err)
		}
	})
	<-waits
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := r.server.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
}

// TestStopDoesNotWaitForSilentConnections: an idle one, and one that never spoke.
func TestStopDoesNotWaitForSilentConnections(t *testing.T) {
	r := start(t, nil)
	silent, err := net.Dial("tcp", r.server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	idle, err := net.Dial("tcp", r.server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	_, _ = io.WriteString(idle, "GET / HTTP/1.1\r\n"+head+"\r\n")
	res, err := http.ReadResponse(bufio.NewReader(idle), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := r.server.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
}
