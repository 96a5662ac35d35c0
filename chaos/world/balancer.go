package world

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Balancer stands before the gateways as a Service of Kubernetes does: it hands each new
// connection to one of the ready ones, never looks into it, and leaves it where it is. It
// knows by /readyz who is ready, and hears late of who is to end.
type Balancer struct {
	URL string

	world    *World
	listener net.Listener
	probe    *http.Client
	stop     context.CancelFunc
	running  sync.WaitGroup

	mu      sync.Mutex
	ready   map[*Host]bool
	failed  map[*Host]time.Time // since when its probe says otherwise; zero: it does not
	leaving map[*Host]bool      // being replaced; whatever its probe says
	next    int
	conns   map[net.Conn]bool
}

// probeEvery is how often a gateway is asked whether it is ready.
const probeEvery = 100 * time.Millisecond

// Balance puts a balancer before the gateways.
func (w *World) Balance(ctx context.Context) (*Balancer, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	b := &Balancer{
		URL: "http://" + listener.Addr().String(), world: w, listener: listener, stop: cancel,
		probe: &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
		ready: map[*Host]bool{}, failed: map[*Host]time.Time{}, leaving: map[*Host]bool{}, conns: map[net.Conn]bool{},
	}
	b.look(ctx)
	b.running.Go(func() {
		for Sleep(ctx, probeEvery) == nil {
			b.look(ctx)
		}
	})
	b.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			b.running.Go(func() { b.carry(ctx, conn) })
		}
	})
	w.onClose(b.close)
	return b, nil
}

func (b *Balancer) close() {
	b.stop()
	_ = b.listener.Close()
	b.mu.Lock()
	for conn := range b.conns {
		_ = conn.Close()
	}
	b.mu.Unlock()
	b.running.Wait()
}

// Lag is how long it takes until a gateway that is not ready, or is to end, gets no more
// connections: every node of a cluster has to hear of it.
const Lag = time.Second

// look asks all gateways whether they are ready.
func (b *Balancer) look(ctx context.Context) {
	for _, h := range b.world.Gateways {
		ok, now := b.asks(ctx, h), time.Now()
		b.mu.Lock()
		switch {
		case ok:
			b.ready[h], b.failed[h] = true, time.Time{}
		case b.failed[h].IsZero():
			b.failed[h] = now
		case now.Sub(b.failed[h]) >= Lag:
			b.ready[h] = false
		}
		b.mu.Unlock()
	}
}

func (b *Balancer) asks(ctx context.Context, h *Host) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.AdminURL+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := b.probe.Do(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// Ready reports whether a gateway gets new connections.
func (b *Balancer) Ready(h *Host) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ready[h] && !b.leaving[h]
}

// Leave takes a gateway out, and Join lets it in again when it is ready.
func (b *Balancer) Leave(h *Host) { b.setLeaving(h, true) }

// Join undoes Leave.
func (b *Balancer) Join(h *Host) { b.setLeaving(h, false) }

func (b *Balancer) setLeaving(h *Host, leaving bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leaving[h] = leaving
	if !leaving {
		b.ready[h] = false // its probe has to say so anew
	}
}

// choose gives the next gateway in turn; nil when none is ready.
func (b *Balancer) choose() *Host {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range b.world.Gateways {
		b.next++
		if h := b.world.Gateways[b.next%len(b.world.Gateways)]; b.ready[h] && !b.leaving[h] {
			return h
		}
	}
	return nil
}

// carry copies both directions until both have ended. Without a gateway the client sees its
// connection end.
func (b *Balancer) carry(ctx context.Context, client net.Conn) {
	defer b.keep(client)()
	h := b.choose()
	if h == nil {
		return
	}
	server, err := new(net.Dialer).DialContext(ctx, "tcp", h.URL[len("http://"):])
	if err != nil {
		return
	}
	defer b.keep(server)()
	var both sync.WaitGroup
	both.Go(func() { pipe(server, client) })
	both.Go(func() { pipe(client, server) })
	both.Wait()
}

// keep closes a connection with the balancer, or when the result is called.
func (b *Balancer) keep(conn net.Conn) func() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conns[conn] = true
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.conns, conn)
		_ = conn.Close()
	}
}

// pipe copies one direction, and its end.
func pipe(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if half, ok := to.(*net.TCPConn); ok && (err == nil || errors.Is(err, io.EOF)) {
		_ = half.CloseWrite()
		return
	}
	_ = to.Close() // a reset on one side is one on the other
}
