package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
	"headgate/dispatch/transform"
	"headgate/policies"
	"headgate/routes"
)

// route handles everything that is not under /tracking/ or /callbacks/.
func (s *Server) route(ctx context.Context, c *call, table Table) *answer {
	r, params, allow := table.Match(c.req.Method, c.req.Path)
	if r == nil {
		if len(allow) > 0 {
			return methodNotAllowed(allow...)
		}
		return problem("not-found", http.StatusNotFound, "No route has this path.")
	}
	c.req.Route, c.req.Params, c.note.route, c.note.pattern = r.Name, params, r.Name, r.Pattern
	st := split(r)
	if a := c.ask(ctx, authPolicy(r.Auth)); a != nil {
		return a
	}
	if a := c.ask(ctx, st.first...); a != nil {
		return a
	}
	c.note.tenant = c.req.Principal.TenantKey()
	if a := c.inflate(s.o.MaxBody); a != nil {
		return a
	}
	idem, a := c.idem(r)
	if a != nil {
		return a
	}
	w := s.wave(ctx, c, r, st)
	if a := c.judge(w); a != nil {
		return s.settle(c, s.unlessKnown(ctx, c, r, idem, a))
	}
	return s.accept(ctx, c, r, w, idem)
}

func methodNotAllowed(allow ...string) *answer {
	return problem("method-not-allowed", http.StatusMethodNotAllowed, "The path does not have this method.").
		set("Allow", strings.Join(allow, ", "))
}

// ask runs policies one after the other and answers with the first refusal. A nil
// policy asks nothing.
func (c *call) ask(ctx context.Context, list ...policies.Policy) *answer {
	for _, p := range list {
		if p == nil {
			continue
		}
		d := p.Check(ctx, c.req)
		c.header.add(d.Headers)
		if !c.passed(p, d) {
			return denied(d)
		}
	}
	return nil
}

// passed notes what a decision says for the log and reports whether it allows.
func (c *call) passed(p policies.Policy, d policies.Decision) bool {
	switch {
	case d.Log != "":
		c.note.reason = p.Name() + ": " + d.Log
	case !d.Allow:
		c.note.reason = p.Name()
	}
	return d.Allow
}

// judge decides, in an order that does not depend on which goroutine was faster, what
// the wave came to.
func (c *call) judge(w *wave) *answer {
	for _, d := range w.admitted {
		c.header.add(d.Headers) // of all: replays are counted, too, and so tell where they stand
	}
	for i, p := range w.stages.admit {
		if !c.passed(p, w.admitted[i]) {
			return denied(w.admitted[i])
		}
	}
	if w.content != nil {
		return w.content
	}
	if w.notJSON {
		c.note.reason = "not JSON"
		return problem("bad-json", http.StatusBadRequest, "The body is not JSON.")
	}
	return c.mappingFailed(w.faults)
}

// unlessKnown gives the refusal a, or the first answer again when the idempotency key is
// known: neither a limit, nor a full backlog, nor a changed mapping may refuse a replay. A
// request that nothing refuses needs no such look: the store sees the key as it records.
func (s *Server) unlessKnown(ctx context.Context, c *call, r *routes.Route, idem *dispatch.Idem, a *answer) *answer {
	if idem == nil {
		return a
	}
	receipt, known, err := s.o.Acceptor.Lookup(ctx, *idem)
	switch {
	case errors.Is(err, tracking.ErrOutcomeUnknown): // the key is known, but it is not certain that what it stands for stays
		return s.acceptFailed(ctx, c, err, true)
	case err != nil:
		return s.failed(ctx, c, fmt.Errorf("look up the idempotency key: %w", err), "unavailable")
	case !known:
		return a
	}
	c.note.reason = ""
	return s.replay(ctx, c, r, receipt)
}

func (c *call) mappingFailed(faults []*dispatch.MappingError) *answer {
	if len(faults) == 0 {
		return nil
	}
	list := make([]policies.FieldError, len(faults))
	names := make([]string, len(faults))
	for i, f := range faults {
		list[i] = policies.FieldError{Detail: mappingDetail(f)}
		names[i] = f.Target
	}
	c.note.reason = "mapping for " + strings.Join(names, ", ")
	return fieldProblem("mapping-failed", http.StatusUnprocessableEntity, "The request does not fit what its targets need.", list)
}

