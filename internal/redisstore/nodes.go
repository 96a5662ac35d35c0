package redisstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// node gives the client of the server that has a key: for commands that name none and
// are meant for that server all the same.
func node(ctx context.Context, base redis.UniversalClient, key string) (redis.UniversalClient, error) {
	cluster, ok := base.(*redis.ClusterClient)
	if !ok {
		return base, nil
	}
	master, err := cluster.MasterForKey(ctx, key)
	if err != nil {
		return nil, err
	}
	return master, nil
}

// now gives the clock that the rows of a key are kept by. Those of a cluster's nodes
// differ, and another node may be away.
func (s *Store) now(ctx context.Context, key string) (time.Time, error) {
	n, err := node(ctx, s.base, key)
	if err != nil {
		return time.Time{}, err
	}
	t, err := n.Time(ctx).Result()
	return t, reveal(err)
}

// askTimeout bounds the question which nodes there are; it takes half of the caller's time
// at most.
const askTimeout = 2 * time.Second

// eachMaster calls fn for every server that takes writes, at the same time. name is
// empty outside of a cluster. All errors are given, each with its server's name.
func eachMaster(ctx context.Context, base redis.UniversalClient, fn func(ctx context.Context, name string, rdb redis.UniversalClient) error) error {
	cluster, ok := base.(*redis.ClusterClient)
	if !ok {
		return fn(ctx, "", base)
	}
	var mu sync.Mutex
	var errs []error
	found := 0
	// The client first asks some node who there is. One that hangs must not use up the
	// time of those that do not: then what was known last is taken.
	timeout := askTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline)/2)
	}
	asking, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := cluster.ForEachMaster(asking, func(_ context.Context, rdb *redis.Client) error {
		name := rdb.Options().Addr
		err := reveal(fn(ctx, name, rdb))
		mu.Lock()
		defer mu.Unlock()
		found++
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if found == 0 {
		return errors.New("the cluster has no nodes")
	}
	return errors.Join(errs...)
}

// Health asks every server whether it answers. An error means that nothing can be done;
// partly says, for an operator, what cannot be done while the rest goes on.
func (c *Conn) Health(ctx context.Context) (partly string, err error) {
	cluster, ok := c.Base.(*redis.ClusterClient)
	if !ok {
		return "", c.Base.Ping(ctx).Err()
	}
	var mu sync.Mutex
	answered := 0
	bad := eachMaster(ctx, cluster, func(ctx context.Context, _ string, rdb redis.UniversalClient) error {
		text, err := rdb.ClusterInfo(ctx).Result()
		if err != nil {
			return err
		}
		if state := parseInfo(text)["cluster_state"]; state != "ok" {
			return fmt.Errorf("it says that the cluster's state is %q", state)
		}
		mu.Lock()
		answered++
		mu.Unlock()
		return nil
	})
	if answered == 0 && bad != nil {
		return "", bad
	}
	if bad != nil {
		partly = bad.Error()
	}
	return partly, nil
}
