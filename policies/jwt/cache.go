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

// get finds a token that was verified once; holds tells whether that still counts.
func (c *cache) get(sum [sha256.Size]byte) (verified, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	v, ok := c.entries[sum]
	return v, ok
}

// holds reports whether the keys are those it was verified with, and now is its time.
func (v *verified) holds(keys *keySet, now time.Time) bool {
	return v.keys == keys && now.Before(v.expires) && !now.Before(v.notBefore)
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
