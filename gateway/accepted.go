package gateway

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/gofiber/fiber/v2"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
	"headgate/gateway/wire"
	"headgate/routes"
)

// pollAfter is what clients are asked to wait before they look again.
const pollAfter = time.Second

// AcceptedView is the body of a 202.
type AcceptedView struct {
	TrackingID string                  `json:"tracking_id"`
	Status     tracking.Status         `json:"status"` // always in_progress
	StatusURL  string                  `json:"status_url"`
	Targets    Ordered[tracking.State] `json:"targets"` // as they were when it was accepted
}

// accepted is the 202. A replay gives the same bytes as the first answer.
func (s *Server) accepted(ctx context.Context, c *call, r *routes.Route, receipt dispatch.Receipt) *answer {
	url := s.statusURL(receipt.ID)
	body, err := AcceptedView{
		TrackingID: receipt.ID, Status: tracking.InProgress, StatusURL: url, Targets: targetStates(r, receipt),
	}.appendJSON(make([]byte, 0, 512))
	if err != nil {
		return s.failed(ctx, c, err, "internal")
	}
	a := &answer{status: http.StatusAccepted, kind: fiber.MIMEApplicationJSON, body: body}
	return a.set("Location", url).retryAfter(pollAfter)
}

// appendJSON is what encoding/json gives, on the hot path.
func (v AcceptedView) appendJSON(dst []byte) ([]byte, error) {
	d := document{text: dst}
	d.string(`{"tracking_id":`, v.TrackingID)
	d.string(`,"status":`, string(v.Status))
	d.string(`,"status_url":`, v.StatusURL)
	members(&d, `,"targets":{`, v.Targets, func(state tracking.State) { d.string("", string(state)) })
	return d.end()
}

// targetStates puts the receipt into the route's order. After a reload a replay may
// name targets that the route no longer has: they come last.
func targetStates(r *routes.Route, receipt dispatch.Receipt) Ordered[tracking.State] {
	out := make(Ordered[tracking.State], 0, len(receipt.Targets))
	for _, b := range r.Fanout.Bindings {
		if state, ok := receipt.Targets[b.Plan.Name]; ok {
			out = append(out, Member[tracking.State]{b.Plan.Name, state})
		}
	}
	if len(out) == len(receipt.Targets) {
		return out
	}
	rest := maps.Clone(receipt.Targets)
	for _, m := range out {
		delete(rest, m.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(rest)) {
		out = append(out, Member[tracking.State]{name, rest[name]})
	}
	return out
}

func (s *Server) statusURL(id string) string { return s.o.PublicURL + trackingPrefix + id }

// settle waits for the final state when the client of an accepted request asked for it
// with Prefer: wait, and gives the tracking document then. Other answers pass through.
func (s *Server) settle(c *call, a *answer) *answer {
	if a.status != http.StatusAccepted {
		return a
	}
	p := readPrefer(c.req.Header["Prefer"], s.o.MaxWait)
	waited := false
	if p.wait > 0 && s.enterWait() {
		defer s.leaveWait()
		waited = true
		d, err := s.o.Acceptor.Track(s.waiting, c.note.trackingID, c.note.tenant, p.wait)
		// Whatever went wrong, the request is accepted and the 202 is true.
		if err == nil && d.Status() != tracking.InProgress {
			if final, err := trackingAnswer(d); err == nil {
				final.header = a.header
				final.header.remove("Retry-After")
				return final.applied(p.applied(true, false))
			}
		}
	}
	return a.applied(p.applied(waited, true))
}

func (a *answer) applied(preferences string) *answer {
	if preferences == "" {
		return a
	}
	return a.set("Preference-Applied", preferences)
}

// outcomeUnknown is honest about an accept whose answer was lost.
func (s *Server) outcomeUnknown(ctx context.Context, c *call, err error, id string, keyed bool) *answer {
	s.o.Log.ErrorContext(ctx, "outcome unknown", "route", c.note.route, "tracking_id", id, "error", err)
	c.note.reason = "outcome unknown"
	detail := "Whether the request was recorded could not be learnt. Repeat it with the same Idempotency-Key: it is then done once."
	if !keyed {
		detail = "Whether the request was recorded could not be learnt. It had no Idempotency-Key: repeating it may do it twice. The tracking ID is known if it was recorded."
	}
	doc := wire.Problem{
		Type: wire.URN("outcome-unknown"), Title: titleOf("outcome-unknown", http.StatusServiceUnavailable),
		Status: http.StatusServiceUnavailable, Detail: detail, TrackingID: id,
	}
	return problemAnswer(doc).retryAfter(time.Second)
}
