package main

import (
	"context"
	"net"
	"time"

	"headgate/chaos/world"
)

// startUp measures the time from the start of a process with both roles to the first
// request that it accepts. Redis is up already.
func startUp(ctx context.Context, o options, binaries world.Binaries) ([]Figure, error) {
	s, err := newStage(ctx, o, binaries)
	if err != nil {
		return nil, err
	}
	defer s.close()
	c, err := s.headgate("headgate", true)
	if err != nil {
		return nil, err
	}
	host, client := c.world.Gateways[0], s.client(c, "start")
	const starts = 7
	say("start: %d starts", starts)
	took := make([]float64, 0, starts)
	for range starts {
		if err := host.Stop(); err != nil {
			return nil, err
		}
		began := time.Now()
		if err := host.StartArmed(ctx); err != nil {
			return nil, err
		}
		if err := s.firstAccepted(c, client, began.Add(time.Minute)); err != nil {
			return nil, err
		}
		took = append(took, float64(time.Since(began).Microseconds())/1000)
	}
	return []Figure{figureOf("from the start of the process to its first accepted request", "ms", took...).atMost(300)}, nil
}

// firstAccepted asks for a connection until there is one, and then sends requests until
// one is accepted.
func (s *stage) firstAccepted(c *contender, client *client, until time.Time) error {
	for {
		conn, err := new(net.Dialer).DialContext(s.ctx, "tcp", c.addr)
		if err == nil {
			_ = conn.Close() // it was there to see that somebody listens
			if _, _, err = client.post(s.ctx, "/profiles/", client.record()); err == nil {
				return nil
			}
		}
		if time.Now().After(until) {
			return err
		}
		if err := sleep(s.ctx, time.Millisecond); err != nil {
			return err
		}
	}
}
