package check

import (
	"context"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// network is a bridge that containers are plugged into, with a name server that knows them, as an engine
// gives each project. It is in the network namespace of this process and goes with it.
type network struct {
	prefix netip.Prefix

	mu    sync.Mutex
	names map[string]netip.Addr
	used  netip.Addr
}

// gateway is this process's own address in the network.
func (n *network) gateway() netip.Addr { return n.prefix.Addr().Next() }

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{prefix: netip.MustParsePrefix("10.77.0.0/24"), names: map[string]netip.Addr{}}
	n.used = n.gateway()
	ip(t, "link", "set", "lo", "up")
	ip(t, "link", "add", "bridge0", "type", "bridge")
	ip(t, "address", "add", n.gateway().String()+"/24", "dev", "bridge0")
	ip(t, "link", "set", "bridge0", "up")
	server, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", n.gateway().String()+":53")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.serve(server)
	}()
	t.Cleanup(func() {
		_ = server.Close() // nobody asks any more
		<-done
	})
	return n
}

// address gives the next free one, with the length of its prefix, known by a name.
func (n *network) address(name string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.used = n.used.Next()
	n.names[name] = n.used
	return n.used.String() + "/24"
}

func (n *network) find(name string) (netip.Addr, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	at, ok := n.names[strings.TrimSuffix(strings.ToLower(name), ".")]
	return at, ok
}

// plug lays a cable into the network of a process.
func (n *network) plug(t *testing.T, name string, pid string) {
	t.Helper()
	ip(t, "link", "add", "to-"+name[:min(len(name), 10)], "type", "veth", "peer", "name", "eth0", "netns", pid)
	ip(t, "link", "set", "to-"+name[:min(len(name), 10)], "master", "bridge0", "up")
}

// dial reaches ports of containers from here, by their names.
func (n *network) dial(ctx context.Context, kind, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if at, ok := n.find(host); ok {
		host = at.String()
	}
	return new(net.Dialer).DialContext(ctx, kind, net.JoinHostPort(host, port))
}

func (n *network) serve(server net.PacketConn) {
	packet := make([]byte, 1500)
	for {
		size, from, err := server.ReadFrom(packet)
		if err != nil {
			return
		}
		if answer, err := n.answer(packet[:size]); err == nil {
			_, _ = server.WriteTo(answer, from) // who got none asks again
		}
	}
}

func (n *network) answer(packet []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(packet); err != nil {
		return nil, err
	}
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	for _, q := range m.Questions {
		at, ok := n.find(q.Name.String())
		switch {
		case !ok:
			m.RCode = dnsmessage.RCodeNameError
		case q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class},
				Body:   &dnsmessage.AResource{A: at.As4()},
			})
		}
	}
	return m.Pack()
}
