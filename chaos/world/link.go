package world

import (
	"context"
	"fmt"
	"strings"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// Link is a stretch of network between two processes that can be cut, slowed and reset.
// Its methods are called by one goroutine at a time.
type Link struct {
	proxy *toxiproxy.Proxy
}

func newLink(name, upstream string) (*Link, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, name, "127.0.0.1:0", upstream)
	if err := proxy.Start(); err != nil {
		return nil, fmt.Errorf("start the link %s: %w", name, err)
	}
	return &Link{proxy}, nil
}

// Addr is where the link is entered.
func (l *Link) Addr() string { return l.proxy.Listen }

// add puts a toxic on the link in both directions.
func (l *Link) add(kind, attributes string) error {
	for _, direction := range []string{"upstream", "downstream"} {
		text := fmt.Sprintf(`{"type": %q, "stream": %q, "attributes": {%s}}`, kind, direction, attributes)
		if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
			return fmt.Errorf("%s on a link: %w", kind, err)
		}
	}
	return nil
}

// Cut lets nothing through in either direction; connections stay open, as when a switch
// loses power.
func (l *Link) Cut() error { return l.add("timeout", `"timeout": 0`) }

// Slow adds half of rtt to each direction.
func (l *Link) Slow(rtt time.Duration) error {
	return l.add("latency", fmt.Sprintf(`"latency": %d`, rtt.Milliseconds()/2))
}

// Heal takes away what was put on the link. Connections that were cut are closed.
func (l *Link) Heal(ctx context.Context) { l.proxy.Toxics.ResetToxics(ctx) }

// Reset ends the connections of the moment with a TCP reset at their next byte.
func (l *Link) Reset(ctx context.Context, during time.Duration) error {
	if err := l.add("reset_peer", `"timeout": 0`); err != nil {
		return err
	}
	err := Sleep(ctx, during)
	l.Heal(ctx)
	return err
}

// Down refuses connections and closes those that are open.
func (l *Link) Down() { l.proxy.Stop() }

// Up takes connections again, at the same address.
func (l *Link) Up() error {
	if err := l.proxy.Start(); err != nil {
		return fmt.Errorf("bring the link up: %w", err)
	}
	return nil
}

// Sleep waits unless ctx ends before.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
