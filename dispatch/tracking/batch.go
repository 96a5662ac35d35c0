package tracking

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"headgate/dispatch/fault"
)

// A batch is one upload of many deliveries of one target. Its record is a record like
// any other, under an ID of its own kind, with one delivery: claimed, run, retried,
// polled and taken over like one. What is different is that it holds members, and that
// its end is handed on to each of them before it counts.

// batchPrefix begins the IDs of batches.
const batchPrefix = "bat_"

// IsBatch reports whether an ID, or the token of a claim, names a batch.
func IsBatch(id string) bool { return strings.HasPrefix(id, batchPrefix) }

// NewBatchID makes the ID of a batch. All batches of a target lie in one shard, so that
// joining is one atomic step.
func NewBatchID(target string) (string, error) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(target))
	return newID(batchPrefix, int(h.Sum32()%Shards))
}

// Gathering says which batch a delivery may join.
type Gathering struct {
	Candidate  string    // ID of the batch to begin when none is collecting
	Plan       string    // content hash: only deliveries of one plan share a batch
	MaxRecords int       // a batch with so many is full
	Size       int       // bytes of the record that joins
	MaxBytes   int       // a batch whose records have so many is full; 0: no bound
	Until      time.Time // when a batch that begins now is sent although it is not full
	Retention  time.Duration
	// TraceParent is kept with the batch if it begins now: its runs belong to that trace.
	TraceParent string
}

// Batch gives the delivery with which a batch begins: it is sent when its time has come.
func (g Gathering) Batch() Delivery {
	return Delivery{
		Fence: Fence{Seq: 2}, // as one that has begun: its tasks go before those of new deliveries
		Phase: Scheduled, State: Collecting, Plan: g.Plan, NextAt: g.Until,
	}
}

// Joined is what joining came to.
type Joined struct {
	Batch Ref
	Seq   int  // of the batch's delivery
	Began bool // the batch was begun by this call
	Full  bool // this call made it full: nobody joins any more, and it should be sent now
	Place int  // the how manieth it is in the batch, from 1
}

// Member is a delivery as its batch finds it.
type Member struct {
	Ref
	Delivery Delivery
	Payload  json.RawMessage
	Stands   Standing
}

// Change replaces one delivery, provided that its fence is still the expected one.
type Change struct {
	Tracking string
	Expect   Fence
	Next     Delivery
}

// BatchLook is how often a delivery that a batch holds is looked at: what moves it is the
// batch, and only that its record was lost must be found out some time.
const BatchLook = 10 * time.Minute

// End is how a member ended when that is not how its batch did. The zero End is the batch's.
// With the state Retrying it has not ended: it leaves its batch to be sent with another.
type End struct {
	State   State        `json:"s"`
	Reason  fault.Reason `json:"r,omitempty"`
	Message string       `json:"m,omitempty"`
	// Result is what the backend said of this record, besides what it said of all.
	Result map[string]json.RawMessage `json:"u,omitempty"`
	// After is how long one that is to be sent again waits; who hands the end on knows.
	After time.Duration `json:"-"`
}

// Standing is how a delivery stands to a batch that lists it.
type Standing int

// The standings.
const (
	Left    Standing = iota // it is none of this batch: gone, final or taken up elsewhere
	Joining                 // the run that put it on the list has not ended
	Aboard                  // it belongs to this batch
)

// Batches is the part of Store that gathers deliveries.
type Batches interface {
	// Join puts a delivery on the list of the batch of its target and plan that is
	// collecting; repeated, it stays where it is. Without one, a batch begins.
	Join(ctx context.Context, ref Ref, g Gathering) (Joined, error)
	// Seal ends the collecting: nobody joins any more. It gives the tracking IDs of the
	// members that are on the list, in the order in which they joined, up to the one that was
	// the last-th to join; 0: all of them. It may be repeated.
	Seal(ctx context.Context, batch Ref, last int) ([]string, error)
	// Board reads members, in the order of ids. With send, those that still only collect
	// are held by the batch from now on, as by a run, and payloads are read too.
	Board(ctx context.Context, batch Ref, ids []string, send bool) ([]Member, error)
	// ApplyAll does what Apply does, for deliveries of one target. One whose fence is not
	// the expected one stays as it is, and is no error.
	ApplyAll(ctx context.Context, target string, changes []Change) error
	// Judge notes how members end that do not end as their batch, by tracking ID, in place of
	// what was noted before. It comes before the batch ends.
	Judge(ctx context.Context, batch Ref, ends map[string]End, keep time.Duration) error
	// Ends reads what was noted of these members; those without a note are left out.
	Ends(ctx context.Context, batch Ref, ids []string) (map[string]End, error)
	// Launch reports whether a batch may begin, since fewer than most of its target are under
	// way; it is, from now on. Otherwise it waits in line. It may be repeated.
	Launch(ctx context.Context, batch Ref, most int) (bool, error)
	// Land tells that a batch is not under way any more, and gives the one that has waited
	// longest, now out of the line; empty when none waits.
	Land(ctx context.Context, batch Ref) (next string, err error)
	// TraceParents reads Dispatch.TraceParent of records, in the order of ids; empty for one that
	// has none or is gone.
	TraceParents(ctx context.Context, ids []string) ([]string, error)
	// Settled takes members off the list.
	Settled(ctx context.Context, batch Ref, ids []string) error
}

