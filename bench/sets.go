package main

import (
	"context"
	"regexp"

	"headgate/chaos/world"
)

// set says when a benchmark runs: the quick ones always, the long ones when asked for.
type set string

const (
	quickSet   set = "quick"
	defaultSet set = "default"
	longSet    set = "long"
)

// benchmark measures some figures.
type benchmark struct {
	name  string
	set   set
	about string
	run   func(ctx context.Context, o options, b world.Binaries) ([]Figure, error)
}

// benchmarks are all of them, in the order in which they run.
var benchmarks = []benchmark{
	{"accept", quickSet, "requests accepted a second, processor, latency and memory; nothing is delivered", accept},
	{"deliveries", quickSet, "requests accepted and deliveries made a second, with processor", deliveries},
	{"idle", quickSet, "latency to the backends on an idle system", idle},
	{"hanging", quickSet, "latency to the backends while another one hangs", hangingNeighbour},
	{"start", quickSet, "from the start of the process to its first accepted request", startUp},
	{"tracking", defaultSet, "GET /tracking/<id> a second", trackings},
	{"far", defaultSet, "latency of accepting with Redis 2 ms away", far},
	{"commands", defaultSet, "what an idle system with 20 targets asks of Redis", commands},
	{"memory", defaultSet, "memory of Redis for a pending delivery", redisMemory},
	{"batches", defaultSet, "records a second through targets that take batches", batches},
	{"backlog", defaultSet, "latency to the backends with 200,000 deliveries before another one that is down", backlog},
	{"fairness", longSet, "latency behind 500,000 deliveries of another tenant", fair},
	{"million", longSet, "requests accepted a second with a million deliveries pending", million},
	{"polls", longSet, "processor with 100,000 jobs polled every 5 minutes", polls},
	{"growth", longSet, "memory of the gateway in ten minutes of load", growth},
}

// choose gives the benchmarks of the sets that are asked for.
func (o options) choose(match *regexp.Regexp) []benchmark {
	var out []benchmark
	for _, b := range benchmarks {
		asked := b.set == quickSet || b.set == defaultSet && !o.quick || b.set == longSet && o.long && !o.quick
		if asked && match.MatchString(b.name) {
			out = append(out, b)
		}
	}
	return out
}
