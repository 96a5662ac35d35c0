package target

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"headgate/config/unit"
	"headgate/config/yamlsrc"
)

// maxMaxResponse bounds what a target may ask for: each call of its concurrency may hold
// that much memory.
const maxMaxResponse unit.Size = 64 << 20

// numbers checks what is parsed and has to make sense.
func (c *compiler) numbers() {
	s, n := &c.spec, c.target
	c.atLeastOne(s.Retry.Attempts, n, "retry", "attempts")
	c.between(s.Limits.Concurrency, 1, 10_000, n, "limits", "concurrency")
	c.atLeastOne(s.Limits.FairShare, n, "limits", "fair_share")
	c.backlog()
	c.atLeastOne(s.Breaker.Failures, n, "breaker", "failures")
	c.positive(s.Retry.First, n, "retry", "first")
	c.positive(s.Retry.Within, n, "retry", "within")
	c.positive(s.Limits.Timeout, n, "limits", "timeout")
	c.positive(s.Breaker.OpenFor, n, "breaker", "open_for")
	if s.Retry.Max < s.Retry.First {
		c.problem(find(n, "retry", "max"), "raise max or lower first", "retry.max (%s) is less than retry.first (%s)", s.Retry.Max, s.Retry.First)
	}
	if s.MaxResponse < 1 || s.MaxResponse > maxMaxResponse {
		c.problem(find(n, "max_response"), "write a size such as 1MB", "max_response should be more than 0 and at most %s", maxMaxResponse)
	}
	on := c.statuses(find(n, "retry", "on"), s.Retry.On, 300)
	c.statuses(find(n, "retry", "not_on"), s.Retry.NotOn, 300)
	for _, status := range s.Retry.NotOn {
		if on[status] {
			c.problem(find(n, "retry", "not_on"), "keep one of them", "status %d is in retry.on and in retry.not_on", status)
		}
	}
}

// Bounds of a batch. Its records are in Redis until it has ended.
const (
	maxBatchRecords           = 100_000
	maxBatchBytes   unit.Size = 1 << 30
	maxHeldBytes    unit.Size = 64 << 20 // of an upload that is held in memory while it is sent
)

// batch checks how deliveries are gathered. From then on expressions see records.
func (c *compiler) batch() {
	n, b := c.target.Get("batch"), c.spec.Batch
	if n == nil {
		return
	}
	if b == nil {
		if n.Kind == yamlsrc.Null {
			c.problem(n, "write {max_records: 100, linger: 1s}, or leave the key out", "batch is empty")
		}
		return
	}
	if n.Get("max_records") == nil {
		b.MaxRecords = 100
	}
	if n.Get("max_bytes") == nil {
		b.MaxBytes = 5 << 20
	}
	if n.Get("linger") == nil {
		b.Linger = duration("1s")
	}
	c.between(b.MaxRecords, 1, maxBatchRecords, c.target, "batch", "max_records")
	if b.MaxBytes < 3 || b.MaxBytes > maxBatchBytes {
		c.problem(find(n, "max_bytes"), "write a size such as 5MB", "max_bytes should be at least 3 bytes and at most %s", maxBatchBytes)
	}
	if at := n.Get("max_record_bytes"); at != nil && (b.MaxRecordBytes < 1 || b.MaxRecordBytes > b.MaxBytes) {
		c.problem(at, "write a size, or leave it out", "max_record_bytes should be more than 0 and at most max_bytes (%s)", b.MaxBytes)
	}
	if n.Get("max_in_flight") != nil {
		c.atLeastOne(b.MaxInFlight, c.target, "batch", "max_in_flight")
	}
	c.positive(b.Linger, c.target, "batch", "linger")
	c.chunk(n.Get("chunk"), b)
	c.roots = batchRoots
}

// The words of Chunk.Into.
const (
	intoJob  = "job"
	intoStep = "step"
)

// chunk checks how a batch is sent in parts.
func (c *compiler) chunk(n *yamlsrc.Node, b *Batch) {
	if n == nil || b.Chunk == nil {
		return
	}
	k := b.Chunk
	if k.Into != "" && k.Into != intoJob && k.Into != intoStep {
		c.problem(find(n, "into"), yamlsrc.UnknownHint(k.Into, []string{intoJob, intoStep}), "%q is nothing that a chunk can go into", k.Into)
	}
	if n.Get("max_records") == nil {
		k.MaxRecords = b.MaxRecords
	}
	if n.Get("max_bytes") == nil {
		k.MaxBytes = b.MaxBytes
	}
	c.between(k.MaxRecords, 1, b.MaxRecords, n, "max_records")
	if k.MaxBytes < 3 || k.MaxBytes > b.MaxBytes {
		c.problem(find(n, "max_bytes"), "write a size, or leave it out", "chunk.max_bytes should be at least 3 bytes and at most batch.max_bytes (%s)", b.MaxBytes)
	}
}

