package redisstore

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// nodeDialer opens the connections of a cluster client.
type nodeDialer struct {
	dial    dialFunc
	trouble func() // called when a node is in trouble

	silent sync.Map // addr -> silence
}

// silence is that of a node that took connections and said nothing, or not even that.
type silence struct {
	since time.Time
	err   error
}

// silentFor is how long nobody else waits for a node that has just kept somebody waiting.
// The client tries a pipeline's connection four times, and each would take dialTimeout.
const silentFor = time.Second

// Dial opens a connection. That it cannot proves that nothing was sent, so that the client
// may try again.
func (d *nodeDialer) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if s, ok := d.silent.Load(addr); ok {
		if s := s.(silence); time.Since(s.since) < silentFor {
			return nil, &net.OpError{Op: "dial", Net: network, Err: s.err}
		}
		d.silent.Delete(addr)
	}
	began := time.Now()
	conn, err := d.dial(ctx, network, addr)
	if err != nil {
		d.failed(addr, began, err)
		return nil, err
	}
	out := &onceConn{Conn: conn, began: began, failed: func(err error) { d.failed(addr, began, err) }, lost: d.trouble}
	if raw, ok := conn.(syscall.Conn); ok { // it is looked into for whether the other side has closed it
		return struct {
			*onceConn
			syscall.Conn
		}{out, raw}, nil
	}
	return out, nil
}

func (d *nodeDialer) failed(addr string, began time.Time, err error) {
	if time.Since(began) > dialTimeout/2 {
		d.silent.Store(addr, silence{time.Now(), err})
	}
	d.trouble()
}

// lost is what a connection ended with, hidden from errors.Is and errors.As.
type lost struct{ error }

// reveal gives the error inside.
func reveal(err error) error {
	var l lost
	if errors.As(err, &l) {
		return l.error
	}
	return err
}

// onceConn is a connection whose errors do not invite the client to repeat a command. Its
// first answer, the handshake's, may take no longer than dialling.
type onceConn struct {
	net.Conn
	began   time.Time
	greeted atomic.Bool
	failed  func(error) // it ended before its first answer
	lost    func()      // it ended after that
}

// Read implements net.Conn.
func (c *onceConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil {
		c.greeted.Store(true)
	}
	return n, c.hide(err)
}

// Write implements net.Conn.
func (c *onceConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	return n, c.hide(err)
}

func (c *onceConn) hide(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, net.ErrClosed): // by ourselves
	case c.greeted.Load():
		c.lost()
	default:
		c.failed(err)
	}
	return lost{err}
}

// until bounds a deadline while there was no answer yet.
func (c *onceConn) until(t time.Time) time.Time {
	if latest := c.began.Add(dialTimeout); !c.greeted.Load() && (t.IsZero() || t.After(latest)) {
		return latest
	}
	return t
}

// SetDeadline implements net.Conn.
func (c *onceConn) SetDeadline(t time.Time) error { return c.Conn.SetDeadline(c.until(t)) }

// SetReadDeadline implements net.Conn.
func (c *onceConn) SetReadDeadline(t time.Time) error { return c.Conn.SetReadDeadline(c.until(t)) }

// SetWriteDeadline implements net.Conn.
func (c *onceConn) SetWriteDeadline(t time.Time) error { return c.Conn.SetWriteDeadline(c.until(t)) }
