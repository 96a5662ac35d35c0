package wire

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// What a client may still send after it was refused. Closing a socket with unread
// bytes resets it, and the reset can overtake the answer: the client would see a broken
// connection instead of the reason.
const (
	lingerFor   = 500 * time.Millisecond
	lingerBytes = 1 << 20
)

// listener knows its open connections, so that Stop can close them and wait for them.
type listener struct {
	net.Listener
	mu    sync.Mutex
	conns map[*conn]struct{}
	// gone is closed and replaced each time a connection ends.
	gone chan struct{}
}

func newListener(l net.Listener) *listener {
	return &listener{Listener: l, conns: map[*conn]struct{}{}, gone: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: raw, owner: l}
	l.mu.Lock()
	l.conns[c] = struct{}{}
	l.mu.Unlock()
	return c, nil
}

func (l *listener) forget(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.conns[c]; ok {
		delete(l.conns, c)
		close(l.gone)
		l.gone = make(chan struct{})
	}
}

// closeSilent closes the connections on which nothing was ever received.
func (l *listener) closeSilent() {
	l.each(func(c *conn) {
		if !c.spoke.Load() {
			_ = c.Conn.Close()
		}
	})
}

// closeAll closes every connection without waiting for anything.
func (l *listener) closeAll() { l.each(func(c *conn) { _ = c.Conn.Close() }) }

func (l *listener) each(do func(*conn)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		do(c)
	}
}

// wait returns when no connection is open, or with ctx's error.
func (l *listener) wait(ctx context.Context) error {
	for {
		l.mu.Lock()
		open, gone := len(l.conns), l.gone
		l.mu.Unlock()
		if open == 0 {
			return nil
		}
		select {
		case <-gone:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// conn is a connection of a listener. fasthttp closes it when its handler is done with
// it, so a conn that is not forgotten stands for a handler that still runs.
type conn struct {
	net.Conn
	owner  *listener
	spoke  atomic.Bool // something was received
	linger atomic.Bool // Close must let the client finish
	once   sync.Once
	err    error
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.spoke.Load() {
		c.spoke.Store(true)
	}
	return n, err
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.once.Do(func() {
		defer c.owner.forget(c)
		if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.linger.Load() && half.CloseWrite() == nil {
			_ = c.SetReadDeadline(time.Now().Add(lingerFor))
			_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
		}
		c.err = c.Conn.Close()
	})
	return c.err
}
