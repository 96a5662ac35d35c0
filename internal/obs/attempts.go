package obs

import (
	"headgate/dispatch"
	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// Run counts what one run came to. An attempt is what counts as one in the record; a run that
// found no room, at the backend or among the batches under way, is neither attempt nor poll.
func (m *Metrics) Run(a dispatch.Attempt) {
	outcome, reason, is := outcomeOf(a.Event)
	switch is {
	case attempt:
		m.attempts.WithLabelValues(a.Target, outcome, string(reason)).Inc()
		m.attempt.WithLabelValues(a.Target).Observe(a.Duration.Seconds())
	case poll:
		m.polls.WithLabelValues(a.Target, outcome).Inc()
	case neither:
	}
}

// kind says what a run counts as.
type kind int

const (
	neither kind = iota
	attempt
	poll
)

func pollIf(yes bool) kind {
	if yes {
		return poll
	}
	return attempt
}

// The outcomes that are no states.
const (
	outcomeAdvanced = "advanced"
	outcomeRetrying = "retrying"
	outcomeAgain    = "again"
	outcomeNotYet   = "not_yet"
	outcomeFailed   = "failed"
)

func outcomeOf(e tracking.Event) (outcome string, reason fault.Reason, is kind) {
	switch e := e.(type) {
	case tracking.Advanced:
		return outcomeAdvanced, "", attempt
	case tracking.Concluded:
		return string(e.State), e.Reason, pollIf(e.Poll)
	case tracking.NotYet:
		return outcomeNotYet, "", poll
	case tracking.Stripped:
		return outcomeAgain, "", attempt
	case tracking.Split:
		if e.Unsent {
			return "", "", neither
		}
		return outcomeAgain, "", attempt
	case tracking.Again:
		return outcomeAgain, e.Reason, pollIf(e.Poll)
	case tracking.AttemptFailed:
		switch {
		case !e.Final:
			return outcomeRetrying, e.Fault.Reason, attempt
		case e.Fault.Reason == fault.Rejected:
			return string(tracking.Rejected), e.Fault.Reason, attempt
		}
		return outcomeFailed, e.Fault.Reason, attempt
	case tracking.PollFailed:
		if e.Final {
			return string(tracking.Unknown), e.Fault.Reason, poll
		}
		return outcomeFailed, e.Fault.Reason, poll
	}
	return "", "", neither // Deferred
}
