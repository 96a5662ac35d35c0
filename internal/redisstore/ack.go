package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Ack says what it takes until a request counts as recorded.
type Ack struct {
	Replicas int           // that have to have it; 0: the master alone is enough
	Timeout  time.Duration // how long they are waited for, milliseconds at least
}

// acks records requests so that replicas have them, too. WAIT is about what its own
// connection has written, so script and WAIT go over one connection, in one round trip:
// never through shared pipelines, which send WAIT elsewhere, and in a cluster straight to
// the master that has the slot.
//
// What a connection has not written itself, WAIT does not cover by its contract. An answer
// about something that was recorded earlier is therefore read again together with a small
// write: once a replica has that one, it has everything before it.
type acks struct {
	Ack

	rdb redis.UniversalClient // with connections of its own: they are blocked while WAIT waits
}

var errTooFew = errors.New("too few replicas have it")

// Acknowledge lets Accept succeed only when that many replicas have the record. rdb is a
// plain client with connections of its own. It is to be called before the store is used.
func (s *Store) Acknowledge(rdb redis.UniversalClient, a Ack) { s.acks = &acks{Ack: a, rdb: rdb} }

// wave is what goes to one server in one round trip.
type wave struct {
	redis.Pipeliner

	full   bool // scripts travel whole: the server does not have them
	asking bool // the server is about to get the slot: each command has to say that it may
}

// ask is to be called before each command.
func (w wave) ask(ctx context.Context) {
	if w.asking {
		w.Do(ctx, "asking")
	}
}

// mark adds a small write to the shard.
func (w wave) mark(ctx context.Context, shard string) *redis.StatusCmd {
	w.ask(ctx)
	return w.Set(ctx, markKey(shard), "", markTTL)
}

// markTTL is how long a mark stays; nobody reads it.
const markTTL = time.Minute

// build adds the commands of one try. All it gives have to succeed.
type build func(w wave) []redis.Cmder

// do sends what build adds to the server of key, with a WAIT behind it.
func (a *acks) do(ctx context.Context, key string, commands build) error {
	var at *redis.Client
	w, waited, wait := wave{}, time.Duration(0), firstWait
	for {
		if at == nil {
			master, err := node(ctx, a.rdb, key)
			if err != nil {
				return reveal(err)
			}
			at = master.(*redis.Client)
		}
		err := a.try(ctx, at, w, commands)
		w.asking = false
		switch kind, addr := redirection(err); {
		case redis.HasErrorPrefix(err, "NOSCRIPT") && !w.full:
			w.full = true
			continue
		case kind != "":
			if at, err = a.nodeAt(ctx, addr); err != nil {
				return err
			}
			w.asking = kind == "ASK"
		case notNow(err):
			at = nil
		default:
			return reveal(err)
		}
		// A redirection may lead to the next: it counts as a short wait.
		if waited += wait; waited > patient {
			return reveal(err)
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
		wait *= 2
	}
}

func (a *acks) try(ctx context.Context, at *redis.Client, w wave, commands build) error {
	w.Pipeliner = at.Pipeline()
	sent := commands(w)
	got := redis.NewIntCmd(ctx, "wait", a.Replicas, a.Timeout.Milliseconds())
	_ = w.Process(ctx, got)
	_, _ = w.Exec(ctx) // each command has its own error
	for _, cmd := range sent {
		if err := cmd.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
	}
	if err := got.Err(); err != nil {
		return fmt.Errorf("%w: %w", errTooFew, reveal(err))
	}
	if n := got.Val(); n < int64(a.Replicas) {
		return fmt.Errorf("%w: %d instead of %d within %v", errTooFew, n, a.Replicas, a.Timeout)
	}
	return nil
}

// redirection reads "MOVED <slot> <addr>" and "ASK <slot> <addr>".
func redirection(err error) (kind, addr string) {
	for _, kind := range []string{"MOVED", "ASK"} {
		if redis.HasErrorPrefix(err, kind+" ") {
			if parts := strings.Fields(err.Error()); len(parts) == 3 {
				return kind, parts[2]
			}
		}
	}
	return "", ""
}

// nodeAt gives the master with that address; the cluster client learns of it as well.
func (a *acks) nodeAt(ctx context.Context, addr string) (*redis.Client, error) {
	cluster, ok := a.rdb.(*redis.ClusterClient)
	if !ok {
		return nil, errors.New("redis is a cluster's node, but redis.url does not say so")
	}
	cluster.ReloadState(ctx)
	found := make(chan *redis.Client, 1)
	err := cluster.ForEachMaster(ctx, func(_ context.Context, rdb *redis.Client) error {
		if rdb.Options().Addr == addr {
			select {
			case found <- rdb:
			default:
			}
		}
		return nil
	})
	select {
	case rdb := <-found:
		return rdb, nil
	default:
		return nil, err // it is not known yet: the next try asks who has the slot
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// accept runs the accept script. again: it may have been run before, and then it writes
// nothing. With errTooFew the script's answer comes, too.
func (a *acks) accept(ctx context.Context, shard string, again bool, keys []string, args []any) ([]string, error) {
	var answer *redis.Cmd
	err := a.do(ctx, keys[0], func(w wave) []redis.Cmder {
		w.ask(ctx)
		if w.full {
			answer = acceptScript.Eval(ctx, w, keys, args...)
		} else {
			answer = acceptScript.EvalSha(ctx, w, keys, args...)
		}
		if !again {
			return []redis.Cmder{answer}
		}
		return []redis.Cmder{answer, w.mark(ctx, shard)}
	})
	if err != nil {
		return listOf(answer), err
	}
	return answer.StringSlice()
}

func listOf(cmd *redis.Cmd) []string {
	if cmd == nil || cmd.Err() != nil {
		return nil
	}
	list, _ := cmd.StringSlice()
	return list
}

// get reads a key's value once replicas have what was read; redis.Nil when there is none.
func (a *acks) get(ctx context.Context, shard, key string) ([]byte, error) {
	var value *redis.StringCmd
	err := a.do(ctx, key, func(w wave) []redis.Cmder {
		w.ask(ctx)
		value = w.Get(ctx, key)
		return []redis.Cmder{value, w.mark(ctx, shard)}
	})
	if value != nil && errors.Is(value.Err(), redis.Nil) {
		return nil, redis.Nil
	}
	if err != nil {
		return nil, err
	}
	return value.Bytes()
}
