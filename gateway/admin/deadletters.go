package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"headgate/config/unit"
	"headgate/dispatch"
	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
	"headgate/gateway/wire"
)

// DeadLetters is what operators do with dead letters.
type DeadLetters interface {
	List(ctx context.Context, q tracking.DeadQuery) (tracking.DeadPage, error)
	Show(ctx context.Context, ref tracking.Ref) (*tracking.Letter, error)
	Replay(ctx context.Context, ref tracking.Ref, order dispatch.ReplayOrder) (tracking.Delivery, error)
	Bulk(ctx context.Context, order dispatch.BulkOrder, report func(dispatch.Progress) error) (dispatch.Progress, error)
}

var _ DeadLetters = (*dispatch.Operator)(nil)

func (s *Server) letterEndpoints() []endpoint {
	bulk := func(verb dispatch.Verb) func(c *call) {
		return takesJSON(func(c *call) { s.bulk(c.w, c.r, verb) })
	}
	return []endpoint{
		{http.MethodGet, "/deadletters", func(c *call) { s.listLetters(c.w, c.r) }},
		{http.MethodPost, "/deadletters/replay", bulk(dispatch.VerbReplay)},
		{http.MethodPost, "/deadletters/drop", bulk(dispatch.VerbDrop)},
		{http.MethodGet, "/deadletters/{tracking_id}/{target}", func(c *call) { s.showLetter(c.w, c.r, refOf(c)) }},
		{http.MethodPost, "/deadletters/{tracking_id}/{target}/replay", takesJSON(func(c *call) { s.replayLetter(c.w, c.r, refOf(c)) })},
	}
}

func refOf(c *call) tracking.Ref { return tracking.Ref{Tracking: c.args[0], Target: c.args[1]} }

// listLetters answers GET /deadletters.
func (s *Server) listLetters(w http.ResponseWriter, r *http.Request) {
	q, err := readQuery(r.URL.Query())
	if err != nil {
		badRequest(w, err)
		return
	}
	page, err := s.o.DeadLetters.List(r.Context(), q)
	if err != nil {
		s.letterFailed(w, r, err)
		return
	}
	view := DeadPageView{DeadLetters: make([]DeadLetterView, 0, len(page.Letters)), Cursor: page.Next}
	for i := range page.Letters {
		view.DeadLetters = append(view.DeadLetters, letterView(&page.Letters[i]))
	}
	writeJSON(w, http.StatusOK, view)
}

// showLetter answers GET /deadletters/<tracking>/<target>.
func (s *Server) showLetter(w http.ResponseWriter, r *http.Request, ref tracking.Ref) {
	letter, err := s.o.DeadLetters.Show(r.Context(), ref)
	if err != nil {
		s.letterFailed(w, r, err)
		return
	}
	view := letterView(letter)
	view.setPayload(letter.Payload)
	writeJSON(w, http.StatusOK, view)
}

// replayLetter answers POST /deadletters/<tracking>/<target>/replay.
func (s *Server) replayLetter(w http.ResponseWriter, r *http.Request, ref tracking.Ref) {
	var wish ReplayWish
	if err := readBody(r, &wish); err != nil {
		badRequest(w, err)
		return
	}
	if string(wish.Payload) == "null" {
		wish.Payload = nil // as if it had been left out
	}
	next, err := s.o.DeadLetters.Replay(r.Context(), ref, dispatch.ReplayOrder{
		Payload: wish.Payload, NewKey: wish.NewKey, CurrentPlan: wish.CurrentPlan, Restart: wish.Restart,
	})
	if err != nil {
		s.letterFailed(w, r, err)
		return
	}
	writeJSON(w, http.StatusAccepted, ReplayedView{
		TrackingID: ref.Tracking, Target: ref.Target, State: next.State, Replays: next.Replays, NewKey: wish.NewKey || wish.Payload != nil,
	})
}

