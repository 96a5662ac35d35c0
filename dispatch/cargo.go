package dispatch

import (
	"context"
	"iter"

	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
)

// pageOfBytes is about how many bytes of records are read at a time when those of an upload
// are not held.
const pageOfBytes = 1 << 20

// cargo is the records of a manifest: held, or of those that are too large together, how
// large each is.
type cargo struct {
	large   bool     // there may be more than can be read at a time
	light   bool     // they need not be held: they can be read again
	records [][]byte // nil once they were dropped
	sizes   []int
	bytes   int
	dropped bool
	read    extent // what came by, loaded or not
}

// cargoOf is that of a batch before anything is loaded. light is as in cargo.
func cargoOf(plan *target.Plan, light bool) cargo {
	large := plan.Batch.MaxBytes > target.HeldBytes
	return cargo{large: large, light: large && light}
}

type extent struct{ records, bytes int }

func (e *extent) add(members []tracking.Member) {
	e.records += len(members)
	for i := range members {
		e.bytes += len(members[i].Payload)
	}
}

func (c *cargo) load(record []byte) {
	if c.light {
		c.sizes = append(c.sizes, len(record))
		c.bytes += len(record)
	}
	if c.bytes > target.HeldBytes {
		c.dropped, c.records = true, nil
		return
	}
	c.records = append(c.records, record)
}

// fits is how many records from a place on are read at a time.
func (c *cargo) fits(from int) int {
	n, bytes := 0, 0
	for _, size := range c.sizes[from:min(len(c.sizes), from+pageOfMembers)] {
		if bytes += size; n > 0 && bytes > pageOfBytes {
			break
		}
		n++
	}
	return n
}

// firstPage is how many members are read before it is known how large records are.
const firstPage = 50

// pages gives IDs whose records are read, in pages. How large a page may be is judged by what was
// read before it.
func (c *cargo) pages(ids []string) iter.Seq[[]string] {
	if !c.large {
		return pages(ids)
	}
	return func(yield func([]string) bool) {
		for n := firstPage; len(ids) > 0; {
			n = min(n, len(ids))
			if !yield(ids[:n]) {
				return
			}
			ids = ids[n:]
			average := c.read.bytes/max(c.read.records, 1) + 1
			n = min(max(pageOfBytes/average, 1), pageOfMembers)
		}
	}
}

// reading gives the records of members, nil for one that has left its batch.
type reading func(ctx context.Context, ids []string) ([][]byte, error)

// reading reads the records of a batch that were read before. A call that is under way waits for
// them: what it comes to would be lost otherwise.
func (r *Runner) reading(batch tracking.Ref) reading {
	return func(ctx context.Context, ids []string) ([][]byte, error) {
		members, err := patient(ctx, func() ([]tracking.Member, error) { return r.Store.Board(ctx, batch, ids, true) })
		if err != nil {
			return nil, err
		}
		records := make([][]byte, len(members))
		for i, m := range members {
			records[i] = aboard(m)
		}
		return records, nil
	}
}
