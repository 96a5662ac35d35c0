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

	"headgate/dispatch/tracking"
	"headgate/gateway"
)

// Dispatches is where dispatches are found.
type Dispatches interface {
	// Find gives a page; tracking.FindQuery says of what.
	Find(ctx context.Context, q tracking.FindQuery) (tracking.FindPage, error)
	// Load reads one; tracking.ErrNotFound when there is none.
	Load(ctx context.Context, id string) (*tracking.Dispatch, error)
}

// DispatchPageView is the body of GET /dispatches: newest first within a page, but the pages
// are in no order.
type DispatchPageView struct {
	Dispatches []DispatchView `json:"dispatches"`
	// LookedAt is how many records, or rows of an index, this page went through, and By which:
	// key, under_way, dead_letters or all_records.
	LookedAt int             `json:"looked_at"`
	By       tracking.FindBy `json:"by"`
	// Cursor asks for what follows; absent when everything was looked at. What one page may
	// cost is bounded, so it can be short, even empty, without being the last one.
	Cursor string `json:"cursor,omitempty"`
}

// DispatchView is a dispatch as its client sees it at GET /tracking, and whose it is.
type DispatchView struct {
	gateway.TrackingView
	Tenant string `json:"tenant"`
}

func dispatchView(d *tracking.Dispatch) DispatchView {
	return DispatchView{TrackingView: gateway.ViewOf(d), Tenant: d.Tenant}
}

func (s *Server) dispatchEndpoints() []endpoint {
	return []endpoint{
		{http.MethodGet, "/dispatches", func(c *call) { s.findDispatches(c.w, c.r) }},
		{http.MethodGet, "/dispatches/{tracking_id}", func(c *call) { s.showDispatch(c.w, c.r, c.args[0]) }},
	}
}

// findDispatches answers GET /dispatches.
func (s *Server) findDispatches(w http.ResponseWriter, r *http.Request) {
	q, err := readFind(r.URL.Query(), time.Now())
	if err != nil {
		badRequest(w, err)
		return
	}
	page, err := s.o.Dispatches.Find(r.Context(), q)
	if err != nil {
		s.letterFailed(w, r, err)
		return
	}
	view := DispatchPageView{Dispatches: make([]DispatchView, 0, len(page.Dispatches)), LookedAt: page.Looked, By: page.By, Cursor: page.Next}
	for _, d := range page.Dispatches {
		view.Dispatches = append(view.Dispatches, dispatchView(d))
	}
	writeJSON(w, http.StatusOK, view)
}

// showDispatch answers GET /dispatches/<tracking>.
func (s *Server) showDispatch(w http.ResponseWriter, r *http.Request, id string) {
	d, err := s.o.Dispatches.Load(r.Context(), strings.Clone(id))
	switch {
	case errors.Is(err, tracking.ErrNotFound), err == nil && tracking.IsBatch(d.ID):
		writeProblem(w, problem(http.StatusNotFound, "not-found", "Not found",
			"There is no dispatch with this tracking ID: there never was, or its time of retention is over."))
	case err != nil:
		s.letterFailed(w, r, err)
	default:
		writeJSON(w, http.StatusOK, dispatchView(d))
	}
}

// readFind reads the filters. An unknown one would silently select more than was meant.
func readFind(values url.Values, now time.Time) (q tracking.FindQuery, err error) {
	var key string
	text := map[string]*string{
		"route": &q.Route, "tenant": &q.Tenant, "key": &key, "target": &q.Target, "state": &q.State, "cursor": &q.Cursor,
	}
	times := map[string]*time.Time{"since": &q.Since, "until": &q.Until}
	for name, list := range values {
		value := strings.Clone(list[0])
		switch {
		case len(list) != 1:
			err = fmt.Errorf("%s is given %d times", name, len(list))
		case value == "":
			err = fmt.Errorf("%s is empty; leave it out to select all", name)
		case text[name] != nil:
			*text[name] = value
		case times[name] != nil:
			*times[name], err = moment(name, value, now)
		case name == "limit":
			if q.Limit, err = strconv.Atoi(value); err != nil || q.Limit < 1 || q.Limit > tracking.MaxFindPage {
				err = fmt.Errorf("limit: %q is not a number from 1 to %d", value, tracking.MaxFindPage)
			}
		default:
			err = fmt.Errorf("unknown filter %q; known: route, tenant, key, target, state, since, until, cursor, limit", name)
		}
		if err != nil {
			return q, err
		}
	}
	if key == "" {
		return q, nil
	}
	// What is kept is a hash of all three.
	if q.Tenant == "" || q.Route == "" {
		return q, errors.New("key: an idempotency key belongs to a tenant and a route; give both as well")
	}
	var ok bool
	if q.IdemHash, ok = gateway.IdemHash(q.Tenant, q.Route, key); !ok {
		return q, errors.New("key: an idempotency key has 1 to 255 characters, and no control characters")
	}
	return q, nil
}
