package target

import (
	"fmt"
	"net/http"
	"slices"

	"headgate/config/yamlsrc"
	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// The words of Until.NotFound and Until.UnknownState: what follows from a poll that does not
// say how the job is.
const (
	orWait    = "wait"    // look again, until the deadline
	orUnknown = "unknown" // nobody will ever know; the job ID is kept
	orFailed  = "failed"  // the job did nothing
)

var orWords = []string{orWait, orUnknown, orFailed}

// unclear checks the words. An empty one is not written.
func (c *compiler) unclear(n *yamlsrc.Node, u *Until) {
	for key, word := range map[string]string{"not_found": u.NotFound, "unknown_state": u.UnknownState} {
		if at := n.Get(key); at != nil && at.Kind == yamlsrc.Scalar && !slices.Contains(orWords, word) {
			c.problem(at, yamlsrc.UnknownHint(word, orWords), "%q is nothing that %s can be", word, key)
		}
	}
}

// notFound says what follows from a poll that was answered 404 or 410, if the target says
// so; nil when that is a failed poll like others, or when the answer is another one.
func (r *run) notFound(resp *response) tracking.Event {
	if r.step.poll == nil || (resp.status != http.StatusNotFound && resp.status != http.StatusGone) {
		return nil
	}
	answer := tracking.Answer{HTTPStatus: resp.status, JobID: r.jobID()}
	return r.unclear(r.step.poll.NotFound, resp, answer, fmt.Sprintf("the backend does not know the job: it answered %d", resp.status))
}

// unlisted says what follows from a state that no list names and that is not taken for failed.
// No state at all is always waited out: it is an answer that went wrong rather than the end
// of a job.
func (r *run) unlisted(resp *response, answer tracking.Answer) tracking.Event {
	word := orWait
	if r.step.poll.UnknownState == orUnknown && answer.JobState != "" {
		word = orUnknown
	}
	return r.unclear(word, resp, answer, fmt.Sprintf("the backend's job is in state %q, which no list names", answer.JobState))
}

// unclear does what the word says; nil for no word.
func (r *run) unclear(word string, resp *response, answer tracking.Answer, message string) tracking.Event {
	switch word {
	case orWait:
		return r.notYet(resp, answer, message+"; waiting")
	case orUnknown:
		return r.conclude(answer, tracking.Unknown, fault.BadResponse, message)
	case orFailed:
		return r.conclude(answer, tracking.Failed, fault.JobFailed, message)
	}
	return nil
}
