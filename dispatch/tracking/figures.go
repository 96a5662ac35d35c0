package tracking

import (
	"time"

	"headgate/dispatch/fault"
)

// DeliveryEnd is the end of one delivery, whoever brought it about.
type DeliveryEnd struct {
	Target string
	State  State
	Reason fault.Reason
	// After is the time since it was accepted or, if that is later, taken up again; negative when
	// that is not known.
	After time.Duration
}

// EndOf describes the end of a delivery that was accepted then.
func EndOf(target string, d Delivery, accepted time.Time) DeliveryEnd {
	out := DeliveryEnd{Target: target, State: d.State, Reason: d.Reason, After: -1}
	if since := d.Since(accepted); !since.IsZero() {
		out.After = max(d.EndedAt.Sub(since), 0)
	}
	return out
}

// Waiters is how many wait for something, and for how long the one that has waited longest.
type Waiters struct {
	Count  int
	Oldest time.Duration
}

// TargetCounts are counts of one target in the whole fleet.
type TargetCounts struct {
	Open        int     // deliveries and batches that have not ended
	DeadLetters int     // that are kept now
	Jobs        Waiters // deliveries and batches in the state Waiting
}

// NodeMemory is the memory of one server of the store.
type NodeMemory struct {
	Node string
	Memory
}

// Expected names a delivery as somebody expects it to be.
type Expected struct {
	Ref
	Seq int
}
