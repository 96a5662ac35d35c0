package redisstore

import (
	"context"
	"crypto/rand"
	_ "embed" // the scripts
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"headgate/dispatch/target"
)

var (
	//go:embed token.lua
	tokenSource string
	//go:embed same.lua
	sameSource string

	tokenScript = redis.NewScript(tokenSource)
	sameScript  = redis.NewScript(sameSource)
)

// unlockTimeout bounds the end of a lock, which is tried even when the run is over.
const unlockTimeout = time.Second

// Tokens keeps the access and refresh tokens that workers share; it implements target.Tokens. It sees
// them sealed only.
type Tokens struct {
	rdb redis.UniversalClient
}

// NewTokens makes a Tokens. rdb may be an auto-pipelining client.
func NewTokens(rdb redis.UniversalClient) *Tokens { return &Tokens{rdb: rdb} }

var _ target.Tokens = (*Tokens)(nil)

// Get implements target.Tokens.
func (t *Tokens) Get(ctx context.Context, name string) (value []byte, left time.Duration, err error) {
	found, err := tokenScript.Run(ctx, t.rdb, []string{tokenKey(name)}).Slice()
	if err != nil {
		return nil, 0, fmt.Errorf("read an access token: %w", err)
	}
	if len(found) != 2 {
		return nil, 0, nil
	}
	text, _ := found[0].(string)
	ms, _ := found[1].(int64)
	return []byte(text), time.Duration(ms) * time.Millisecond, nil
}

// Put implements target.Tokens.
func (t *Tokens) Put(ctx context.Context, name string, value []byte, ttl time.Duration) error {
	if ttl != 0 {
		ttl = max(ttl, time.Millisecond)
	}
	if err := t.rdb.Set(ctx, tokenKey(name), value, ttl).Err(); err != nil {
		return fmt.Errorf("keep an access token: %w", err)
	}
	return nil
}

// Drop implements target.Tokens.
func (t *Tokens) Drop(ctx context.Context, name string, value []byte) error {
	if err := sameScript.Run(ctx, t.rdb, []string{tokenKey(name)}, value).Err(); err != nil {
		return fmt.Errorf("drop an access token: %w", err)
	}
	return nil
}

// Lock implements target.Tokens.
func (t *Tokens) Lock(ctx context.Context, name string, ttl time.Duration) (unlock func(), ok bool, err error) {
	key, mine := tokenLockKey(name), rand.Text()
	err = t.rdb.SetArgs(ctx, key, mine, redis.SetArgs{Mode: "NX", TTL: max(ttl, time.Millisecond)}).Err()
	if errors.Is(err, redis.Nil) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("lock an access token: %w", err)
	}
	return func() {
		// Others wait for it, also when this run was stopped. Should it fail, ttl ends it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlockTimeout)
		defer cancel()
		_ = sameScript.Run(ctx, t.rdb, []string{key}, mine).Err()
	}, true, nil
}
