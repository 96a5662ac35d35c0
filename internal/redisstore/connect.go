package redisstore

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Options say how to reach Redis.
type Options struct {
	Network string // tcp or unix
	Addr    string
	// Master, when not empty, is the name under which Sentinels know the server; they are
	// asked for its address, and again after a fail-over. Addr is not used then.
	Master    string
	Sentinels []string
	// Cluster, when not empty, are nodes of a cluster; the others are learnt from them.
	// Addr and DB are not used then.
	Cluster  []string
	Username string
	Password func() string // asked for each connection; nil: none
	DB       int
	TLS      func() (*tls.Config, error) // asked for each connection; nil: none
	PoolSize int                         // connections per process, in a cluster per node; 0 takes 64
	// AutoPipeline gathers the commands of concurrent callers into shared pipelines. The
	// client's feature is young, so it can be switched off.
	AutoPipeline bool
	// Observe, when not nil, is told of the round trips of Base and Shared.
	Observe Observer
}

// Conn is the one way this process reaches Redis.
type Conn struct {
	// Base is the plain client: for blocking and unusual commands.
	Base redis.UniversalClient
	// Shared is for the hot path: an auto-pipelining face of Base, or Base itself.
	Shared redis.UniversalClient

	root redis.UniversalClient // has the connections of both
	o    Options
}

// pipeliner is what every kind of client has beyond the common interface.
type pipeliner interface {
	AutoPipelineWithOptions(o *redis.AutoPipelineOptions) (*redis.AutoPipeliner, error)
}

// sharing is how commands of concurrent callers share a connection: each is written as it
// comes, without waiting for the answers to those before it. One pipeline after the other
// would let a request wait, at each of its round trips, for all that is on its way: at half
// of what can be accepted the median is 1 ms instead of 2.5.
func sharing() *redis.AutoPipelineOptions {
	o := redis.DefaultBlockingAutoPipelineOptions()
	o.FullDuplex = true
	return o
}

// defaultPool is what a process takes when nothing is said: enough for every worker
// slot of a dozen targets, since commands of the hot path share connections.
const defaultPool = 64

// Connect makes the clients. It opens no connection: Redis may come later.
func Connect(o Options) (*Conn, error) {
	if o.PoolSize == 0 {
		o.PoolSize = defaultPool
	}
	out := &Conn{o: o}
	out.root = out.Another(o.PoolSize)
	out.Base = out.root
	// Not in a cluster: while a slot moves, the client may send what shares a pipeline twice,
	// and to two nodes at a time. Concurrent commands have connections of their own there.
	if o.AutoPipeline && len(o.Cluster) == 0 {
		shared, err := out.root.(pipeliner).AutoPipelineWithOptions(sharing())
		if err != nil {
			return nil, fmt.Errorf("set up auto-pipelining: %w", err)
		}
		out.Shared = shared
	}
	if o.Observe != nil {
		out.measure(o.Observe)
	}
	if out.Shared == nil {
		out.Shared = out.Base
	}
	return out, nil
}

// measure has round trips measured.
func (c *Conn) measure(observe Observer) {
	client, ok := c.root.(*redis.Client)
	switch {
	case !ok:
		c.root.(*redis.ClusterClient).OnNewNode(func(node *redis.Client) { node.AddHook(meter{observe}) })
	case c.Shared == nil:
		client.AddHook(meter{observe})
	default: // another face on the same connections: a hook on this one would be one of the shared pipeline's, too
		base := client.WithTimeout(ioTimeout)
		base.AddHook(meter{observe})
		c.Base = base
		client.Options().Limiter = &flowMeter{observe: observe}
	}
}

// Another makes one more client like Base, with connections of its own. It is the
// caller's to close.
func (c *Conn) Another(poolSize int) redis.UniversalClient {
	o := c.o
	o.PoolSize = poolSize
	switch {
	case len(o.Cluster) > 0:
		return clustered(o)
	case o.Master != "":
		return failover(o)
	}
	return single(o)
}

// What holds for every kind of client. Without ContextTimeoutEnabled a context's deadline
// would not end a command. The client must not repeat a command by itself: a dequeue that
// is repeated loses a task for a minute, and a retry that cannot connect would hide that
// the first try may have been executed. Several dials of a tenth of a second each would
// be spent on a server that refuses.
const (
	dialTimeout = 2 * time.Second
	ioTimeout   = 3 * time.Second
	noRetries   = -1
	oneDial     = 1
)

func single(o Options) *redis.Client {
	return redis.NewClient(&redis.Options{
		Network: o.Network, Addr: o.Addr, CredentialsProviderContext: o.credentials(), DB: o.DB,
		Dialer: dialer(o.TLS), PoolSize: o.PoolSize, ContextTimeoutEnabled: true,
		DialTimeout: dialTimeout, ReadTimeout: ioTimeout, WriteTimeout: ioTimeout,
		MaxRetries: noRetries, DialerRetries: oneDial,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// failover gives a client of the server that the Sentinels name as the master.
func failover(o Options) *redis.Client {
	client := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: o.Master, SentinelAddrs: o.Sentinels, DB: o.DB,
		Dialer: dialer(o.TLS), PoolSize: o.PoolSize, ContextTimeoutEnabled: true,
		DialTimeout: dialTimeout, ReadTimeout: ioTimeout, WriteTimeout: ioTimeout,
		MaxRetries: noRetries, DialerRetries: oneDial,
	})
	// The library's options of this client lack it, and those that they are turned into have
	// it. No connection has been made yet.
	client.Options().CredentialsProviderContext = o.credentials()
	return client
}

// credentials gives what a new connection shows; nil for nothing.
func (o Options) credentials() func(context.Context) (username, password string, err error) {
	if o.Username == "" && o.Password == nil {
		return nil
	}
	return func(context.Context) (string, string, error) {
		if o.Password == nil {
			return o.Username, "", nil
		}
		return o.Username, o.Password(), nil
	}
}

// Close closes the clients.
func (c *Conn) Close() error { return c.root.Close() }

// clientLog gives what the client says of its connections to slog. The library has one
// logger for the process.
type clientLog struct{ log *slog.Logger }

// Printf implements the client's logger. What matters of it also comes as an error of a
// command, so that it is for a close look only.
func (l clientLog) Printf(ctx context.Context, format string, args ...any) {
	l.log.DebugContext(ctx, "redis client", "text", fmt.Sprintf(format, args...))
}

// LogTo sends the messages of the Redis client, for the whole process, to log.
func LogTo(log *slog.Logger) { redis.SetLogger(clientLog{log}) }
