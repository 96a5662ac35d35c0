// Package tracking owns the record of a dispatch: its deliveries, their states, the
// events that move them and the interface of the store that keeps them. It knows no
// Redis, no HTTP and no queue.
package tracking

import (
	"encoding/json"
	"slices"
	"time"

	"headgate/dispatch/fault"
)

// State is where a delivery stands.
type State string

// The states of a delivery. From Succeeded on they are final.
const (
	Pending    State = "pending"    // recorded; its first task is queued
	Collecting State = "collecting" // in a batch that is not yet sent
	Delivering State = "delivering" // a worker runs one of its steps
	Waiting    State = "waiting"    // the backend's job runs; the next poll is known
	Retrying   State = "retrying"   // an attempt failed; the next one is known

	Succeeded  State = "succeeded"
	Warned     State = "warned"     // accepted by the backend, with warnings
	Rejected   State = "rejected"   // the backend said no to this record
	Failed     State = "failed"     // gave up: a dead letter
	Unknown    State = "unknown"    // the backend never said; the job ID is kept
	Skipped    State = "skipped"    // its `when` was false
	Superseded State = "superseded" // a newer one for the same key made it moot
	Canceled   State = "canceled"
)

// Final reports whether nothing more will happen to a delivery in this state.
func (s State) Final() bool {
	switch s {
	case Pending, Collecting, Delivering, Waiting, Retrying:
		return false
	case Succeeded, Warned, Rejected, Failed, Unknown, Skipped, Superseded, Canceled:
		return true
	}
	return false
}

// Phase says who has to move a delivery next. It decides in which index of due rows
// the delivery stands.
type Phase byte

// The phases.
const (
	Queued    Phase = 'q' // its task waits in a queue; looked at rarely
	Scheduled Phase = 's' // its task is due at NextAt
	Running   Phase = 'r' // a run, or a batch that is being sent, holds the claim
	Gathered  Phase = 'g' // it waits in a batch that is collecting; the token names it
	Ended     Phase = 'f' // final: no row
)

// Lane says in which of its target's queues the task of a queued delivery belongs. A
// delivery in a lane other than LaneResume has not begun: nobody has claimed it since it
// was accepted or replayed.
type Lane byte

// The lanes.
const (
	LaneResume Lane = 0   // it has begun: a retry, a next step, a poll; the only one outside of Queued
	LaneNew    Lane = 'n' // it has not
	LaneBulk   Lane = 'b' // it has not, and its tenant already has more than its share of such ones
)

// Ref names a delivery.
type Ref struct {
	Tracking string
	Target   string
}

// Fence is what a change of a delivery is conditional on: the sequence number raised
// by each change, and the token of the run that holds the claim (empty: none does).
type Fence struct {
	Seq   int
	Token string
}

// Delivery is the changing part of a record: one dispatch to one target. Seq, Token, Phase
// and Lane are not in its JSON: a store keeps them where it can compare them.
type Delivery struct {
	Fence `json:"-"`
	Phase Phase `json:"-"`
	Lane  Lane  `json:"-"` // of its task while Phase is Queued

	Batch   string `json:"batch,omitempty"`   // the batch it is or was sent with
	Place   int    `json:"place,omitempty"`   // of a member: the how manieth it was to join its batch, from 1
	Verdict State  `json:"verdict,omitempty"` // the end that is yet to be handed on to the members of a batch, or cleaned up after
	// Window is of a batch the place of the last record that goes through its steps now; 0: all
	// of them do. WindowMax is how many do at most, after more were refused; 0: no bound.
	Window    int `json:"window,omitempty"`
	WindowMax int `json:"window_max,omitempty"`
	// Sent is how many records of the window the step that is repeated has uploaded.
	Sent int `json:"sent,omitempty"`

	Line   string `json:"line,omitempty"`   // the line it stands in until it has ended: see LineOf
	Blocks bool   `json:"blocks,omitempty"` // it stays in its line when it fails
	// SupersededBy is the tracking ID of the newer delivery that made it moot.
	SupersededBy string `json:"superseded_by,omitempty"`

	Plan  string                     `json:"plan,omitempty"` // content hash of the plan it was accepted under
	State State                      `json:"state"`
	Step  string                     `json:"step,omitempty"` // name of the step to run next
	Saved map[string]json.RawMessage `json:"saved,omitempty"`

	Attempts     int `json:"attempts,omitempty"`      // tries of all steps, polls that said "not yet" excluded
	StepAttempts int `json:"step_attempts,omitempty"` // failed tries of the step to run next
	Rounds       int `json:"rounds,omitempty"`        // how often the backend had it sent again from the first step on
	Polls        int `json:"polls,omitempty"`         // polls answered by the backend
	PollFaults   int `json:"poll_faults,omitempty"`   // failed poll calls in a row
	Replays      int `json:"replays,omitempty"`       // how often it was taken up again after its end
	PastAttempts int `json:"past_attempts,omitempty"` // tries before the last replay

	NextAt    time.Time `json:"next_at,omitzero"`    // when the next task is due
	StepSince time.Time `json:"step_since,omitzero"` // when the step to run next was first run: a poll's deadline counts from it
	PolledAt  time.Time `json:"polled_at,omitzero"`  // when a poll came to "not yet", until something else is next
	EndedAt   time.Time `json:"ended_at,omitzero"`
	// ReplayedAt is when it was last taken up again: retry.within counts from it.
	ReplayedAt time.Time `json:"replayed_at,omitzero"`
	// KeySuffix ends the idempotency keys that the backend sees, after a replay with new ones
	// and in later rounds.
	KeySuffix string `json:"key_suffix,omitempty"`
	// KeepPayload keeps the payload after success: for as long as the record is kept.
	KeepPayload bool `json:"keep_payload,omitempty"`
	// Doubts lists the steps of which a call may have had its effect although nobody knows; see InDoubt.
	Doubts string `json:"doubts,omitempty"`

	Reason     fault.Reason               `json:"reason,omitempty"` // of the end, or of the last failed try
	Message    string                     `json:"message,omitempty"`
	HTTPStatus int                        `json:"http_status,omitempty"` // the backend's last status
	JobID      string                     `json:"job_id,omitempty"`      // the backend's job, once known
	JobState   string                     `json:"job_state,omitempty"`   // the backend's own word for it
	JobDone    int64                      `json:"job_done,omitempty"`    // of JobTotal, as the backend counts; 0 of 0: it does not tell
	JobTotal   int64                      `json:"job_total,omitempty"`
	Result     map[string]json.RawMessage `json:"result,omitempty"`
}