// mappingDetail says which value of which target the request does not fit. The
// expression itself is the platform team's and stays in its file.
func mappingDetail(f *dispatch.MappingError) string {
	var e *transform.Error
	if !errors.As(f.Err, &e) {
		return fmt.Sprintf("target %s: %v", f.Target, f.Err)
	}
	_, place, _ := strings.Cut(e.Path, "targets."+f.Target+".")
	return fmt.Sprintf("target %s: %s: %s", f.Target, place, e.Message)
}

// replay answers a request whose idempotency key is known.
func (s *Server) replay(ctx context.Context, c *call, r *routes.Route, receipt dispatch.Receipt) *answer {
	c.note.trackingID = receipt.ID
	if receipt.Conflict {
		c.note.reason = "idempotency key reused"
		c.note.trackingID = "" // it names another request
		return problem("idempotency-key-reused", http.StatusUnprocessableEntity,
			"The Idempotency-Key was already used with another request.")
	}
	return s.accepted(ctx, c, r, receipt).set("Idempotent-Replayed", "true")
}

// accept records the request. From here on the client's going away changes nothing.
func (s *Server) accept(ctx context.Context, c *call, r *routes.Route, w *wave, idem *dispatch.Idem) *answer {
	in := dispatch.Intake{Tenant: c.note.tenant, Idem: idem, Retention: s.o.Retention}
	for _, b := range r.Fanout.Bindings {
		if b.Plan.NeedsParams {
			in.Params = c.req.Params
			break
		}
	}
	receipt, err := s.o.Acceptor.Accept(ctx, r.Fanout, w.mapped, in)
	switch {
	case refused(err):
		return s.settle(c, s.unlessKnown(ctx, c, r, idem, s.acceptFailed(ctx, c, err, idem != nil)))
	case err != nil:
		return s.acceptFailed(ctx, c, err, idem != nil)
	case receipt.Replayed, receipt.Conflict:
		return s.settle(c, s.replay(ctx, c, r, receipt))
	}
	c.note.trackingID = receipt.ID
	if s.o.ObserveAccept != nil {
		s.o.ObserveAccept(r.Name, time.Since(c.req.Now))
	}
	return s.settle(c, s.accepted(ctx, c, r, receipt))
}

// refused reports whether err says that the request was looked at and nothing was tried.
func refused(err error) bool {
	var full *dispatch.FullError
	return errors.As(err, &full) || errors.Is(err, tracking.ErrTooLarge)
}

func (s *Server) acceptFailed(ctx context.Context, c *call, err error, keyed bool) *answer {
	var unknown *dispatch.OutcomeUnknownError
	var full *dispatch.FullError
	switch {
	case errors.As(err, &full):
		return c.noRoom(full)
	case errors.As(err, &unknown):
		c.note.trackingID = unknown.ID
		return s.outcomeUnknown(ctx, c, err, unknown.ID, keyed)
	case errors.Is(err, tracking.ErrOutcomeUnknown),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return s.outcomeUnknown(ctx, c, err, "", keyed)
	case errors.Is(err, tracking.ErrTooLarge):
		c.note.reason = "record too large"
		return problem("body-too-large", http.StatusRequestEntityTooLarge, "What is to be sent to the targets is too large to be recorded.")
	case errors.Is(err, tracking.ErrUnavailable):
		return s.failed(ctx, c, err, "unavailable")
	}
	return s.failed(ctx, c, err, "internal")
}

// failed answers a fault that is not the client's; the log says which.
func (s *Server) failed(ctx context.Context, c *call, err error, slug string) *answer {
	s.o.Log.ErrorContext(ctx, "request failed", "route", c.note.route, "error", err)
	c.note.reason = slug
	if slug == "unavailable" {
		return unavailable()
	}
	return problem("internal", http.StatusInternalServerError, "The request could not be handled.")
}

// emptyBody stands for the payload of a target without a mapping when there is no body.
var emptyBody = json.RawMessage("null")
