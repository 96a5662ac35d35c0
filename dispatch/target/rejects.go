package target

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
	"headgate/dispatch/transform"
)

// rejects is a compiled Rejects.
type rejects struct {
	Rejects
	path                      *transform.Text // nil: the last answer has the list
	decode                    decoder         // nil: JSON, as any answer is read
	when, match               *transform.Bool
	items, reason, code       *transform.Value
	total, count              *transform.Value
	index, itemKey, recordKey *transform.Value // of a batch
	more                      *transform.Bool
	cursor, following         *transform.Value
	means                     tracking.State // of an item: its record's end, or Retrying
	classes                   []class
	result                    []named
	warnings                  map[string]bool
}

// class is a compiled Class.
type class struct {
	when *transform.Bool
	as   tracking.State
}

// looksBehind reports whether a list is read after a job that ended succeeded: one that names
// the records that were taken, or one that is to be read always.
func (s *step) looksBehind() bool {
	return slices.ContainsFunc(s.rejects, func(list *rejects) bool { return list.Always || list.means == tracking.Succeeded })
}

// readLists reads what the backend says of single records, list by list. A page that cannot
// be had is a failed poll: the next one starts again with the state of the job.
func (r *run) readLists(ctx context.Context, last *response) (*findings, *fault.Fault) {
	found := &findings{complete: true, groups: map[*int]*group{}}
	for _, list := range r.step.rejects {
		if list.when != nil {
			needed, err := list.when.Eval(r.scope)
			if err != nil {
				return nil, unreadable(last, err)
			}
			if !needed {
				continue
			}
		}
		found.lists++
		named, f := r.readList(ctx, list, last, found)
		if f != nil {
			return nil, f
		}
		found.accounts = found.accounts || list.means == tracking.Succeeded
		if !named.agrees(itemText(list.count, r.scope)) {
			found.complete = false
		}
	}
	found.mixed = r.mixed
	return found, nil
}

// readList reads one list, page by page where it has pages.
func (r *run) readList(ctx context.Context, list *rejects, last *response, found *findings) (*mentions, *fault.Fault) {
	scope := maps.Clone(r.scope)
	which, f := r.correlation(ctx, list, scope)
	if f != nil {
		return nil, f
	}
	out := &mentions{groups: map[int]int{}}
	pages, f := r.pagesOf(list)
	if f != nil {
		return nil, f
	}
	for range list.MaxPages {
		resp, f := r.listPage(ctx, list, last, pages)
		if f != nil {
			return nil, f
		}
		resp.into(scope)
		items, f := itemsOf(list, scope, resp)
		if f != nil {
			return nil, f
		}
		for _, item := range items {
			scope["item"] = item
			places, f := which(resp)
			if f == nil {
				f = found.add(list, scope, resp, places)
			}
			if f != nil {
				return nil, f
			}
			out.add(places)
		}
		delete(scope, "item")
		found.read += len(items)
		pages.read += len(items)
		more, f := pages.turn(r, scope, resp, len(items))
		if f != nil {
			return nil, f
		}
		if more {
			continue
		}
		want, f := number(list.total, scope, resp)
		if f != nil {
			return nil, f
		}
		found.complete = found.complete && !pages.astray && pages.read >= want
		return out, nil
	}
	found.complete = false // there are more pages than may be read
	return out, nil
}

// listPage has the answer that holds a page: the last one, or that of a call of its own.
func (r *run) listPage(ctx context.Context, list *rejects, last *response, at *pages) (*response, *fault.Fault) {
	resp := &response{status: last.status, header: last.header, body: last.body, secrets: last.secrets}
	if list.path != nil {
		req, f := r.plan.envelope(r.step, at.to, r.scope)
		if f != nil {
			return nil, f
		}
		req.limit = int64(list.MaxResponse)
		if accept := accepted[list.Format]; accept != "" {
			req.set("Accept", accept)
		}
		if f := r.plan.authorize(r.step, r.in, req, r.engine.secrets); f != nil {
			return nil, f
		}
		if resp, f = r.send(ctx, r.step, req); f == nil {
			f = r.stale(req, resp)
		}
		if f != nil {
			f.Message = "the list of refused records cannot be read: " + f.Message
			return nil, f
		}
	}
	if err := resp.unpack(list.decode, int64(list.MaxResponse)); err != nil {
		return nil, unreadable(resp, err)
	}
	return resp, nil
}

// stale is the fault of a page that says, in its body, that the access token is good no
// more. Of the rules of a step that polls there are no others.
func (r *run) stale(req *request, resp *response) *fault.Fault {
	if len(r.step.onError) == 0 || r.step.poll == nil {
		return nil
	}
	scope := maps.Clone(r.scope)
	resp.into(scope)
	if r.step.ruleFor(scope) == nil {
		return nil
	}
	r.dropToken(req)
	return &fault.Fault{Reason: fault.Auth, Status: resp.status, Retry: true, Message: r.plan.faultMessage(r.step, resp, fault.Auth)}
}

func itemsOf(list *rejects, scope transform.Scope, resp *response) ([]any, *fault.Fault) {
	v, err := list.items.Eval(scope)
	if v == nil && (err == nil || errors.Is(err, transform.ErrEmpty)) {
		return nil, nil
	}
	items, ok := v.([]any)
	if err == nil && !ok {
		err = errors.New("items gives no list")
	}
	if err != nil {
		return nil, unreadable(resp, err)
	}
	return items, nil
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

// number is how many items there should be; 0 when the backend does not say.
func number(e *transform.Value, scope transform.Scope, resp *response) (int, *fault.Fault) {
	text := itemText(e, scope)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n != float64(int(n)) {
		return 0, unreadable(resp, fmt.Errorf("total: %q is no whole number", text))
	}
	return int(n), nil
}

func unreadable(resp *response, err error) *fault.Fault {
	return &fault.Fault{Reason: fault.BadResponse, Status: resp.status, Retry: true, Err: err,
		Message: "the list of refused records cannot be read: " + err.Error()}
}