// readQuery reads the filters of a listing. An unknown one would silently select more
// than was meant.
func readQuery(values url.Values) (q tracking.DeadQuery, err error) {
	var f Filter
	for name, list := range values {
		if len(list) != 1 {
			return q, fmt.Errorf("%s is given %d times", name, len(list))
		}
		value := strings.Clone(list[0])
		switch name {
		case "target":
			f.Target = value
		case "route":
			f.Route = value
		case "tenant":
			f.Tenant = value
		case "reason":
			f.Reason = value
		case "since":
			f.Since = value
		case "until":
			f.Until = value
		case "cursor":
			f.Cursor = value
		case "limit":
			if q.Limit, err = strconv.Atoi(value); err != nil || q.Limit < 1 {
				return q, fmt.Errorf("limit: %q is not a number above zero", value)
			}
		default:
			return q, fmt.Errorf("unknown filter %q; known: target, route, tenant, reason, since, until, cursor, limit", name)
		}
	}
	limit := q.Limit
	q, err = f.query(time.Now())
	q.Limit = limit
	return q, err
}

// query makes the filter the store's.
func (f Filter) query(now time.Time) (tracking.DeadQuery, error) {
	q := tracking.DeadQuery{Target: f.Target, Route: f.Route, Tenant: f.Tenant, Cursor: f.Cursor}
	for _, reason := range fault.All() {
		if f.Reason == string(reason) {
			q.Reason = reason
		}
	}
	if f.Reason != "" && q.Reason == "" {
		return q, fmt.Errorf("reason: %q is none of %v", f.Reason, fault.All())
	}
	var sinceErr, untilErr error
	q.Since, sinceErr = moment("since", f.Since, now)
	q.Until, untilErr = moment("until", f.Until, now)
	return q, errors.Join(sinceErr, untilErr)
}

// moment reads a time: RFC 3339, or how long ago, such as 2h or 3d.
func moment(name, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at, nil
	}
	ago, err := unit.ParseDuration(text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %q is neither a time such as 2026-03-01T12:00:00Z nor how long ago, such as 2h or 3d", name, text)
	}
	return now.Add(-ago.D()), nil
}

func badRequest(w http.ResponseWriter, err error) {
	writeProblem(w, problem(http.StatusBadRequest, "bad-request", "Bad request", err.Error()))
}

// letterFailed answers an error of the dead letters.
func (s *Server) letterFailed(w http.ResponseWriter, r *http.Request, err error) {
	writeProblem(w, s.letterProblem(r.Context(), err))
}

func (s *Server) letterProblem(ctx context.Context, err error) wire.Problem {
	var not *dispatch.NotReplayableError
	switch {
	case errors.As(err, &not):
		return problem(http.StatusConflict, "nothing-to-replay", "Nothing to replay", "The delivery is not replayed: "+not.Why+".")
	case errors.Is(err, tracking.ErrNotFound):
		return problem(http.StatusNotFound, "not-found", "Not found", "There is no such delivery.")
	case errors.Is(err, tracking.ErrFenced):
		return problem(http.StatusConflict, "conflict", "Conflict", "Somebody else changed the delivery at the same time.")
	case errors.Is(err, tracking.ErrNoPayload):
		return problem(http.StatusConflict, "no-payload", "No payload", "The payload is no longer kept; send one with the request.")
	case errors.Is(err, tracking.ErrTooLarge):
		return problem(http.StatusRequestEntityTooLarge, "body-too-large", "The body is too large", "The payload is too large to be recorded.")
	case errors.Is(err, dispatch.ErrPlanGone):
		return problem(http.StatusConflict, "plan-gone", "The target is gone", "Neither the plan of the acceptance nor the target of the files is known any more.")
	case errors.Is(err, tracking.ErrInvalid):
		// What it says of records means nothing to somebody who mistyped a filter or a cursor.
		return problem(http.StatusBadRequest, "bad-request", "Bad request", strings.TrimPrefix(err.Error(), tracking.ErrInvalid.Error()+": "))
	}
	return s.failure(ctx, err)
}
