package target

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
	"headgate/dispatch/transform"
)

// verdict is what the backend's list of rejects says about our record.
type verdict struct {
	reasons  []string // why it was refused
	warnings []string // what the backend remarked on although it took it
	refused  bool
	warned   bool
	read     int  // items read, of whichever record
	complete bool // and there are no more
}

// judge joins the end of the job with the list of rejects.
func (r *run) judge(end ending, v verdict, answer tracking.Answer, message string) tracking.Event {
	switch {
	case v.refused:
		return r.conclude(answer, tracking.Rejected, fault.Rejected, strings.Join(v.reasons, "; "))
	case end == failed:
		return r.conclude(answer, tracking.Failed, fault.JobFailed, also(jobFailed(answer, message), strings.Join(v.warnings, "; ")))
	case v.warned:
		return r.done(answer, tracking.Warned, strings.Join(v.warnings, "; "))
	case !v.complete:
		return r.conclude(answer, tracking.Unknown, fault.BadResponse, fmt.Sprintf(
			"the backend's job ended in state %q, but its list of refused records is not complete: %d read", answer.JobState, v.read))
	case end == partial && v.read > 0:
		// Some records were refused, the list is whole, and ours is not in it.
		return r.done(answer, tracking.Succeeded, message)
	}
	return r.done(answer, tracking.Warned, also(message,
		fmt.Sprintf("the backend's job ended in state %q and names no refused record", answer.JobState)))
}

// readRejects reads the list page by page. A page that cannot be had is a failed poll:
// the next one starts again with the state of the job.
func (r *run) readRejects(ctx context.Context) (verdict, *fault.Fault) {
	spec := r.step.poll.rejects
	scope := maps.Clone(r.scope)
	var v verdict
	for page := 0; page < spec.MaxPages; page++ {
		resp, f := r.rejectsPage(ctx, v.read)
		if f != nil {
			return v, f
		}
		resp.into(scope)
		list, f := items(spec, scope, resp)
		if f != nil {
			return v, f
		}
		for _, item := range list {
			scope["item"] = item
			if f := v.add(spec, scope, resp); f != nil {
				return v, f
			}
		}
		delete(scope, "item")
		v.read += len(list)
		more, f := anotherPage(spec, scope, resp, len(list))
		if f != nil {
			return v, f
		}
		if !more {
			v.complete = v.read >= total(spec, scope)
			return v, nil
		}
	}
	return v, nil
}

func (r *run) rejectsPage(ctx context.Context, offset int) (*response, *fault.Fault) {
	spec := r.step.poll.rejects
	to, f := r.plan.place(spec.path, r.scope)
	if f != nil {
		return nil, f
	}
	req, f := r.plan.envelope(r.step, to, r.in, r.scope)
	if f != nil {
		return nil, f
	}
	if page := spec.Page; page != nil {
		req.to.url = addQuery(req.to.url, parameter(page.LimitParam, page.Limit))
		req.to.url = addQuery(req.to.url, parameter(page.OffsetParam, offset))
	}
	if f := r.step.authorize(req, false); f != nil {
		return nil, f
	}
	resp, f := r.send(ctx, req)
	if f != nil {
		f.Message = "the list of refused records cannot be read: " + f.Message
	}
	return resp, f
}

func items(spec *rejects, scope transform.Scope, resp *response) ([]any, *fault.Fault) {
	v, err := spec.items.Eval(scope)
	if v == nil && (err == nil || errors.Is(err, transform.ErrEmpty)) {
		return nil, nil
	}
	list, ok := v.([]any)
	if err == nil && !ok {
		err = errors.New("items gives no list")
	}
	if err != nil {
		return nil, unreadable(resp, err)
	}
	return list, nil
}

// add takes one item into account.
func (v *verdict) add(spec *rejects, scope transform.Scope, resp *response) *fault.Fault {
	if spec.match != nil {
		ours, err := spec.match.Eval(scope)
		if err != nil {
			return unreadable(resp, err)
		}
		if !ours {
			return nil
		}
	}
	code := itemText(spec.code, scope)
	reason := itemText(spec.reason, scope)
	if code != "" {
		reason = strings.TrimSpace(code + " " + reason)
	}
	if reason == "" {
		reason = "refused, without a reason"
	}
	if code != "" && spec.warnings[code] {
		v.warned = true
		v.warnings = append(v.warnings, reason)
		return nil
	}
	v.refused = true
	v.reasons = append(v.reasons, reason)
	return nil
}

// itemText gives a text on an item; an item without it is no fault.
func itemText(e *transform.Value, scope transform.Scope) string {
	if e == nil {
		return ""
	}
	v, err := e.Eval(scope)
	if err != nil {
		return ""
	}
	text, _ := textOf(v)
	return clean(text, maxMessage)
}

func anotherPage(spec *rejects, scope transform.Scope, resp *response, got int) (bool, *fault.Fault) {
	switch {
	case spec.Page == nil, got == 0:
		return false, nil // an empty page ends the list, whatever else it says
	case spec.more == nil:
		return got >= spec.Page.Limit, nil
	}
	more, err := spec.more.Eval(scope)
	if err != nil {
		return false, unreadable(resp, err)
	}
	return more, nil
}

// total is how many items there should be; 0 when the backend does not say.
func total(spec *rejects, scope transform.Scope) int {
	n, err := strconv.Atoi(itemText(spec.total, scope))
	if err != nil {
		return 0
	}
	return n
}

func parameter(name string, value int) string { return name + "=" + strconv.Itoa(value) }

func unreadable(resp *response, err error) *fault.Fault {
	return &fault.Fault{Reason: fault.BadResponse, Status: resp.status, Retry: true, Err: err,
		Message: "the list of refused records cannot be read: " + err.Error()}
}
