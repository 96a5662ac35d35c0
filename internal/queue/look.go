package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Look gives every queue that asynq knows, in the order of their names, whoever's it is.
func (c *Client) Look(ctx context.Context) ([]Length, error) {
	names, err := c.base.SMembers(ctx, allQueues).Result()
	if err != nil {
		return nil, fmt.Errorf("list queues: %w", err)
	}
	slices.Sort(names)
	return c.lengths(ctx, names)
}

// Host is a process that serves queues, as asynq's own signs of life show it.
type Host struct {
	Name string // host:process
	// Skew is how far its clock is before that of Redis, give or take half a second.
	Skew time.Duration
}

// Hosts lists the processes that serve queues. asynq writes down, by the clock of the process,
// when a sign of life ends, and Redis counts by its own how long it lasts: the difference is
// how far the two are apart.
func (c *Client) Hosts(ctx context.Context) ([]Host, error) {
	const servers = "asynq:servers"
	rows, err := c.base.ZRangeWithScores(ctx, servers, 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("list servers: %w", err)
	}
	var out []Host
	for _, row := range rows {
		key, _ := row.Member.(string)
		name, ok := hostOf(key)
		if !ok || slices.ContainsFunc(out, func(h Host) bool { return h.Name == name }) {
			continue
		}
		left, err := c.base.PTTL(ctx, key).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return nil, fmt.Errorf("look at server %s: %w", name, err)
		}
		if left <= 0 {
			continue // its sign of life has ended; asynq clears it away later
		}
		now, err := c.now(ctx, key)
		if err != nil {
			return nil, err
		}
		// The score is cut to whole seconds.
		ends := time.Unix(int64(row.Score), 0).Add(time.Second / 2)
		out = append(out, Host{Name: name, Skew: ends.Sub(now.Add(left))})
	}
	slices.SortFunc(out, func(a, b Host) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// hostOf reads asynq:servers:{host:process:server}.
func hostOf(key string) (string, bool) {
	inner, ok := strings.CutPrefix(key, "asynq:servers:{")
	i := strings.LastIndexByte(inner, ':')
	if !ok || i < 0 {
		return "", false
	}
	return inner[:i], true
}
