package target

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"code.dny.dev/ssrf"

	"headgate/dispatch/trace"
)

// Outgoing says how an Engine reaches hosts. The zero value is what production takes.
type Outgoing struct {
	// Transport carries the calls to the targets' own hosts; nil takes the tuned default.
	Transport http.RoundTripper
	// Guarded carries those to hosts that an answer named; nil takes the default, which
	// refuses addresses that are not public. Only tests have another one.
	Guarded http.RoundTripper
	// Resolver finds addresses; nil takes the system's.
	Resolver *net.Resolver
	// MayReach are networks that are no public ones and yet may be reached by URLs from
	// answers: a storage of one's own, or the prefix of a NAT64.
	MayReach []netip.Prefix
	// Tokens shares access tokens with other workers; nil keeps them in this engine.
	Tokens Tokens
	// Trace makes a span of each call; nil makes none.
	Trace trace.Tracer
}

// Bounds of the transports. Calls to a host are bounded by the slots of the targets that
// name it, so what is bounded here is what is kept open between calls.
const (
	dialTimeout       = 5 * time.Second
	idleFor           = 90 * time.Second
	idleOfHost        = 64
	idleOfAllHosts    = 1024
	idleOfOtherHost   = 8
	idleOfOtherHosts  = 128
	maxResponseHeader = 64 << 10
)

// newTransport tunes the standard transport for many calls to few hosts: with its two
// idle connections a host, most calls would open a connection of their own. There is
// no proxy from the environment: operators choose targets, not variables.
func newTransport(o Outgoing) *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second, Resolver: o.Resolver}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		MaxIdleConns:           idleOfAllHosts,
		MaxIdleConnsPerHost:    idleOfHost,
		IdleConnTimeout:        idleFor,
		TLSHandshakeTimeout:    10 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxResponseHeader,
		ForceAttemptHTTP2:      true,
	}
}

// newGuarded makes the transport for hosts that an answer named. It has connections of
// its own: one that was opened to a target's own private host must not carry a call
// that would not have been allowed to open it. The guard looks at the address of each
// connection, after the name was resolved: a name that resolves to another address from
// one moment to the next gains nothing.
func newGuarded(o Outgoing) *http.Transport {
	t := newTransport(o)
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second, Resolver: o.Resolver, Control: guard(o.MayReach)}
	t.DialContext = dialer.DialContext
	t.MaxIdleConns, t.MaxIdleConnsPerHost = idleOfOtherHosts, idleOfOtherHost
	return t
}

// moreDenied are addresses that look public and are not: the metadata service of Azure.
var moreDenied = []netip.Prefix{netip.MustParsePrefix("168.63.129.16/32")}

// guard refuses everything but global unicast addresses: the registries of special
// addresses of IANA, and all of IPv6 outside of 2000::/3, which holds what maps or
// translates IPv4 addresses (::ffff:0:0/96, 64:ff9b::/96). Ports are allow_hosts' to decide.
func guard(mayReach []netip.Prefix) func(network, address string, c syscall.RawConn) error {
	var v4, v6 []netip.Prefix
	for _, p := range mayReach {
		if p.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}
	g := ssrf.New(ssrf.WithAnyPort(), ssrf.WithDeniedV4Prefixes(moreDenied...),
		ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...))
	return func(network, address string, c syscall.RawConn) error {
		if err := g.Safe(network, address, c); err != nil {
			return err
		}
		to, err := netip.ParseAddrPort(address)
		if err != nil || !ssrf.IPv6NAT64Prefix.Contains(to.Addr()) {
			return err
		}
		// Whoever opens a NAT64 means the public addresses behind it.
		last := to.Addr().As16()
		return g.SafeAddr(netip.AddrFrom4([4]byte(last[12:])))
	}
}

// guarded reports whether a connection was refused by the guard.
func guarded(err error) bool {
	return errors.Is(err, ssrf.ErrProhibitedIP) || errors.Is(err, ssrf.ErrProhibitedNetwork) || errors.Is(err, ssrf.ErrInvalidHostPort)
}
