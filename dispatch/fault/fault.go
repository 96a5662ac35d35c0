// Package fault owns the closed set of reasons why something did not work. Retry,
// metrics, logs and the tracking answer all use these words and no others.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Reason is one word of the closed set.
type Reason string

// The reasons.
const (
	Timeout     Reason = "timeout"      // no answer in time; whether it had effect is unknown
	Unreachable Reason = "unreachable"  // no connection, name not found, connection lost
	RateLimited Reason = "rate_limited" // 429
	ServerError Reason = "server_error" // 5xx, 408, 425, and what a target has tried again
	Auth        Reason = "auth"         // 401, 403, a secret that cannot be read
	Rejected    Reason = "rejected"     // the backend said no to this record
	TooLarge    Reason = "too_large"    // 413, or beyond a limit of the target
	BadResponse Reason = "bad_response" // an answer that the target's steps cannot use
	JobFailed   Reason = "job_failed"   // the backend's job ended without success
	JobDeadline Reason = "job_deadline" // the backend's job did not end in time
	TargetGone  Reason = "target_gone"  // the plan is no longer known
	Expired     Reason = "expired"      // its time was over before its turn came
	Canceled    Reason = "canceled"     // a client or an operator stopped it
	Internal    Reason = "internal"     // a fault of Headgate itself
)

// All lists the reasons, for documentation and metrics.
func All() []Reason {
	return []Reason{
		Timeout, Unreachable, RateLimited, ServerError, Auth, Rejected, TooLarge,
		BadResponse, JobFailed, JobDeadline, TargetGone, Expired, Canceled, Internal,
	}
}

// Meaning says what a reason stands for, in a sentence for people; empty for a word that
// is not of the set.
func (r Reason) Meaning() string {
	switch r {
	case Timeout:
		return "There was no answer in time. Whether the call had effect is unknown."
	case Unreachable:
		return "No connection: the name was not found, the connection was refused or lost."
	case RateLimited:
		return "The backend asked for patience: 429."
	case ServerError:
		return "The backend had a fault of its own: 5xx, 408 or 425; or it said no in a way that the target has tried again (retry.on, on_error)."
	case Auth:
		return "The backend did not accept the credentials (401, 403), or the secret cannot be read."
	case Rejected:
		return "The backend said no to this record."
	case TooLarge:
		return "What is sent is too large for the backend (413), or something is beyond a limit of the target."
	case BadResponse:
		return "The backend's answer is one that the target's steps cannot use."
	case JobFailed:
		return "The backend's job ended without success."
	case JobDeadline:
		return "The backend's job did not end in time."
	case TargetGone:
		return "The plan that the delivery was accepted with is no longer known."
	case Expired:
		return "Its time was over before its turn came: those before it for the same key had not ended."
	case Canceled:
		return "A client or an operator stopped it."
	case Internal:
		return "A fault of Headgate itself. It is logged."
	}
	return ""
}

// Fault is an error with a reason. What the next layer needs is in its fields.
type Fault struct {
	Reason  Reason
	Message string // for the person who reads the tracking answer: no secrets
	Status  int    // the backend's HTTP status, 0 when there was no answer
	// RetryAfter is the backend's own floor for the next attempt; 0 when it gave none.
	RetryAfter time.Duration
	// Retry reports whether another attempt may help.
	Retry bool
	// Refusal says of a server_error that the backend was well and said no, and that the target
	// takes that for no verdict on the record.
	Refusal bool
	Err     error // the cause, for the log
}

// Error implements error.
func (f *Fault) Error() string {
	if f.Err != nil {
		return fmt.Sprintf("%s: %s: %v", f.Reason, f.Message, f.Err)
	}
	return fmt.Sprintf("%s: %s", f.Reason, f.Message)
}

// Unwrap gives the cause.
func (f *Fault) Unwrap() error { return f.Err }

// From gives the Fault inside err; an error that carries none is Internal and may be
// tried again.
func From(err error) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	return &Fault{Reason: Internal, Message: "internal error", Retry: true, Err: err}
}
