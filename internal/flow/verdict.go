package flow

import (
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// verdict is what a run says about the backend.
type verdict int

const (
	silent verdict = iota // nothing: no call was made, or the backend asked for time
	well                  // it answered, be it with a refusal
	ill                   // it did not answer, or with an error of its own
)

// maxHold bounds how long new deliveries wait because of one Retry-After.
const maxHold = time.Hour

// judge tells what an event says about the backend, and for how long it wants to be
// spared new deliveries.
func judge(e tracking.Event) (verdict, time.Duration) {
	var f *fault.Fault
	switch e := e.(type) {
	case tracking.AttemptFailed:
		f = e.Fault
	case tracking.PollFailed:
		f = e.Fault
	case tracking.Deferred:
		if e.HTTPStatus == 0 { // as many batches as may be are under way
			return silent, 0
		}
	case tracking.Split:
		if e.Unsent {
			return silent, 0
		}
	}
	if f == nil {
		return well, 0
	}
	switch f.Reason {
	case fault.Timeout, fault.Unreachable, fault.ServerError:
		if f.Refusal {
			return well, 0
		}
		// A backend that says when it will be back is not asked sooner (503, Retry-After),
		// but a single such answer does not yet keep the others away.
		return ill, 0
	case fault.RateLimited:
		return silent, min(f.RetryAfter, maxHold)
	case fault.Auth, fault.Rejected, fault.TooLarge, fault.BadResponse, fault.JobFailed,
		fault.JobDeadline, fault.TargetGone, fault.Expired, fault.Canceled, fault.Internal:
	}
	if f.Status == 0 {
		return silent, 0
	}
	return well, 0
}
