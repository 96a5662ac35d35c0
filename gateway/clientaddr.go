package gateway

import (
	"net/netip"
	"slices"
	"strings"
)

// clientAddr is the address that limits are kept under: the peer's, unless the peer is
// a trusted proxy. Then it is the rightmost forwarded address that is not a trusted
// proxy's: everything left of it was written by that client and proves nothing.
func clientAddr(peer netip.Addr, forwarded []string, trusted []netip.Prefix) netip.Addr {
	client := peer
	if !trusts(trusted, peer) {
		return client
	}
	hops := strings.Split(strings.Join(forwarded, ","), ",")
	for _, hop := range slices.Backward(hops) {
		addr, ok := parseHop(strings.TrimSpace(hop))
		if !ok {
			break
		}
		client = addr
		if !trusts(trusted, addr) {
			break
		}
	}
	return client
}

func trusts(trusted []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// parseHop also takes an address with a port, as some proxies write it.
func parseHop(hop string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(strings.Trim(hop, "[]"))
	if err != nil {
		withPort, err := netip.ParseAddrPort(hop)
		if err != nil {
			return netip.Addr{}, false
		}
		addr = withPort.Addr()
	}
	return addr.Unmap().WithZone(""), true
}