// foreach checks which step is repeated for each chunk, if any.
func (c *compiler) foreach() {
	at := c.target.Get("batch").Get("chunk")
	into := ""
	if c.spec.Batch != nil && c.spec.Batch.Chunk != nil {
		into = c.spec.Batch.Chunk.Into
	}
	repeated := false
	for i, s := range c.plan.steps {
		n := c.target.Get("steps")
		if n == nil || i >= len(n.Items) {
			break
		}
		n = n.Items[i]
		word := find(n, "foreach")
		switch {
		case !s.foreach && into == intoStep && s.sendsRecords():
			c.problem(n, "use them in the step with foreach: chunk alone", "step %s sends the records, which go in chunks", s.name)
		case !s.foreach:
		case c.spec.Steps[i].Foreach != "chunk":
			c.problem(word, "write foreach: chunk", "%q is nothing that a step can be repeated for", c.spec.Steps[i].Foreach)
		case into != intoStep:
			c.problem(word, "add chunk: {into: step, max_records: …} to batch", "there are no chunks to repeat the step for")
		case repeated:
			c.problem(word, "keep one of them", "a second step that is repeated for each chunk")
		case s.next == "":
			c.problem(word, "write chunk: {into: job} for uploads that are each a job of their own", "the last step cannot be repeated: it tells how the batch ended")
		case !s.sendsRecords():
			c.problem(word, "use .records in its body", "the step is repeated for each chunk, and sends no records")
		}
		repeated = repeated || s.foreach
	}
	if into == intoStep && !repeated {
		c.problem(at, "write foreach: chunk on the step that uploads", "no step is repeated for each chunk")
	}
}

// backlog checks the limits that have no default: one that is written down must be one.
func (c *compiler) backlog() {
	l, n := c.spec.Limits, c.target
	for _, limit := range []struct {
		key   string
		value int
	}{{"backlog", l.Backlog}, {"backlog_per_tenant", l.BacklogPerTenant}} {
		if n.Get("limits").Get(limit.key) != nil && limit.value < 1 {
			c.problem(find(n, "limits", limit.key), "write 1 or more, or leave it out for no limit", "%s should be at least 1", limit.key)
		}
	}
	if l.Backlog > 0 && l.BacklogPerTenant > l.Backlog {
		c.problem(find(n, "limits", "backlog_per_tenant"), "lower it, or raise backlog",
			"no tenant can have %d deliveries under way when all together have %d", l.BacklogPerTenant, l.Backlog)
	}
}

// statuses checks a list of HTTP statuses and gives it as a set.
func (c *compiler) statuses(n *yamlsrc.Node, list []int, lowest int) map[int]bool {
	set := make(map[int]bool, len(list))
	for i, status := range list {
		at := n
		if i < len(n.Items) {
			at = n.Items[i]
		}
		if status < lowest || status > 599 {
			c.problem(at, fmt.Sprintf("write numbers from %d to 599", lowest), "%d is no status that can be meant here", status)
		}
		if set[status] && !c.kept {
			c.problem(at, "keep one of them", "status %d is there twice", status)
		}
		set[status] = true
	}
	return set
}

// expected reports statuses that retry speaks of in vain, since each call takes them for an
// answer that is fine.
func (c *compiler) expected() {
	for key, list := range map[string][]int{"on": c.spec.Retry.On, "not_on": c.spec.Retry.NotOn} {
		at := find(c.target, "retry", key)
		for i, status := range list {
			fine := func(s *step) bool { return slices.Contains(s.expect, status) }
			if !c.kept && i < len(at.Items) && !slices.ContainsFunc(c.plan.steps, func(s *step) bool { return !fine(s) }) {
				c.problem(at.Items[i], "keep one of them", "status %d is in retry.%s, and in expect, which makes it no failure", status, key)
			}
		}
	}
}

func (c *compiler) problem(n *yamlsrc.Node, hint, format string, args ...any) {
	c.report.Addf(n.Pos, n.Path, hint, format, args...)
}

func (c *compiler) atLeastOne(value int, n *yamlsrc.Node, keys ...string) {
	if value < 1 {
		c.problem(find(n, keys...), "write 1 or more", "%s should be at least 1", keys[len(keys)-1])
	}
}

func (c *compiler) between(value, least, most int, n *yamlsrc.Node, keys ...string) {
	if value < least || value > most {
		c.problem(find(n, keys...), fmt.Sprintf("write %d to %d", least, most), "%s should be from %d to %d", keys[len(keys)-1], least, most)
	}
}

func (c *compiler) positive(d unit.Duration, n *yamlsrc.Node, keys ...string) {
	if d <= 0 {
		c.problem(find(n, keys...), "write a duration such as 10s", "%s should be more than 0", keys[len(keys)-1])
	}
}

// find gives the node under keys, or the deepest one on the way to it that is there.
func find(n *yamlsrc.Node, keys ...string) *yamlsrc.Node {
	for _, key := range keys {
		below := n.Get(key)
		if below == nil {
			return n
		}
		n = below
	}
	return n
}

// entries gives the entries of a mapping that may be absent.
func entries(n *yamlsrc.Node) []yamlsrc.Entry {
	if n == nil {
		return nil
	}
	return n.Entries
}

func lastKey(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
