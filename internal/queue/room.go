package queue

import (
	"context"
	"crypto/sha1" //nolint:gosec // it is how Redis names scripts
	"encoding/hex"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// roomy is a client whose server goes on when Redis is full. Redis refuses a script's
// first write when that may need memory, and asynq's script that takes a task out begins
// with one: nothing would be delivered any more, and only the end of deliveries frees
// memory. What was refused for want of memory is sent again, with a write in front that
// needs none. All of it moves what is recorded already; what is new is refused by the
// script that would record it.
type roomy struct {
	redis.UniversalClient
	room *room
}

// room is what the servers of a worker share: the texts of scripts by their SHA-1.
type room struct{ sources sync.Map }

// leadIn is a write that a full Redis lets pass. There is no such key.
const leadIn = "redis.call('DEL', KEYS[1] .. ':none')\n"

// What is sent without a script: leases are extended, and queues are listed.
const (
	leaseScript = leadIn + "return redis.call('ZADD', KEYS[1], unpack(ARGV))"
	listScript  = leadIn + "return redis.call('SADD', KEYS[1], unpack(ARGV))"
)

// unknownScript makes the client send a script's text, as Redis's own answer does.
type unknownScript struct{}

func (unknownScript) Error() string { return "NOSCRIPT its text has not been seen yet" }
func (unknownScript) RedisError()   {}

// isFull recognises the refusal; older servers put the place in the script before it.
func isFull(err error) bool {
	return err != nil && strings.Contains(err.Error(), "OOM command not allowed")
}

// EvalSha runs a script that the server has. The client is made to send a script's text
// once, for that is what is needed when the server is full.
func (c roomy) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	text, known := c.room.sources.Load(sha)
	if !known {
		cmd := redis.NewCmd(ctx)
		cmd.SetErr(unknownScript{})
		return cmd
	}
	cmd := c.UniversalClient.EvalSha(ctx, sha, keys, args...)
	if !isFull(cmd.Err()) {
		return cmd
	}
	return c.UniversalClient.Eval(ctx, leadIn+text.(string), keys, args...)
}

// Eval runs a script by its text.
func (c roomy) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	sum := sha1.Sum([]byte(script)) //nolint:gosec // it is how Redis names scripts
	c.room.sources.Store(hex.EncodeToString(sum[:]), script)
	cmd := c.UniversalClient.Eval(ctx, script, keys, args...)
	if !isFull(cmd.Err()) {
		return cmd
	}
	return c.UniversalClient.Eval(ctx, leadIn+script, keys, args...)
}

// SAdd lists queues.
func (c roomy) SAdd(ctx context.Context, key string, members ...any) *redis.IntCmd {
	cmd := c.UniversalClient.SAdd(ctx, key, members...)
	if !isFull(cmd.Err()) {
		return cmd
	}
	return c.count(ctx, listScript, key, members...)
}

// ZAddXX extends leases.
func (c roomy) ZAddXX(ctx context.Context, key string, members ...redis.Z) *redis.IntCmd {
	cmd := c.UniversalClient.ZAddXX(ctx, key, members...)
	if !isFull(cmd.Err()) {
		return cmd
	}
	args := []any{"XX"}
	for _, m := range members {
		args = append(args, m.Score, m.Member)
	}
	return c.count(ctx, leaseScript, key, args...)
}

func (c roomy) count(ctx context.Context, script, key string, args ...any) *redis.IntCmd {
	n, err := c.UniversalClient.Eval(ctx, script, []string{key}, args...).Int64()
	out := redis.NewIntCmd(ctx)
	out.SetVal(n)
	out.SetErr(err)
	return out
}
