package ratelimit

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"headgate/policies"
)

// rule is a Rule made ready.
type rule struct {
	Rule
	name   string // how the rule is called in the RateLimit headers
	header string // for by: header
}

func newRule(r Rule) rule {
	out := rule{Rule: r}
	if header, ok := strings.CutPrefix(string(r.By), headerPrefix); ok {
		out.header = header
	}
	out.name = strings.ToLower(strings.ReplaceAll(string(r.By), ":", "-")) + "-" + r.Per.String()
	return out
}

// key is what a hit of r is counted under. Values are hashed: keys hold no personal
// data, have one length, and what a caller sends cannot reach into another's key. The
// window is part of it, so that a rule whose window has changed starts anew.
func (r *rule) key(index int, q *policies.Request) string {
	kind, value := r.value(q)
	sum := sha256.Sum256([]byte(value))
	return fmt.Sprintf("%s:%d:%s:%s:%s", q.Route, index, kind, r.Per, hex.EncodeToString(sum[:16]))
}

// value gives what is counted apart. Parts are separated by a NUL, which no header
// value and no name can hold.
func (r *rule) value(q *policies.Request) (kind, value string) {
	p := q.Principal
	switch {
	case r.header != "":
		if v := strings.Join(q.Header[r.header], ","); v != "" {
			return "header", r.header + "\x00v" + v
		}
		// Without the header callers would share one count, and one of them could use
		// it up for all: they are told apart by address.
		return "header", r.header + "\x00a" + network(q.Client)
	case r.By == ByRoute:
		return "route", ""
	case r.By == ByPrincipal && p.Authenticated():
		return "principal", p.Authenticator + "\x00" + p.Tenant + "\x00" + p.ID
	case r.By == ByTenant && p.Authenticated():
		return "tenant", p.TenantKey()
	default:
		return "ip", network(q.Client)
	}
}

// network is the part of an address that one subscriber holds: all of IPv4, the /64 of
// IPv6, where a single host may use any address (RFC 6177, RFC 7934).
func network(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return a.String()
	}
	prefix, err := a.Prefix(64)
	if err != nil {
		return a.String()
	}
	return prefix.String()
}
