package tracking

import (
	"errors"
	"fmt"
	"strings"
)

// ErrInvalid means that the call would break an invariant of the record. It is a fault of the
// caller; nothing was written.
var ErrInvalid = errors.New("not a valid record")

// Check reports whether the acceptance is one that a store can take: every target has
// one delivery, each either waits for its first task or is final, and the idempotency
// row lies in the record's shard. Stores call it; else a record that nothing can move
// would be written.
func (a *Acceptance) Check() error {
	d := a.Dispatch
	shard, ok := Shard(d.ID)
	if !ok {
		return fmt.Errorf("%w: %q is no tracking ID", ErrInvalid, d.ID)
	}
	if len(d.Targets) != len(d.Deliveries) {
		return fmt.Errorf("%w: %d targets, %d deliveries", ErrInvalid, len(d.Targets), len(d.Deliveries))
	}
	seen := make(map[string]bool, len(d.Targets))
	for _, t := range d.Targets {
		delivery, ok := d.Deliveries[t.Name]
		if !ok || t.Name == "" || seen[t.Name] {
			return fmt.Errorf("%w: target %q has no delivery of its own", ErrInvalid, t.Name)
		}
		seen[t.Name] = true
		if delivery.Phase == Scheduled || delivery.Phase == Gathered {
			return fmt.Errorf("%w: target %q is accepted as scheduled", ErrInvalid, t.Name)
		}
		if err := delivery.check(); err != nil {
			return fmt.Errorf("target %q: %w", t.Name, err)
		}
	}
	if a.Idem == nil {
		return nil
	}
	if d.IdemHash == "" || strings.ContainsAny(d.IdemHash, " \t\r\n") || a.Idem.ID != d.ID || IdemShard(d.IdemHash) != shard {
		return fmt.Errorf("%w: the idempotency row is not the record's", ErrInvalid)
	}
	return nil
}

// CheckNext reports whether next may replace the delivery that has the fence expect.
// Stores call it before they write.
func CheckNext(expect Fence, next Delivery) error {
	if next.Seq <= expect.Seq && !next.State.Final() {
		return fmt.Errorf("%w: the fence is not raised beyond %d", ErrInvalid, expect.Seq)
	}
	return next.check()
}

// CheckToken reports whether token can name a run: not empty, of printable ASCII
// without spaces, and not the "-" that stands for none.
func CheckToken(token string) error {
	if token == "" || token == "-" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("%w: %q cannot name a run", ErrInvalid, token)
	}
	return nil
}

// check holds for every delivery that is not being run.
func (d Delivery) check() error {
	switch d.Phase {
	case Queued, Scheduled, Ended:
	case Gathered:
		if d.Seq < 0 || d.State != Collecting || !IsBatch(d.Token) {
			return fmt.Errorf("%w: state %q in a batch called %q", ErrInvalid, d.State, d.Token)
		}
		return nil
	default:
		return fmt.Errorf("%w: phase %q", ErrInvalid, d.Phase)
	}
	if d.State == "" || d.State.Final() != (d.Phase == Ended) {
		return fmt.Errorf("%w: state %q in phase %q", ErrInvalid, d.State, d.Phase)
	}
	switch {
	case d.Lane == LaneResume, d.Phase == Queued && (d.Lane == LaneNew || d.Lane == LaneBulk):
	default:
		return fmt.Errorf("%w: lane %q in phase %q", ErrInvalid, d.Lane, d.Phase)
	}
	if d.Seq < 0 || d.Token != "" {
		return fmt.Errorf("%w: seq %d with token %q", ErrInvalid, d.Seq, d.Token)
	}
	return nil
}
