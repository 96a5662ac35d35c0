package dispatch

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
	"headgate/dispatch/transform"
)

// Fanout is what a route feeds: its targets, in the order of the file, each with the
// mapping of the route. It is immutable.
type Fanout struct {
	Route    string
	Rule     tracking.Rule
	Bindings []Binding
}

// Binding joins a route to one target.
type Binding struct {
	Plan      *target.Plan
	When      *transform.Bool  // nil: always
	Transform *transform.Value // nil: the whole body
	Optional  bool             // does not count for the completion rule
	// KeepPayload keeps the payload after success, for as long as the record.
	KeepPayload bool
}

// Mapped is a request as each target wants it.
type Mapped struct {
	Payloads map[string]json.RawMessage
	Skipped  map[string]bool // nil when none is
	// Keys says by target what a delivery is about whose target keeps an order; nil when none does.
	Keys map[string]string
}

// MappingError says that the request does not fit what a target's mapping asks for. It
// is the caller's fault (422).
type MappingError struct {
	Target string
	Err    error
}

// Error implements error.
func (e *MappingError) Error() string { return fmt.Sprintf("mapping for %s: %v", e.Target, e.Err) }

// Unwrap gives the cause.
func (e *MappingError) Unwrap() error { return e.Err }

// Map evaluates every condition and mapping of the fan-out. body is the request's body
// as it came, for targets without a mapping. It reports every target that fails.
func (f *Fanout) Map(scope transform.Scope, body json.RawMessage) (Mapped, []*MappingError) {
	out := Mapped{Payloads: make(map[string]json.RawMessage, len(f.Bindings))}
	var faults []*MappingError
	for i := range f.Bindings {
		b := &f.Bindings[i]
		name := b.Plan.Name
		if b.When != nil {
			ok, err := b.When.Eval(scope)
			if err != nil {
				faults = append(faults, &MappingError{Target: name, Err: err})
				continue
			}
			if !ok {
				if out.Skipped == nil {
					out.Skipped = map[string]bool{}
				}
				out.Skipped[name] = true
				continue
			}
		}
		payload, err := body, error(nil)
		if b.Transform != nil {
			payload, err = b.Transform.JSON(scope)
		}
		if err == nil && b.Plan.Order != nil {
			err = out.order(b.Plan, scope, payload)
		}
		if err != nil {
			faults = append(faults, &MappingError{Target: name, Err: err})
			continue
		}
		out.Payloads[name] = payload
	}
	return out, faults
}

// order notes what the delivery for a target that keeps an order is about.
func (m *Mapped) order(p *target.Plan, scope transform.Scope, payload json.RawMessage) error {
	key, err := p.Order.Key(scope, payload)
	if err != nil {
		return err
	}
	if m.Keys == nil {
		m.Keys = map[string]string{}
	}
	m.Keys[p.Name] = key
	return nil
}

// Reads reports whether a condition, a mapping or a key takes anything of a root of the scope:
// what none does need not be made.
func (f *Fanout) Reads(root string) bool {
	return slices.ContainsFunc(f.Bindings, func(b Binding) bool {
		return b.When != nil && b.When.Reads(root) || b.Transform != nil && b.Transform.Reads(root) ||
			b.Plan.Order != nil && b.Plan.Order.Reads(root)
	})
}

// Intake is what is recorded about a request besides its payloads.
type Intake struct {
	Tenant    string // policies.Principal.TenantKey
	Params    map[string]string
	Idem      *Idem // nil without an Idempotency-Key
	Retention time.Duration
}

// Idem is an idempotency key as the store sees it.
type Idem struct {
	Hash        string // of tenant, route and key: see gateway.IdemHash
	Fingerprint string // of the request
	TTL         time.Duration
}

// Receipt is what an accepted request became.
type Receipt struct {
	ID       string
	Targets  map[string]tracking.State // as in the first answer
	Replayed bool                      // an earlier request with the same key; nothing was done
	// Conflict: the key was used with another request; nothing was done.
	Conflict bool
}

// Acceptor is what the gateway needs of this package.
type Acceptor interface {
	// Lookup finds what an idempotency key already stands for; ok is false when it is new.
	Lookup(ctx context.Context, idem Idem) (r Receipt, ok bool, err error)
	// Accept records the request, with the trace that ctx belongs to, and queues its tasks. Errors: *FullError,
	// tracking.ErrUnavailable, tracking.ErrTooLarge, or *OutcomeUnknownError. When it returns nil, the dispatch
	// is recorded and every target of it will be called.
	Accept(ctx context.Context, f *Fanout, m Mapped, in Intake) (Receipt, error)
	// Track reads a dispatch; tracking.ErrNotFound when it is unknown or another
	// tenant's. With wait > 0 it answers as soon as the dispatch is final, at the latest
	// after wait.
	Track(ctx context.Context, id, tenant string, wait time.Duration) (*tracking.Dispatch, error)
}

// OutcomeUnknownError says that whether the dispatch was recorded could not be learnt. Repeating
// the request with the same Idempotency-Key is safe.
type OutcomeUnknownError struct {
	ID  string
	Err error
}

// Error implements error.
func (e *OutcomeUnknownError) Error() string {
	return fmt.Sprintf("whether %s was recorded is not known: %v", e.ID, e.Err)
}

// Unwrap gives the cause.
func (e *OutcomeUnknownError) Unwrap() error { return e.Err }
