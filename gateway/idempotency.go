package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	"headgate/dispatch"
	"headgate/routes"
)

// maxKey is the longest idempotency key in characters.
const maxKey = 255

// idem reads the Idempotency-Key header; nil when there is none or the route ignores it.
func (c *call) idem(r *routes.Route) (*dispatch.Idem, *answer) {
	values := c.req.Header["Idempotency-Key"]
	if r.Idempotency == routes.IdempotencyOff {
		return nil, nil
	}
	if len(values) == 0 {
		if r.Idempotency == routes.IdempotencyRequired {
			c.note.reason = "no idempotency key"
			return nil, problem("idempotency-key-required", http.StatusBadRequest, "This route needs an Idempotency-Key header.")
		}
		return nil, nil
	}
	key, ok := parseKey(values)
	if !ok {
		c.note.reason = "bad idempotency key"
		return nil, problem("bad-idempotency-key", http.StatusBadRequest,
			"The Idempotency-Key must be given once, with 1 to 255 characters and no control characters.")
	}
	return &dispatch.Idem{
		Hash:        idemHash(c.note.tenant, r.Name, key),
		Fingerprint: digest(c.req.Method, c.req.Path, c.rawQuery, string(c.req.Body)),
		TTL:         r.IdemTTL,
	}, nil
}

// IdemHash gives what a client's Idempotency-Key is kept under: dispatch.Idem has it, and so
// has tracking.FindQuery. value is the header's value, quoted or bare; ok is false for one
// that is never accepted.
func IdemHash(tenant, route, value string) (hash string, ok bool) {
	key, ok := parseKey([]string{value})
	if !ok {
		return "", false
	}
	return idemHash(tenant, route, key), true
}

func idemHash(tenant, route, key string) string { return digest(tenant, route, key) }

// parseKey takes the key bare, as most clients send it, or as the string of a
// structured field, as draft-ietf-httpapi-idempotency-key-header has it.
func parseKey(values []string) (string, bool) {
	if len(values) != 1 {
		return "", false
	}
	key := values[0]
	if len(key) >= 2 && key[0] == '"' && key[len(key)-1] == '"' {
		key = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(key[1 : len(key)-1])
	}
	if key == "" || len([]rune(key)) > maxKey {
		return "", false
	}
	return key, !strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// digest is 128 bits of SHA-256 over the parts, in hex. At most one part may hold a NUL,
// or two lists of parts could look alike: of a key it is the tenant, of a fingerprint
// the body.
func digest(parts ...string) string {
	var room [1 << 10]byte // most requests are small: they are hashed on the stack
	text := room[:0]
	for i, part := range parts {
		if i > 0 {
			text = append(text, 0)
		}
		text = append(text, part...)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}
