package target

import (
	"context"
	"errors"
	"maps"
	"strconv"

	"headgate/dispatch/fault"
	"headgate/dispatch/transform"
)

// readRejects reads the list: from the last answer, or page by page with calls of its own.
// A page that cannot be had is a failed poll: the next one starts again with the state of
// the job.
func (r *run) readRejects(ctx context.Context, last *response) (*findings, *fault.Fault) {
	spec := r.step.rejects
	scope := maps.Clone(r.scope)
	found := &findings{of: map[int]*verdict{}}
	which, f := r.correlation(ctx, scope)
	if f != nil {
		return nil, f
	}
	for page := 0; page < spec.MaxPages; page++ {
		resp := last
		if spec.path != nil {
			if resp, f = r.rejectsPage(ctx, found.read); f != nil {
				return nil, f
			}
		}
		resp.into(scope)
		list, f := items(spec, scope, resp)
		if f != nil {
			return nil, f
		}
		for _, item := range list {
			scope["item"] = item
			places, f := which(resp)
			if f != nil {
				return nil, f
			}
			found.add(spec, scope, places)
		}
		delete(scope, "item")
		found.read += len(list)
		more, f := anotherPage(spec, scope, resp, len(list))
		if f != nil {
			return nil, f
		}
		if !more {
			found.complete = found.read >= total(spec, scope) && found.strangers == 0
			return found, nil
		}
	}
	return found, nil
}

func (r *run) rejectsPage(ctx context.Context, offset int) (*response, *fault.Fault) {
	spec := r.step.rejects
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
	if f := r.plan.authorize(r.step, r.in, req, r.engine.secrets); f != nil {
		return nil, f
	}
	resp, f := r.send(ctx, r.step, req)
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
