package redisstore

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// dialer opens connections, with TLS when there is a configuration for it. What fails
// while connecting is an error of dialling, whichever layer it came from: it proves that
// no command was sent.
func dialer(config func() (*tls.Config, error)) dialFunc {
	plain := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		conn, err := plain.DialContext(ctx, network, addr)
		if err != nil || config == nil {
			return conn, err
		}
		secure, err := handshake(ctx, conn, addr, config)
		if err != nil {
			_ = conn.Close()
			return nil, &net.OpError{Op: "dial", Net: network, Addr: conn.RemoteAddr(), Err: err}
		}
		return secure, nil
	}
}

func handshake(ctx context.Context, conn net.Conn, addr string, config func() (*tls.Config, error)) (net.Conn, error) {
	c, err := config()
	if err != nil {
		return nil, err
	}
	if c.ServerName == "" {
		host, _, _ := net.SplitHostPort(addr)
		c = c.Clone()
		c.ServerName = host
	}
	secure := tls.Client(conn, c)
	return secure, secure.HandshakeContext(ctx)
}
