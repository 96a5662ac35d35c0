package tracking

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"headgate/dispatch/fault"
)

// Event is what one run of one step came to. The set is closed: Advanced, Concluded,
// NotYet, Deferred, Stripped, Split, Again, AttemptFailed, PollFailed.
type Event interface{ event() }

// Answer is what every event keeps of the backend's answer.
type Answer struct {
	HTTPStatus int
	JobID      string // empty: no change
	JobState   string
	// Done of Total is how far the job is, as the backend counts; 0 of 0: no change.
	Done, Total int64
}

// Advanced says that the step worked and another one follows at once.
type Advanced struct {
	Answer
	Next  string // name of the step that follows
	Saved map[string]json.RawMessage
	// Sent is how many records of a batch are uploaded when Next is the same step again.
	Sent int
}

// Concluded says that the delivery has a final outcome that the backend gave: Succeeded, Warned,
// Rejected, Failed or Unknown.
type Concluded struct {
	Answer
	State   State
	Reason  fault.Reason
	Message string
	Result  map[string]json.RawMessage
	Saved   map[string]json.RawMessage // by the last step, for cleaning up
	// Records says of a batch which of its records ended otherwise, by their places in the
	// upload, from 0.
	Records map[int]End
	// Poll reports that the answer came from a poll, which is no attempt.
	Poll bool
}

// NotYet says that the backend's job still runs (or is in a state that nobody mapped); ask again.
// It is no attempt.
type NotYet struct {
	Answer
	After   time.Duration
	Message string // why we wait when it is not plain, such as an unknown job state
}

// Deferred says that the backend has no room for the call now; make it again later. It is no
// attempt.
type Deferred struct {
	Answer
	After   time.Duration
	Message string
}

// Stripped says of a batch that the backend took nothing of it because of some records. They
// end as Records says, by their places in the upload, and the others are sent again at once.
type Stripped struct {
	Answer
	Records map[int]End
	Message string
}

// Split says of a batch that it is too much at a time, or that one of its records spoils it for
// the others: from now on at most Most of them go through its steps at a time.
type Split struct {
	Answer
	Most int
	// Unsent: that was seen before anything was sent, so no attempt was made.
	Unsent bool
	// Anew begins with the first step again, under other idempotency keys.
	Anew    bool
	Message string
}

// Again says that the backend did not take the record for now: it is sent once more, from the
// first step on, as something that the backend has not seen.
type Again struct {
	Answer
	After   time.Duration
	Reason  fault.Reason
	Message string
	// Poll reports that the answer came from a poll, which is no attempt.
	Poll bool
}

// AttemptFailed says that a try of a step failed. After is when the next may start; Final says
// that the budget is spent or that no further try can help.
type AttemptFailed struct {
	Fault *fault.Fault
	After time.Duration
	Final bool
	// Doubt says that the call may have had its effect all the same.
	Doubt bool
}

// PollFailed says that a poll call itself failed. It has a budget of its own and never leads to
// another upload. Final ends the delivery as Unknown: the job may well have worked.
type PollFailed struct {
	Fault *fault.Fault
	After time.Duration
	Final bool
}

func (Advanced) event()      {}
func (Concluded) event()     {}
func (NotYet) event()        {}
func (Deferred) event()      {}
func (Stripped) event()      {}
func (Split) event()         {}
func (Again) event()         {}
func (AttemptFailed) event() {}
func (PollFailed) event()    {}

// Apply gives the delivery that follows from d by e at the time now (of the store's
// clock). It is pure. The fence is raised: the claim is given up with each change.
func Apply(d Delivery, e Event, now time.Time) Delivery {
	if d.State.Final() {
		return d
	}
	next := d
	next.Seq++
	next.Token = ""
	next.Lane = LaneResume
	next.PolledAt = time.Time{}
	switch e := e.(type) {
	case Advanced:
		next.answer(e.Answer)
		next.Saved = Merged(d.Saved, e.Saved)
		next.Attempts++
		next.settled()
		next.State, next.Phase = Delivering, Queued
		next.Step, next.StepAttempts, next.PollFaults, next.Sent = e.Next, 0, 0, e.Sent
		next.StepSince, next.NextAt = now, time.Time{}
		next.Reason, next.Message = "", ""
	case Concluded:
		if !e.State.Final() {
			panic(fmt.Sprintf("tracking: concluded as %q, which is not final", e.State))
		}
		next.answer(e.Answer)
		next.tried(e.Poll)
		next.Result = e.Result
		next.end(e.State, e.Reason, e.Message, now)
	case NotYet:
		next.answer(e.Answer)
		next.Polls++
		next.PollFaults, next.PolledAt = 0, now
		next.Reason, next.Message = "", e.Message
		next.schedule(Waiting, now, e.After)
	case Deferred:
		next.answer(e.Answer)
		next.Reason, next.Message = "", e.Message
		next.schedule(Waiting, now, e.After)
	case Stripped: // there is less of it each time, so nothing needs to be counted against it
		next.answer(e.Answer)
		next.Attempts++
		next.State, next.Phase, next.NextAt = Retrying, Queued, time.Time{}
		next.Reason, next.Message = "", e.Message
	case Split: // there is less of it each time
		next.answer(e.Answer)
		if !e.Unsent {
			next.Attempts++
		}
		next.State, next.Phase, next.NextAt = Retrying, Queued, time.Time{}
		next.Reason, next.Message = "", e.Message
		next.Window, next.WindowMax = 0, e.Most
		if e.Anew {
			next.restart(now)
		}
	case Again:
		next.answer(e.Answer)
		next.tried(e.Poll)
		next.again(e.Reason, e.Message, now, e.After)
	case AttemptFailed:
		next.Attempts++
		next.StepAttempts++
		next.fail(e.Fault)
		if e.Doubt {
			next.doubt()
		}
		if e.Final {
			state := Failed
			if e.Fault.Reason == fault.Rejected {
				state = Rejected
			}
			next.end(state, e.Fault.Reason, e.Fault.Message, now)
			break
		}
		next.schedule(Retrying, now, e.After)
	case PollFailed:
		next.PollFaults++
		next.fail(e.Fault)
		if e.Final {
			next.end(Unknown, e.Fault.Reason, e.Fault.Message, now)
			break
		}
		next.schedule(Waiting, now, e.After)
	default:
		panic(fmt.Sprintf("tracking: unknown event %T", e))
	}
	return next
}

