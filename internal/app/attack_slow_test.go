package app_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Clients that send slowly, or nothing: they are cut off in their time however alive they
// look, while others are answered. That such a client is told why: TestSlowBody in gateway.
func TestAttackSlowClients(t *testing.T) {
	r := attacked(t, "limits: {read_timeout: 1s, idle_timeout: 1s}\n", `
targets: {crm: {url: "http://127.0.0.1:1", post: /}}
routes: [{name: records, match: POST /records, auth: none, targets: {crm: }}]
`, nil)
	const whole = "POST /records HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
	const crowd = 50
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	var attackers sync.WaitGroup
	defer attackers.Wait()
	for name, script := range map[string]struct{ first, drip string }{
		"head by the byte":      {"POST /records HTTP/1.1\r\nHost: x\r\n", "X-A: 1\r\n"},
		"request line":          {"", "P"},
		"body by the byte":      {"POST /records HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{", " "},
		"chunks of a byte":      {"POST /records HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n"},
		"silent from the start": {"", ""},
		"idle after a request":  {whole, ""},
		"slow second request":   {whole, "P"},
	} {
		for range crowd {
			attackers.Go(func() {
				if took, err := drip(ctx, r.Addr(), script.first, script.drip); err != nil || took > 15*time.Second {
					t.Errorf("%s: cut off after %v: %v", name, took, err)
				}
			})
		}
	}
	for range 20 {
		began := time.Now()
		status, text, err := r.do(ctx, http.MethodPost, "/records", `{}`)
		if err != nil || status != http.StatusAccepted || time.Since(began) > 5*time.Second {
			t.Errorf("meanwhile: %d %s %v after %v", status, text, err, time.Since(began))
		}
	}
}

// drip sends first and then more, a piece each twentieth of a second, until the server has
// closed the connection; it gives how long that took. The error is ctx's.
func drip(ctx context.Context, addr, first, more string) (time.Duration, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	began, closed := time.Now(), make(chan struct{})
	go func() {
		defer close(closed)
		_, _ = io.Copy(io.Discard, conn) // ends with the server's end
	}()
	_, _ = io.Copy(conn, strings.NewReader(first))
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-closed:
			return time.Since(began), ctx.Err()
		case <-tick.C:
			_, _ = io.WriteString(conn, more)
		}
	}
}