// Gather gives the delivery as a member of the batch that it has joined.
func Gather(d Delivery, j Joined) Delivery {
	d.Seq++
	d.Phase, d.Token = Gathered, j.Batch.Tracking
	d.State, d.Batch, d.Place = Collecting, j.Batch.Tracking, j.Place
	d.NextAt = time.Time{}
	return d
}

// Settling gives a delivery that has ended as one whose end is known and does not count
// yet: it is to be handed on to the members of a batch first, or to be cleaned up after.
// One that has not ended stays as it is.
func Settling(d Delivery) Delivery {
	if !d.State.Final() {
		return d
	}
	d.Verdict = d.State
	d.State, d.Phase = Delivering, Queued
	d.EndedAt = time.Time{}
	return d
}

// Concluding gives the delivery that follows from d by e, as Apply does. One that ends is
// Settling, and still has what was saved.
func Concluding(d Delivery, e Event, now time.Time) Delivery {
	next := Apply(d, e, now)
	if !next.State.Final() {
		return next
	}
	next.Saved = d.Saved
	if end, ok := e.(Concluded); ok {
		next.Saved = Merged(d.Saved, end.Saved)
	}
	return Settling(next)
}

// Settled gives the end of a delivery that was Settling, once that is done.
func Settled(d Delivery, now time.Time) Delivery {
	d.Seq++
	d.Token = ""
	d.end(d.Verdict, d.Reason, d.Message, now)
	return d
}

// NextWindow gives a batch whose window has ended, and all whose members have their ends, as one
// that goes through its steps with the records that are left on its list.
func NextWindow(d Delivery, now time.Time) Delivery {
	d.Seq++
	d.Token = ""
	d.State, d.Phase, d.Verdict = Delivering, Queued, ""
	d.Window, d.WindowMax = 0, 2*d.WindowMax // whatever was refused may be behind us
	d.Reason, d.Message, d.Result = "", "", nil
	d.restart(now)
	return d
}

// restart has a batch begin with its first step, as an upload of its own: with other
// idempotency keys and budgets.
func (d *Delivery) restart(now time.Time) {
	d.Step, d.Saved, d.Doubts, d.Sent = "", nil, "", 0
	d.StepAttempts, d.PollFaults, d.Attempts, d.Polls = 0, 0, 0, 0
	d.JobID, d.JobState, d.JobDone, d.JobTotal, d.HTTPStatus = "", "", 0, 0, 0
	d.StepSince, d.ReplayedAt = time.Time{}, now
	d.KeySuffix = fmt.Sprintf(":w%d", d.Seq)
}

// MemberEnd gives the end that a member takes from its batch, or its own if it has one; one that
// is to be sent again leaves its batch.
func MemberEnd(d, batch Delivery, own End, now time.Time) Delivery {
	if d.State.Final() {
		return d
	}
	d.Seq++
	d.Token = ""
	d.Follow(batch)
	if own.State == Retrying {
		d.again(own.Reason, own.Message, now, own.After)
		return d
	}
	if own.State != "" {
		d.Result = own.Result
		if own.State == Succeeded || own.State == Warned {
			d.Result = Merged(batch.Result, own.Result)
		}
		d.end(own.State, own.Reason, own.Message, now)
		return d
	}
	d.Result = batch.Result
	d.end(batch.Verdict, batch.Reason, batch.Message, now)
	return d
}

// Follow shows in a member how its batch stands.
func (d *Delivery) Follow(batch Delivery) {
	d.Attempts, d.Polls, d.PollFaults = d.Attempts+batch.Attempts, d.Polls+batch.Polls, batch.PollFaults
	d.HTTPStatus, d.JobID, d.JobState = batch.HTTPStatus, batch.JobID, batch.JobState
	d.JobDone, d.JobTotal = batch.JobDone, batch.JobTotal
	d.Reason, d.Message = batch.Reason, batch.Message
	if d.Phase == Gathered {
		return // the batch is not sent yet
	}
	d.State, d.NextAt = Delivering, time.Time{}
	if batch.State == Waiting || batch.State == Retrying {
		d.State = batch.State
	}
	if batch.Phase == Scheduled {
		d.NextAt = batch.NextAt
	} else if batch.State == Retrying {
		d.State = Delivering
	}
}
