package redisstore

import (
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// reloadInterval bounds how long this process may hold an old idea of who serves which
// slot when nothing tells it; redirections and trouble with a node do so at once.
const reloadInterval = 10 * time.Second

// clustered gives a client of a cluster. Its MaxRedirects counts following redirections
// and repeating what lost its connection alike; the second must not happen, for the
// reasons that connect.go gives. So what a connection ends with is hidden from the
// client, and revealed to the caller: only what a server said is tried again.
func clustered(o Options) *redis.ClusterClient {
	var client *redis.ClusterClient
	// A node in trouble may have been replaced, which no redirection tells of.
	d := &nodeDialer{dial: dialer(o.TLS), trouble: func() { client.ReloadState(context.Background()) }}
	client = redis.NewClusterClient(&redis.ClusterOptions{
		// Its own: the client appends the nodes that it learns of, and there are several clients.
		Addrs: slices.Clip(slices.Clone(o.Cluster)), CredentialsProviderContext: o.credentials(),
		Dialer:   d.Dial,
		PoolSize: o.PoolSize, ContextTimeoutEnabled: true,
		DialTimeout: dialTimeout, ReadTimeout: ioTimeout, WriteTimeout: ioTimeout,
		MaxRetries: noRetries, DialerRetries: oneDial,
		ClusterStateReloadInterval: reloadInterval,
		// They ask the server what each command is, beyond the caller's deadline; every
		// command of ours has its key where the client looks for it anyway.
		DisableRoutingPolicies:   true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	client.AddHook(revealing{})
	client.OnNewNode(func(node *redis.Client) { node.AddHook(singly{}) })
	return client
}

// singly is a hook on the client of each node. When the first command of a pipeline is
// refused for the moment, the cluster client would send all of them again, those that
// were carried out and those that it has redirected already: to two nodes at a time, with
// both answers written into one command. Of a command that says so nothing is repeated
// but what was redirected.
type singly struct{}

type singleCmd struct{ redis.Cmder }

// NoRetry implements redis.Cmder.
func (singleCmd) NoRetry() bool { return true }

// DialHook implements redis.Hook.
func (singly) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (singly) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// ProcessPipelineHook implements redis.Hook.
func (singly) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		single := make([]redis.Cmder, len(cmds))
		for i, cmd := range cmds {
			if _, ok := cmd.(singleCmd); !ok {
				cmd = singleCmd{cmd}
			}
			single[i] = cmd
		}
		return next(ctx, single)
	}
}

// revealing is a hook around the cluster client's own dealing with errors.
type revealing struct{}

// DialHook implements redis.Hook.
func (revealing) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (revealing) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { return reveal(next(ctx, cmd)) }
}

// ProcessPipelineHook implements redis.Hook.
func (revealing) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if err == nil {
			return nil
		}
		for _, cmd := range cmds {
			if each := cmd.Err(); each != nil {
				cmd.SetErr(reveal(each))
			}
		}
		return reveal(err)
	}
}