// Since is when the delivery was accepted or, if that is later, taken up again: its first time may have
// been over long ago then.
func (d Delivery) Since(accepted time.Time) time.Time {
	if d.ReplayedAt.IsZero() {
		return accepted
	}
	return d.ReplayedAt
}

// Shown is its state for who looks now. The record keeps the state that a run began with, so
// that a run that dies leaves it true; who looks sees that it runs. What a batch holds has
// the batch's state already.
func (d Delivery) Shown() State {
	if d.Phase == Running && !IsBatch(d.Token) && (d.State == Pending || d.State == Retrying) {
		return Delivering
	}
	return d.State
}

// Rule is a route's completion rule.
type Rule string

// The rules. Optional targets count for none of them.
const (
	DoneAll Rule = "all" // succeeded when every target that counts succeeded
	DoneAny Rule = "any" // succeeded when at least one target that counts succeeded
)

// TargetRef is the fixed part of one delivery.
type TargetRef struct {
	Name     string `json:"name"`
	Optional bool   `json:"optional,omitempty"`
}

// Dispatch is a whole record, as GET /tracking reads it.
type Dispatch struct {
	ID          string            `json:"id"`
	Route       string            `json:"route"`
	Tenant      string            `json:"tenant"` // policies.Principal.TenantKey
	Rule        Rule              `json:"rule"`
	AcceptedAt  time.Time         `json:"accepted_at"`
	Targets     []TargetRef       `json:"targets"`          // in the order of the route's file
	Params      map[string]string `json:"params,omitempty"` // only those that a worker's expressions need
	TraceParent string            `json:"traceparent,omitempty"`
	IdemHash    string            `json:"idem,omitempty"` // names the idempotency key's row

	Deliveries map[string]Delivery `json:"-"`
}

// Target finds the fixed part of a delivery.
func (d *Dispatch) Target(name string) (TargetRef, bool) {
	i := slices.IndexFunc(d.Targets, func(t TargetRef) bool { return t.Name == name })
	if i < 0 {
		return TargetRef{}, false
	}
	return d.Targets[i], true
}

// SetLanes writes down which lanes accepting put the deliveries into: bulk lists those
// in LaneBulk, the others that are not final are in LaneNew.
func (d *Dispatch) SetLanes(bulk []string) {
	for name, delivery := range d.Deliveries {
		switch {
		case delivery.State.Final():
			continue
		case slices.Contains(bulk, name):
			delivery.Lane = LaneBulk
		default:
			delivery.Lane = LaneNew
		}
		d.Deliveries[name] = delivery
	}
}

// Status is where a whole dispatch stands.
type Status string

// The states of a dispatch.
const (
	InProgress        Status = "in_progress"
	DispatchSucceeded Status = "succeeded"
	Partial           Status = "partial"
	DispatchFailed    Status = "failed"
	DispatchCanceled  Status = "canceled"
)

// Status derives where the dispatch stands from its deliveries and its rule. It is
// derived on each read, so that it cannot disagree with them.
func (d *Dispatch) Status() Status {
	counted, good, canceled := 0, 0, 0
	for _, t := range d.Targets {
		state := d.Deliveries[t.Name].State
		if !state.Final() {
			return InProgress
		}
		if t.Optional || state == Skipped {
			continue
		}
		counted++
		switch state {
		case Succeeded, Warned, Superseded:
			good++
		case Canceled:
			canceled++
		default:
		}
	}
	switch {
	case good == counted, d.Rule == DoneAny && good > 0:
		return DispatchSucceeded
	case canceled == counted:
		return DispatchCanceled
	case good > 0:
		return Partial
	}
	return DispatchFailed
}

// Counts gives how many deliveries are in each state.
func (d *Dispatch) Counts() map[State]int {
	out := map[State]int{}
	for _, delivery := range d.Deliveries {
		out[delivery.State]++
	}
	return out
}

// EndedAt gives when the last delivery became final; zero while one is not. A skipped
// delivery was final when the request was accepted.
func (d *Dispatch) EndedAt() time.Time {
	last := d.AcceptedAt
	for _, t := range d.Targets {
		delivery := d.Deliveries[t.Name]
		if !delivery.State.Final() {
			return time.Time{}
		}
		if delivery.EndedAt.After(last) {
			last = delivery.EndedAt
		}
	}
	return last
}
