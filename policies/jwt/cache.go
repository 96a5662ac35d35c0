package jwt

import (
	"crypto/sha256"
	"sync"
	"time"

	"headgate/policies"
)

// maxCached bounds the verified tokens that are remembered.
const maxCached = 10_000

// cache remembers which tokens have been verified: an RS256 signature takes five times
// as long as all the rest. A token is known by its SHA-256, and only as long as the
// very key set is current that it was verified with. The claims of a principal are
// shared by all its requests and must not be changed.
type cache struct {
	mu      sync.RWMutex
	entries map[[sha256.Size]byte]verified
}

type verified struct {
	principal policies.Principal
	keys      *keySet
	notBefore time.Time // leeway included; zero: none
	expires   time.Time // leeway included
}

func newCache() *cache { return &cache{entries: map[[sha256.Size]byte]verified{}} }

func (c *cache) get(sum [sha256.Size]byte, keys *keySet, now time.Time) (policies.Principal, bool) {
	c.mu.RLock()
	v, ok := c.entries[sum]
	c.mu.RUnlock()
	if !ok || v.keys != keys || !now.Before(v.expires) || now.Before(v.notBefore) {
		return policies.Principal{}, false
	}
	return v.principal, true
}

func (c *cache) put(sum [sha256.Size]byte, v verified) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) >= maxCached {
		// Any tenth goes: iteration order is random enough, and what is still in use
		// comes back with its next request.
		n := maxCached / 10
		for key := range c.entries {
			delete(c.entries, key)
			if n--; n == 0 {
				break
			}
		}
	}
	c.entries[sum] = v
}
