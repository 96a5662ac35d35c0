package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"headgate/chaos/world"
)

// idleTargets is how many targets the idle system has.
const idleTargets = 20

// idleSpan is how long commands are counted: some come every five seconds only.
const idleSpan = 5 * time.Second

// twentyTargets adds to the usual targets a route with all that are missing.
func twentyTargets() string {
	targets, route := benchTargets, "- name: others\n  match: POST /others/:id\n  auth: {any: [bench]}\n  targets:\n"
	for i := len(threeTargets); i < idleTargets; i++ {
		targets += fmt.Sprintf("  other%d: {url: \"${BACKENDS_URL}\", post: \"/other%d/${{ .params.id }}\"}\n", i, i)
		route += fmt.Sprintf("    other%d:\n", i)
	}
	return benchAuth + targets + benchRoute + route
}

// commands measures what an idle system with many targets asks of Redis, and that it
// delivers at once all the same.
func commands(ctx context.Context, o options, binaries world.Binaries) ([]Figure, error) {
	s, err := newStage(ctx, o, binaries)
	if err != nil {
		return nil, err
	}
	defer s.close()
	back, err := s.backends()
	if err != nil {
		return nil, err
	}
	c, err := s.deploy("headgate", world.Spec{Whole: true, Routes: twentyTargets(), BackendsURL: back.url})
	if err != nil {
		return nil, err
	}
	say("commands: %d rounds with nothing to do", o.rounds())
	var perSecond, processor, server []float64
	for round := range o.rounds() + 1 {
		got, err := loadOver(ctx, c.pid, c.world.Redis.PID(), c.world.Redis.Client, idleSpan)
		if err != nil {
			return nil, err
		}
		if round > 0 {
			perSecond, processor, server = append(perSecond, got.commands), append(processor, got.worker), append(server, got.redis)
		}
	}
	top, err := s.topLevel(c, idleSpan)
	if err != nil {
		return nil, err
	}
	where := fmt.Sprintf(" with %d targets", idleTargets)
	figures := []Figure{
		figureOf("Redis' commands, idle"+where, "1/s", perSecond...).atMost(400),
		figureOf("those of them that are not made by scripts", "1/s", top),
		figureOf("processor of the process, idle"+where, "cores", processor...),
		figureOf("processor of Redis, idle"+where, "cores", server...),
	}
	latency, err := s.idleLatency(o, back, c, where)
	return append(figures, latency...), err
}

// topLevel counts the commands a second that clients send: INFO counts those that scripts
// make as well, MONITOR tells them apart.
func (s *stage) topLevel(c *contender, span time.Duration) (float64, error) {
	conn, err := new(net.Dialer).DialContext(s.ctx, "tcp", c.world.Redis.Addr())
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }() // what was read was read
	if err := conn.SetDeadline(time.Now().Add(span)); err != nil {
		return 0, err
	}
	if _, err := conn.Write([]byte("MONITOR\r\n")); err != nil {
		return 0, err
	}
	seen := 0
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		if netErr := net.Error(nil); errors.As(err, &netErr) && netErr.Timeout() {
			return float64(seen) / span.Seconds(), nil
		}
		if err != nil {
			return 0, err
		}
		if strings.Contains(line, " [0 ") && !strings.Contains(line, " [0 lua] ") {
			seen++
		}
	}
}
