package ratelimit

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"

	"headgate/policies"
)

// rule is a Rule made ready.
type rule struct {
	Rule
	name   string // how the rule is called in the RateLimit headers
	quoted string // the same as a string of a structured field
	header string // for by: header
	window string // Per as text
}

func newRule(r Rule) rule {
	out := rule{Rule: r, window: r.Per.String()}
	if header, ok := strings.CutPrefix(string(r.By), headerPrefix); ok {
		out.header = header
	}
	out.name = strings.ToLower(strings.ReplaceAll(string(r.By), ":", "-")) + "-" + out.window
	out.quoted = strconv.Quote(out.name)
	return out
}

// key is what a hit of r is counted under. Values are hashed: keys hold no personal
// data, have one length, and what a caller sends cannot reach into another's key. The
// window is part of it, so that a rule whose window has changed starts anew.
func (r *rule) key(index int, q *policies.Request) string {
	kind, value := r.value(q)
	var room [512]byte // on the stack: first for what is hashed, then for the key
	sum := sha256.Sum256(append(room[:0], value...))
	out := append(append(room[:0], q.Route...), ':')
	out = append(strconv.AppendInt(out, int64(index), 10), ':')
	out = append(append(out, kind...), ':')
	out = append(append(out, r.window...), ':')
	return string(hex.AppendEncode(out, sum[:16]))
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
