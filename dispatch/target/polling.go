package target

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
	"headgate/dispatch/transform"
	"headgate/dispatch/transform/jq"
)

// polled reads the state of the backend's job from an answer and says what follows.
func (r *run) polled(ctx context.Context, resp *response) tracking.Event {
	p := r.step.poll
	answer := tracking.Answer{HTTPStatus: resp.status, JobID: r.jobID()}
	v, err := p.state.Eval(r.scope)
	if err != nil && !errors.Is(err, transform.ErrEmpty) {
		return r.pollFailed(&fault.Fault{Reason: fault.BadResponse, Status: resp.status, Err: err,
			Message: "the state of the backend's job cannot be read: " + err.Error()})
	}
	word, ok := textOf(v)
	if !ok && v != nil {
		return r.pollFailed(&fault.Fault{Reason: fault.BadResponse, Status: resp.status,
			Message: "the state of the backend's job cannot be read: expected text, got " + jq.Describe(v)})
	}
	answer.JobState = clean(word, maxJobState)
	answer.Done, answer.Total = r.count(p.done), r.count(p.total)
	message := r.pollMessage()
	end, f := r.ending(word, resp)
	if f != nil {
		return r.pollFailed(f)
	}
	switch end {
	case unmapped:
		return r.unlisted(resp, answer)
	case running:
		return r.notYet(resp, answer, message)
	case succeeded:
		if !r.step.looksBehind() {
			return r.done(answer, tracking.Succeeded, message)
		}
	case warned:
		if len(r.step.rejects) == 0 {
			return r.done(answer, tracking.Warned, message)
		}
	case partial:
		if len(r.step.rejects) == 0 {
			return r.conclude(answer, tracking.Unknown, fault.JobFailed, also(message, partOf(answer)))
		}
	case failed:
		if split := r.split(ctx, answer, message); split != nil {
			return split
		}
		if len(r.step.rejects) == 0 {
			return r.conclude(answer, tracking.Failed, fault.JobFailed, jobFailed(answer, message))
		}
	}
	return r.judged(ctx, end, resp, answer, message)
}

// split has the records of a job that failed sent again in halves; nil when that is not asked
// for, or there is one record only.
func (r *run) split(ctx context.Context, answer tracking.Answer, message string) tracking.Event {
	if !r.step.poll.Split {
		return nil
	}
	records, err := r.in.Records(ctx)
	if err != nil {
		return r.pollFailed(&fault.Fault{Reason: fault.Internal, Retry: true, Err: err, Message: "the records of the batch cannot be read: " + err.Error()})
	}
	if records.count() < 2 {
		return nil
	}
	return tracking.Split{Answer: answer, Most: records.count() / 2, Anew: true,
		Message: clip(also(jobFailed(answer, message), "its records are sent again in halves"), maxMessage)}
}

// ending says what a state stands for, and looks behind one that says that the job is done.
func (r *run) ending(word string, resp *response) (ending, *fault.Fault) {
	p := r.step.poll
	end := p.words[word]
	if end == unmapped && word != "" && p.UnknownState == orFailed {
		return failed, nil
	}
	if p.partialIf == nil || (end != succeeded && end != warned) {
		return end, nil
	}
	part, err := p.partialIf.Eval(r.scope)
	switch {
	case err != nil: // it must not pass for a success
		return end, &fault.Fault{Reason: fault.BadResponse, Status: resp.status, Err: err, Message: "partial_if: " + err.Error()}
	case part:
		return partial, nil
	}
	return end, nil
}

func jobFailed(answer tracking.Answer, message string) string {
	return also(fmt.Sprintf("the backend's job ended in state %q", answer.JobState), message)
}

func (r *run) conclude(a tracking.Answer, s tracking.State, reason fault.Reason, message string) tracking.Event {
	return tracking.Concluded{Answer: a, State: s, Reason: reason, Message: clip(message, maxReasons), Poll: r.step.poll != nil}
}

// notYet waits for the next poll: not sooner than the backend asks for, and never later
// than the deadline.
func (r *run) notYet(resp *response, answer tracking.Answer, message string) tracking.Event {
	left := r.left()
	if left <= 0 {
		return r.overdue(answer)
	}
	every := r.step.poll.Every
	after := growth(every.First, every.Factor, r.in.Delivery.Polls, every.Max)
	after = time.Duration(float64(after) * (0.9 + 0.2*r.engine.random()))
	after = max(after, retryAfter(resp.header))
	return tracking.NotYet{Answer: answer, After: min(after, left), Message: message}
}

// pollFailed is a poll without a usable answer.
func (r *run) pollFailed(f *fault.Fault) tracking.Event {
	f.Message = clip(f.Message, maxReasons)
	if errors.Is(f.Err, errStopped) {
		return tracking.PollFailed{Fault: f}
	}
	left := r.left()
	if left <= 0 {
		return r.overdue(tracking.Answer{HTTPStatus: f.Status, JobID: r.jobID()})
	}
	// What fails before the call, for want of data, fails each time. Everything the
	// backend says, 401 and 404 included, may be otherwise an hour later.
	hopeless := f.Status == 0 && !f.Retry
	if hopeless || r.in.Delivery.PollFaults+1 >= r.step.poll.Attempts {
		return tracking.PollFailed{Fault: f, Final: true}
	}
	return tracking.PollFailed{Fault: f, After: min(r.backoff(r.in.Delivery.PollFaults, f), left)}
}

// left is how much time the backend's job still has.
func (r *run) left() time.Duration {
	since := r.in.Delivery.StepSince
	if since.IsZero() { // a first step that polls, on its first run
		since = r.in.Now
	}
	return r.step.poll.Deadline.D() - r.now().Sub(since)
}

func (r *run) overdue(answer tracking.Answer) tracking.Event {
	state := ""
	if answer.JobState != "" {
		state = fmt.Sprintf("; its last state was %q", answer.JobState)
	}
	return r.conclude(answer, tracking.Unknown, fault.JobDeadline,
		fmt.Sprintf("the backend's job did not end within %s%s", r.step.poll.Deadline, state))
}

// jobID is the backend's name for its job: by the target's expression, as saved under
// the name job, or as it was known before.
func (r *run) jobID() string {
	if e := r.step.poll.job; e != nil && r.scope["response"] != nil {
		if v, err := e.Eval(r.scope); err == nil {
			if text, ok := textOf(v); ok && text != "" {
				return clean(text, maxJobState)
			}
		}
	}
	if v, err := decodeJSON(r.in.Delivery.Saved["job"]); err == nil {
		if text, ok := textOf(v); ok && text != "" {
			return clean(text, maxJobState)
		}
	}
	return r.in.Delivery.JobID
}

// count gives a whole number that is shown; 0 when the backend has none.
func (r *run) count(e *transform.Value) int64 {
	n, err := strconv.ParseInt(itemText(e, r.scope), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func (r *run) pollMessage() string {
	if r.step.poll.message == nil {
		return ""
	}
	v, err := r.step.poll.message.Eval(r.scope)
	if err != nil {
		return "" // the backend has nothing to say
	}
	text, _ := textOf(v)
	return clean(text, maxMessage)
}
