package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"headgate/config"
	"headgate/config/unit"
	"headgate/internal/redisstore"
)

// slowRedis is from where on the way to Redis is worth a word: accepting a request takes up to
// three round trips.
const slowRedis = 5 * time.Millisecond

// redis looks at each server.
func (e *exam) redis(ctx context.Context) (out []Finding) {
	if e.store == nil {
		state := Warning
		if e.conf.Redis.URL.Mode == config.Embedded {
			state = OK
		}
		return []Finding{{"", state, "redis is not looked at: " + e.why, ""}}
	}
	url := e.conf.Redis.URL
	if err := e.answers(); err != nil {
		return []Finding{{"", Problem, fmt.Sprintf("%s does not answer: %s", url, plainError(err)), e.whyNot(err)}}
	}
	partly, _ := e.conn.Health(ctx) // that it answers was asked
	if partly != "" {
		out = append(out, Finding{"", Problem, "a part of the cluster does not work: " + oneLine(partly), e.cli("") + " CLUSTER NODES"})
	}
	nodes, err := e.store.Examine(ctx)
	if err != nil && partly == "" {
		out = append(out, Finding{"", Problem, "redis cannot be looked at: " + plainError(err), e.whyNot(err)})
	}
	for _, n := range nodes {
		out = append(out, e.node(n)...)
	}
	return out
}

// node judges one server.
func (e *exam) node(n redisstore.NodeReport) (out []Finding) {
	who, cli := "redis", e.cli(n.Name)
	if n.Name != "" {
		who += " " + n.Name
	}
	say := func(state State, do, format string, args ...any) {
		out = append(out, Finding{"", state, who + " " + fmt.Sprintf(format, args...), do})
	}
	for _, f := range n.Faults {
		state := Warning
		if strings.Contains(f.What, "evicts") || strings.Contains(f.What, "redis.ack waits") {
			state = Problem
		}
		say(state, command(cli, f.Do), "%s", strings.TrimPrefix(f.What, "redis "))
	}
	if n.Loading {
		say(Warning, cli+" INFO persistence", "reads its data from disk and answers when that has ended")
	}
	if n.Role == "slave" {
		say(Problem, "name its master in redis.url, or the Sentinels, as redis+sentinel://…", "is a replica: nothing can be written to it")
	}
	if mode := e.conf.Redis.URL.Mode; n.Replicas == 0 && n.Role == "master" && (mode == config.Cluster || mode == config.Sentinel) {
		say(Warning, cli+" INFO replication; give it one, or start the one that is away", "has no replica: when it dies, nobody takes its place")
	}
	bound := e.conf.Redis.MaxMemory.Of(n.Memory.Max)
	memory := megabytes(n.Memory.Used) + " used"
	switch {
	case n.Memory.Used == 0: // an emulation, or a proxy, that does not tell
	case bound == 0:
		say(Warning, cli+" CONFIG SET maxmemory 2gb (and in redis.conf), or redis.max_memory: 2GB in "+e.o.ConfigPath,
			"has no maxmemory (%s): it grows until its machine has no more", memory)
	case n.Memory.Used >= bound:
		say(Problem, "give it more memory, or lower limits.backlog of the targets that wait: headgate find --state in_progress",
			"is full: %s of %s (redis.max_memory); requests are refused", memory, megabytes(bound))
	case n.Memory.Used >= bound/100*80:
		say(Warning, cli+" --bigkeys, and headgate find --state in_progress", "is nearly full: %s of %s (redis.max_memory)", memory, megabytes(bound))
	default:
		memory += " of " + megabytes(bound)
	}
	if n.MaxClients > 0 && n.Clients > n.MaxClients/10*9 {
		say(Warning, cli+" CONFIG SET maxclients 20000, or lower redis.pool_size", "has %d of %d connections", n.Clients, n.MaxClients)
	}
	if n.Latency > slowRedis {
		say(Warning, "run Headgate closer to Redis; see: "+cli+" --latency", "takes %s to answer; each request waits for up to three answers", short(n.Latency))
	}
	text := fmt.Sprintf("redis %s at %s answers in %s; %s, %s", n.Version, e.place(n.Name), short(n.Latency), memory, count(n.Replicas, "replica"))
	return append([]Finding{{"", OK, text, ""}}, out...)
}

// allowed looks whether everything may be done that is needed.
func (e *exam) allowed(ctx context.Context) (out []Finding) {
	for _, r := range e.store.Allowed(ctx) {
		what := "redis refuses " + r.What + ": " + plainError(r.Err)
		switch {
		case r.Forbidden():
			out = append(out, Finding{"", Problem, what, fmt.Sprintf("%s ACL SETUSER %s '~hg:*' '~asynq:*' '&hg:*' '&asynq:*' +@all -@admin -@dangerous +info", e.cli(""), r.User)})
		case r.Full():
			out = append(out, Finding{"", Problem, what, "raise its maxmemory; what is queued drains meanwhile"})
		case r.Replica():
			out = append(out, Finding{"", Problem, what, "name its master in redis.url"})
		default:
			out = append(out, Finding{"", Problem, what, e.cli("") + " INFO persistence"})
		}
	}
	return out
}

// cli gives redis-cli's way to a node; the empty name is what redis.url says.
func (e *exam) cli(node string) string {
	url := e.conf.Redis.URL
	if url.Mode == config.Unix {
		return "redis-cli -s " + url.Addrs[0]
	}
	if node == "" && len(url.Addrs) > 0 {
		node = url.Addrs[0]
	}
	host, port, err := net.SplitHostPort(node)
	if err != nil {
		return "redis-cli"
	}
	out := "redis-cli -h " + host + " -p " + port
	if url.TLS {
		out += " --tls"
	}
	return out
}

func (e *exam) place(node string) string {
	if node != "" {
		return node
	}
	return e.conf.Redis.URL.String()
}

// command makes a command of what Guard tells to set.
func command(cli, do string) string {
	if setting, ok := strings.CutPrefix(do, "set "); ok {
		if setting == "noeviction" {
			setting = "maxmemory-policy noeviction"
		}
		return cli + " CONFIG SET " + setting + " (and in redis.conf)"
	}
	return do
}

// whyNot says what to do about a Redis that does not answer.
func (e *exam) whyNot(err error) string {
	text := err.Error()
	switch {
	case strings.Contains(text, "WRONGPASS"), strings.Contains(text, "NOAUTH"):
		return "correct redis.username and redis.password in " + e.o.ConfigPath
	case strings.Contains(text, "NOPERM"):
		return e.cli("") + " ACL WHOAMI, and grant what is missing: ACL SETUSER NAME +@all -@admin -@dangerous +info"
	case strings.Contains(text, "x509"), strings.Contains(text, "tls:"):
		return "correct redis.tls in " + e.o.ConfigPath + "; see: openssl s_client -connect " + strings.Join(e.conf.Redis.URL.Addrs[:1], "")
	case e.conf.Redis.URL.Mode == config.Sentinel:
		return e.cli("") + " SENTINEL GET-MASTER-ADDR-BY-NAME " + e.conf.Redis.URL.Master
	}
	return "start it, or correct redis.url in " + e.o.ConfigPath + "; try: " + e.cli("") + " PING"
}

// plainError is an error without what only a program needs.
func plainError(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "it did not answer in time"
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil && op.Op == "dial" {
		return oneLine(op.Err.Error())
	}
	return oneLine(err.Error())
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func megabytes(bytes int64) string { return unit.Size((bytes + 1<<19) >> 20 << 20).String() }

// short writes a time with as many digits as mean something.
func short(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(100 * time.Microsecond).String()
}