// TakeOver gives the delivery with its fence raised, so that whoever held the claim can
// change it no longer, and its task queued anew: in the lane of what has begun, unless
// it was still queued in another. One that is final stays as it is; one that a batch
// holds leaves it, to join another.
func TakeOver(d Delivery) Delivery {
	if d.State.Final() {
		return d
	}
	switch {
	case IsBatch(d.Token):
		d.State, d.Batch, d.Place = Pending, "", 0
	case d.Phase == Running && d.Verdict == "":
		d.doubt() // whoever held it may have sent its call before it was cut short
	}
	d.Seq++
	d.Token = ""
	if d.Phase != Queued {
		d.Lane = LaneResume
	}
	d.Phase = Queued
	d.NextAt = time.Time{}
	return d
}

// PutBack gives a delivery that was claimed before its time back as it was: scheduled,
// with its fence raised.
func PutBack(d Delivery) Delivery {
	if d.State.Final() {
		return d
	}
	d.Seq++
	d.Token = ""
	d.Phase = Scheduled
	return d
}

func (d *Delivery) answer(a Answer) {
	d.HTTPStatus = a.HTTPStatus
	if a.JobID != "" {
		d.JobID = a.JobID
	}
	if a.JobState != "" {
		d.JobState = a.JobState
	}
	if a.Done != 0 || a.Total != 0 {
		d.JobDone, d.JobTotal = a.Done, a.Total
	}
}

func (d *Delivery) fail(f *fault.Fault) {
	d.Reason, d.Message, d.HTTPStatus = f.Reason, f.Message, f.Status
}

func (d *Delivery) end(s State, reason fault.Reason, message string, now time.Time) {
	d.State, d.Phase, d.Lane = s, Ended, LaneResume
	d.Reason, d.Message = reason, message
	d.NextAt, d.EndedAt = time.Time{}, now
	if s == Succeeded || s == Warned {
		d.Doubts = ""
	}
	if s != Unknown {
		// What an answer handed out for later steps may be as good as a credential, such
		// as a signed URL. Only a job whose outcome is unknown goes on with it.
		d.Saved = nil
	}
}

func (d *Delivery) tried(poll bool) {
	if poll {
		d.Polls++
	} else {
		d.Attempts++
	}
}

// again has the record sent once more after a while: nothing of the round that has ended is
// kept but its counts and why it ended.
func (d *Delivery) again(reason fault.Reason, message string, now time.Time, after time.Duration) {
	d.Rounds++
	d.KeySuffix = nextRound(d.KeySuffix)
	d.Batch, d.Place, d.Step, d.Saved, d.Doubts = "", 0, "", nil, ""
	d.StepAttempts, d.PollFaults = 0, 0
	d.JobID, d.JobState, d.JobDone, d.JobTotal = "", "", 0, 0
	d.Reason, d.Message = reason, message
	d.schedule(Retrying, now, after)
	d.StepSince = time.Time{}
}

// roundMark stands in the suffix of idempotency keys before the number of the round.
const roundMark = ".s"

// nextRound gives the end of the keys of another round. It counts on after a replay, which begins
// the count of rounds anew: the backend knows the keys of all rounds before.
func nextRound(suffix string) string {
	base, number, _ := strings.Cut(suffix, roundMark)
	n, err := strconv.Atoi(number)
	if err != nil {
		n = 1 // the first round has no number
	}
	return base + roundMark + strconv.Itoa(n+1)
}

func (d *Delivery) schedule(s State, now time.Time, after time.Duration) {
	d.State, d.Phase = s, Scheduled
	d.NextAt = now.Add(after)
	if d.StepSince.IsZero() {
		d.StepSince = now
	}
}

// Merged gives the values of old and of more, whose own count. It changes neither.
func Merged(old, more map[string]json.RawMessage) map[string]json.RawMessage {
	if len(more) == 0 {
		return old
	}
	out := make(map[string]json.RawMessage, len(old)+len(more))
	for k, v := range old {
		out[k] = v
	}
	for k, v := range more {
		out[k] = v
	}
	return out
}
