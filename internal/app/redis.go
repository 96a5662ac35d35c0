package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"headgate/config"
	"headgate/config/secret"
	"headgate/internal/embedded"
	"headgate/internal/redisstore"
)

// openRedis starts the embedded server if that is what the file asks for, and connects.
// The connection is made on first use: Redis may come later than Headgate. pool 0 takes
// the store's default.
func openRedis(ctx context.Context, c *config.Config, pool int, observe redisstore.Observer, log *slog.Logger) (conn *redisstore.Conn, server *embedded.Server, err error) {
	o := redisstore.Options{
		Network: "tcp", Username: c.Redis.Username, DB: c.Redis.URL.DB,
		PoolSize: pool, AutoPipeline: c.Redis.AutoPipeline, Observe: observe,
	}
	if o.Username == "" {
		o.Username = c.Redis.URL.User
	}
	if !c.Redis.Password.IsZero() {
		p := &password{ref: c.Redis.Password, log: log}
		if p.last, err = p.ref.Read(); err != nil {
			return nil, nil, fmt.Errorf("redis.password: %w", err)
		}
		o.Password = p.now
	}
	switch c.Redis.URL.Mode {
	case config.Embedded:
		if server, err = embedded.Start(ctx, c.Redis.DataDir, log); err != nil {
			return nil, nil, err
		}
		o.Network, o.Addr = server.Network, server.Addr
		if !server.Durable {
			o.PoolSize = emulationPool
		}
	case config.Unix:
		o.Network, o.Addr = "unix", c.Redis.URL.Addrs[0]
	case config.Single:
		o.Addr = c.Redis.URL.Addrs[0]
	case config.Sentinel:
		o.Master, o.Sentinels = c.Redis.URL.Master, c.Redis.URL.Addrs
	case config.Cluster:
		o.Cluster = c.Redis.URL.Addrs
	}
	if c.Redis.URL.TLS {
		certs := &certificates{files: c.Redis.TLS, log: log}
		if err := certs.check(); err != nil {
			return nil, nil, err
		}
		o.TLS = certs.config
	}
	conn, err = redisstore.Connect(o)
	if err != nil && server != nil {
		err = errors.Join(err, server.Stop())
	}
	return conn, server, err
}

// Connect reaches Redis as a process with these files would, and starts none: an embedded one
// is its process's own, and there is no connection then. Its caller closes it.
func Connect(ctx context.Context, c *config.Config, log *slog.Logger) (*redisstore.Conn, error) {
	if c.Redis.URL.Mode == config.Embedded {
		return nil, nil
	}
	conn, _, err := openRedis(ctx, c, fewConns, nil, log)
	return conn, err
}

// fewConns is enough for who only looks.
const fewConns = 8

// password is that of Redis. It is read for each new connection, so that another one takes
// effect without a restart; while it cannot be read, half written perhaps, the former one holds.
type password struct {
	ref secret.Ref
	log *slog.Logger

	mu   sync.Mutex
	last secret.Value
}

func (p *password) now() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if value, err := p.ref.Read(); err != nil {
		p.log.Warn("the password of redis cannot be read; the former one holds", "error", err)
	} else {
		p.last = value
	}
	return p.last.Reveal()
}

// ackPool is how many accepted requests can wait for replicas at a time, in a cluster for
// each master: that many connections more.
const ackPool = 64

// emulationPool is small because the emulation gets slower with each connection.
const emulationPool = 16
