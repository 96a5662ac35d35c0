package tracking

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// What a store answers besides success.
var (
	// ErrNotFound: no such record; it may have expired.
	ErrNotFound = errors.New("no such record")
	// ErrFenced: the delivery changed since it was read: another run, a take-over.
	ErrFenced = errors.New("the delivery was changed by another run")
	// ErrUnavailable: the store cannot be reached or refuses writes. Nothing was accepted;
	// any other call may have been carried out, and may be repeated as it was.
	ErrUnavailable = errors.New("the store is not available")
	// ErrOutcomeUnknown: the accept may or may not have been recorded.
	ErrOutcomeUnknown = errors.New("whether the request was recorded could not be learnt")
	// ErrTooLarge: the record is beyond what the store takes.
	ErrTooLarge = errors.New("the record is too large")
)

// Acceptance is everything that accepting one request writes, in one step.
type Acceptance struct {
	Dispatch *Dispatch
	// Payloads by target: what the gateway mapped. A skipped target has none.
	Payloads map[string]json.RawMessage
	// Idem is the idempotency row to write, nil without a key.
	Idem *IdemRow
	// IdemTTL is how long the row outlives accept; never less than the record in progress.
	IdemTTL time.Duration
	// Retention is how long the record is kept once the dispatch is final.
	Retention time.Duration
	// FairShare is, by target, about how many deliveries of one tenant that have not begun
	// may stand in LaneNew; those that come on top go to LaneBulk. 0 or none: any number. A
	// store may count within the shard of the record only, and then takes its 64th part, rounded up.
	FairShare map[string]int
	// Until is when nothing is written any more, and the answer is ErrUnavailable; zero: never.
	// What is known to be recorded stays so.
	Until time.Time
}

// IdemRow is what an idempotency key stands for.
type IdemRow struct {
	Fingerprint string           `json:"fp"`
	ID          string           `json:"id"`
	First       map[string]State `json:"first"` // the states in the first answer
}

// Claimed is a delivery held by the run that asked for it, with what the step needs.
type Claimed struct {
	Dispatch *Dispatch // Deliveries is nil
	Delivery Delivery
	Payload  json.RawMessage
	Now      time.Time // the store's clock at the claim
}

// Claim results besides success. ErrNotFound also is one.
var (
	// ErrStale: the task is behind the record, or the delivery is final. The delivery
	// is returned all the same: its recorded task must be seen to be enqueued.
	ErrStale = errors.New("the task is behind the record")
	// ErrHeld: a live run holds the claim.
	ErrHeld = errors.New("another run holds the claim")
)

// Row is one due row: a delivery that should have moved by now.
type Row struct {
	Ref
	Delivery Delivery
	Now      time.Time     // the store's clock
	Since    time.Duration // how long it is overdue
}

// Store keeps records. Every method is one atomic step; all times are the store's, and need
// be kept to the millisecond only.
// Package trackingtest holds the rules below as tests.
type Store interface {
	// Accept writes a record with its due rows, payloads and idempotency row. It is
	// idempotent on the ID. When the idempotency key is already taken, the row that
	// has it is returned and nothing is written. Otherwise the lane that each delivery was put
	// into is written to a.Dispatch.
	Accept(ctx context.Context, a *Acceptance) (taken *IdemRow, err error)
	// Idem looks an idempotency row up; nil when there is none. It may come with
	// ErrOutcomeUnknown: the row is there, but it is not certain that it stays.
	Idem(ctx context.Context, idemHash string) (*IdemRow, error)
	// Claim gives the run that holds token the delivery, provided that seq is the recorded
	// one and no other run holds it. A run that has not applied anything after hold is
	// overdue; its claim is taken away by raising the sequence number, never by a claim. The holder may claim again
	// to extend its hold.
	Claim(ctx context.Context, ref Ref, seq int, token string, hold time.Duration) (*Claimed, error)
	// Apply replaces the delivery by next, provided that its fence is still expect; else
	// ErrFenced. Moving or removing the due row, dropping the payload on success (unless next.KeepPayload), ending
	// the dispatch and waking those who wait for it are the same step.
	Apply(ctx context.Context, ref Ref, expect Fence, next Delivery) error
	// Load reads a record whole.
	Load(ctx context.Context, id string) (*Dispatch, error)
	// Changed gives a channel that receives, at the latest a moment after it happened,
	// when a delivery of the record becomes final. It also receives once it stands, so that
	// nothing is missed by reading first. Wakes may be spurious. stop ends it.
	Changed(ctx context.Context, id string) (wake <-chan struct{}, stop func())
	// Overdue lists running and scheduled deliveries whose time passed more than grace
	// ago, at most limit; and those that have ended and not left their line: see Lines.
	Overdue(ctx context.Context, grace time.Duration, limit int) ([]Row, error)
	// QueuedSince lists deliveries of one target that were queued longer than age ago,
	// the listed ones oldest first, at most limit. Beyond the limit any may be left out, but
	// none each time.
	QueuedSince(ctx context.Context, target string, age time.Duration, limit int) ([]Row, error)
	// Beat is a sign of life of a worker process: it counts Owners()[owner] up.
	Beat(ctx context.Context, owner string) error
	// Owners gives the count of each process that has not been forgotten.
	Owners(ctx context.Context) (map[string]int64, error)
	// Abandoned lists the deliveries that runs of owner hold, at most limit.
	Abandoned(ctx context.Context, owner string, limit int) ([]Row, error)
	// Forget takes the process off the list: it has ended and holds nothing.
	Forget(ctx context.Context, owner string) error
	// Touch counts a row of Overdue or QueuedSince as due only from now on, so that it is
	// not looked at again at once; one that a batch holds, only BatchLook from now. A row
	// that has gone or changed stays as it is.
	Touch(ctx context.Context, row Row) error

	// SavePlan keeps a plan's source under its hash; PlanSource reads it and renews how
	// long it is kept.
	SavePlan(ctx context.Context, hash string, source []byte) error
	PlanSource(ctx context.Context, hash string) ([]byte, error)
	// OpenPlans counts deliveries that are not final, by target and plan.
	OpenPlans(ctx context.Context) (map[PlanRef]int, error)

	// Interventions are canceling and dead letters.
	Interventions
	// Batches gather deliveries of one target into one upload.
	Batches
	// Lines keep deliveries of one key in order.
	Lines
	// Backlogs are counts of what is under way.
	Backlogs
	// Callbacks bring polls forward.
	Callbacks
}

// PlanRef names a plan of a target.
type PlanRef struct{ Target, Hash string }
