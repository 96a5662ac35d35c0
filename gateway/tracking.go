package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"headgate/dispatch/tracking"
)

// trackingPrefix is reserved: no route can be below it.
const trackingPrefix = "/tracking/"

// trackingRoute names these requests in logs and metrics.
const trackingRoute = "tracking"

// maxID is longer than any tracking ID.
const maxID = 64

// trackingPath gives the tracking ID of a path under the prefix. It may be one that
// cannot exist; then it is unknown like others.
func trackingPath(path string) (id string, ok bool) {
	return strings.CutPrefix(path, trackingPrefix)
}

// tracking answers GET and DELETE /tracking/<id>, and POST /tracking/<id>/replay. It also
// does while draining: clients that were told to come back must find something.
func (s *Server) tracking(ctx context.Context, c *call, table Table, id string) *answer {
	c.req.Route, c.note.route, c.note.pattern = trackingRoute, trackingRoute, trackingPrefix+":id"
	id, replay, allow := s.trackingAllow(id)
	if replay {
		c.note.pattern += replaySuffix
	}
	if !slices.Contains(allow, c.req.Method) {
		return methodNotAllowed(allow...)
	}
	if a := c.ask(ctx, s.trackingAuth(table)); a != nil {
		return a
	}
	tenant := c.req.Principal.TenantKey()
	c.note.tenant = tenant
	if a := c.ask(ctx, s.o.TrackingLimit); a != nil {
		return a
	}
	if !plausible(id) {
		return unknownID()
	}
	switch {
	case replay:
		return s.replayFailed(ctx, c, id, tenant)
	case c.req.Method == http.MethodDelete:
		return s.cancel(ctx, c, id, tenant)
	}
	return s.show(ctx, c, id, tenant)
}

// show answers GET /tracking/<id>.
func (s *Server) show(ctx context.Context, c *call, id, tenant string) *answer {
	p := readPrefer(c.req.Header["Prefer"], s.o.MaxWait)
	waited := p.wait > 0 && s.enterWait()
	if waited {
		defer s.leaveWait()
	}
	d, err := s.track(ctx, id, tenant, p, waited)
	switch {
	case errors.Is(err, tracking.ErrNotFound):
		return unknownID()
	case err != nil && ctx.Err() == nil && !errors.Is(err, tracking.ErrUnavailable):
		return s.failed(ctx, c, fmt.Errorf("read %s: %w", id, err), "internal")
	case err != nil:
		return s.failed(ctx, c, fmt.Errorf("read %s: %w", id, err), "unavailable")
	}
	c.note.trackingID = id
	a, err := trackingAnswer(d)
	if err != nil {
		return s.failed(ctx, c, fmt.Errorf("write %s: %w", id, err), "internal")
	}
	if d.Status() == tracking.InProgress {
		a.retryAfter(pollAfter)
	}
	return a.applied(p.applied(waited, false))
}

// track reads the dispatch, after waiting when the client asked for it and there was a
// free slot. When the server stops meanwhile, the wait ends and what is known is read.
func (s *Server) track(ctx context.Context, id, tenant string, p prefer, wait bool) (*tracking.Dispatch, error) {
	if wait {
		d, err := s.o.Acceptor.Track(s.waiting, id, tenant, p.wait)
		if err == nil || s.waiting.Err() == nil {
			return d, err
		}
	}
	return s.o.Acceptor.Track(ctx, id, tenant, 0)
}

// unknownID is the same, byte for byte, for IDs that never were and for those of
// another tenant.
func unknownID() *answer {
	return problem("not-found", http.StatusNotFound, "No dispatch has this tracking ID.")
}

// plausible spares the store what cannot be an ID.
func plausible(id string) bool {
	if id == "" || len(id) > maxID {
		return false
	}
	return !strings.ContainsFunc(id, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_' && r != '-'
	})
}

// enterWait takes one of the slots for clients that wait; false when none is free.
func (s *Server) enterWait() bool {
	select {
	case s.waiters <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s *Server) leaveWait() { <-s.waiters }
