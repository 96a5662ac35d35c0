package redisstore

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Observer is told of each round trip with Redis: whether a pipeline was sent or a single
// command, how long it took, and whether it failed.
type Observer func(pipeline bool, took time.Duration, failed bool)

// meter is a hook that measures commands and pipelines. It is put onto the clients of single
// servers, in a cluster onto those of its nodes: as near to the connection as can be, so that
// neither the gate of a queue nor the way to the right node is measured.
type meter struct{ observe Observer }

// DialHook implements redis.Hook.
func (meter) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (m meter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		began := time.Now()
		err := next(ctx, cmd)
		if !greets(cmd) {
			m.observe(false, time.Since(began), failure(err))
		}
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (m meter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		began := time.Now()
		err := next(ctx, cmds)
		if len(cmds) > 0 && !greets(cmds[0]) {
			// err is one of them, or none although an answer says no.
			failed := failure(err) || slices.ContainsFunc(cmds, func(cmd redis.Cmder) bool { return failure(cmd.Err()) })
			m.observe(true, time.Since(began), failed)
		}
		return err
	}
}

// greets tells the commands that a new connection begins with: older servers do not know
// some of them, and nobody waits for what they are about.
func greets(cmd redis.Cmder) bool {
	switch cmd.Name() {
	case "hello", "auth", "client", "select", "readonly":
		return true
	}
	return false
}

// cannot begins the answers that say that what was asked cannot be done, now or at all. Others
// are part of the way things go: that a script has to be sent whole, that a slot is elsewhere,
// that a task is not there.
var cannot = []string{
	"ERR", "OOM", "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "MISCONF",
	"NOREPLICAS", "NOAUTH", "WRONGPASS", "NOPERM", "EXECABORT", "UNKILLABLE",
}

// failure reports whether an error is one of Redis, of its connection, or of its being too slow.
func failure(err error) bool {
	if err == nil || errors.Is(err, redis.Nil) || errors.Is(err, context.Canceled) {
		return false
	}
	var reply redis.Error
	if !errors.As(err, &reply) {
		return true
	}
	word, _, _ := strings.Cut(reply.Error(), " ")
	return slices.Contains(cannot, word)
}

// flowMeter measures the pipeline that concurrent callers share. A hook there would cost each of
// their commands a goroutine; this is told of each lot of commands that is written, and of the
// last of their answers, as who may refuse them. Answers come in the order of the lots.
type flowMeter struct {
	observe Observer

	mu   sync.Mutex
	sent []time.Time
}

// Allow implements redis.Limiter: a lot is about to be written.
func (m *flowMeter) Allow() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sent = append(m.sent, time.Now())
	return nil
}

// ReportResult implements redis.Limiter: all of the oldest lot has been answered, or never will be.
func (m *flowMeter) ReportResult(err error) {
	m.mu.Lock()
	if len(m.sent) == 0 {
		m.mu.Unlock()
		return
	}
	began := m.sent[0]
	m.sent = slices.Delete(m.sent, 0, 1)
	m.mu.Unlock()
	var reply redis.Error
	m.observe(true, time.Since(began), failure(err) && !errors.As(err, &reply)) // replies are those to greetings
}

var _ redis.Limiter = (*flowMeter)(nil)

// Pool is how the connections of a Conn stand, those of subscriptions left out.
type Pool struct {
	Idle, Used      int
	Timeouts, Waits uint32 // so far
}

// Pool tells how the connections stand; in a cluster those to all nodes together.
func (c *Conn) Pool() Pool {
	s := c.root.PoolStats()
	out := Pool{Idle: int(s.IdleConns), Used: int(s.TotalConns) - int(s.IdleConns), Timeouts: s.Timeouts, Waits: s.WaitCount}
	if p := s.PipelineStats; p != nil {
		out.Idle += int(p.IdleConns)
		out.Used += int(p.TotalConns) - int(p.IdleConns)
		out.Timeouts += p.Timeouts
		out.Waits += p.WaitCount
	}
	out.Used = max(out.Used, 0) // the two are not read at the same moment
	return out
}
