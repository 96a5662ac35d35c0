package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"headgate/dispatch/tracking"
	"headgate/gateway/wire"
)

// Targets is what operators see and change of targets. All of it is of the whole fleet.
type Targets interface {
	// Targets gives every target of the files, and every other that has something left or
	// was ordered something, sorted by name.
	Targets(ctx context.Context) ([]TargetView, error)
	// Order has a target do what state says. One that Targets does not give is an
	// *UnknownTargetError. That it is in the state already is no error.
	Order(ctx context.Context, target string, state TargetState, by OrderView) error
}

// TargetState is what an operator has a target do.
type TargetState string

// The states.
const (
	Active   TargetState = "active"
	Paused   TargetState = "paused"   // requests are taken, nothing is delivered
	Draining TargetState = "draining" // requests are refused, what was taken is delivered
)

// UnknownTargetError is about a target that is not there.
type UnknownTargetError struct {
	Name  string
	Known []string // sorted
}

// namedTargets is how many targets an error names.
const namedTargets = 30

// Error implements error.
func (e *UnknownTargetError) Error() string {
	switch known := e.Known; {
	case len(known) == 0:
		return fmt.Sprintf("There is no target %q; there are none at all.", e.Name)
	case len(known) > namedTargets:
		return fmt.Sprintf("There is no target %q. There are %s and %d more.", e.Name, strings.Join(known[:namedTargets], ", "), len(known)-namedTargets)
	default:
		return fmt.Sprintf("There is no target %q. There are: %s.", e.Name, strings.Join(known, ", "))
	}
}

// The bounds of what an operator says, in bytes.
const (
	maxNote = 500
	maxBy   = 100
)

func (s *Server) targetEndpoints() []endpoint {
	order := func(verb string, state TargetState) endpoint {
		return endpoint{http.MethodPost, "/targets/{name}/" + verb, func(c *call) { s.orderTarget(c, state) }}
	}
	return []endpoint{
		{http.MethodGet, "/targets", s.listTargets},
		{http.MethodGet, "/targets/{name}", s.showTarget},
		order("pause", Paused), order("drain", Draining), order("resume", Active),
	}
}

func (s *Server) listTargets(c *call) {
	list, err := s.o.Targets.Targets(c.r.Context())
	if err != nil {
		s.targetFailed(c, err)
		return
	}
	if list == nil {
		list = []TargetView{}
	}
	writeJSON(c.w, http.StatusOK, TargetsView{Targets: list})
}

func (s *Server) showTarget(c *call) {
	list, err := s.o.Targets.Targets(c.r.Context())
	if err != nil {
		s.targetFailed(c, err)
		return
	}
	known := make([]string, 0, len(list))
	for i := range list {
		if list[i].Name == c.args[0] {
			writeJSON(c.w, http.StatusOK, list[i])
			return
		}
		known = append(known, list[i].Name)
	}
	s.targetFailed(c, &UnknownTargetError{c.args[0], known})
}

// orderTarget answers POST /targets/<name>/pause and the like with how the target stands
// then.
func (s *Server) orderTarget(c *call, state TargetState) {
	var wish OrderWish
	if err := readBody(c.r, &wish); err != nil {
		badRequest(c.w, err)
		return
	}
	if err := errors.Join(checkText("note", wish.Note, maxNote), checkText("by", wish.By, maxBy)); err != nil {
		badRequest(c.w, err)
		return
	}
	by := OrderView{By: wish.By, Note: wish.Note}
	if by.By == "" {
		by.By = peer(c.r)
	}
	c.told = []any{"target", c.args[0], "state", string(state), "by", by.By, "note", by.Note}
	if err := s.o.Targets.Order(c.r.Context(), c.args[0], state, by); err != nil {
		s.targetFailed(c, err)
		return
	}
	s.showTarget(c)
}

// checkText bounds what is kept and shown to others.
func checkText(name, text string, most int) error {
	switch {
	case len(text) > most:
		return fmt.Errorf("%s: write %d bytes at most", name, most)
	case !utf8.ValidString(text), strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Errorf("%s: write one line of text", name)
	}
	return nil
}

// targetFailed answers an error of the targets.
func (s *Server) targetFailed(c *call, err error) {
	var unknown *UnknownTargetError
	if errors.As(err, &unknown) {
		writeProblem(c.w, problem(http.StatusNotFound, "not-found", "Not found", unknown.Error()))
		return
	}
	s.failed(c, err)
}

// failed answers an error that is not the request's.
func (s *Server) failed(c *call, err error) { writeProblem(c.w, s.failure(c.r.Context(), err)) }

func (s *Server) failure(ctx context.Context, err error) wire.Problem {
	s.o.Log.ErrorContext(ctx, "admin request failed", "error", err)
	if errors.Is(err, tracking.ErrUnavailable) || ctx.Err() != nil {
		return problem(http.StatusServiceUnavailable, "unavailable", "Temporarily unavailable", "The store does not answer. Repeating the request is safe.")
	}
	return problem(http.StatusInternalServerError, "internal", "Internal error", "The request could not be handled.")
}

// TargetsView is the body of GET /targets.
type TargetsView struct {
	Targets []TargetView `json:"targets"`
}

// TargetView is how a target stands, in the whole fleet. Ages and spans are in seconds.
type TargetView struct {
	Name string `json:"name"`
	// Former is one that has left the files of this process and has something left: what is
	// under way is still delivered.
	Former bool        `json:"former"`
	Plan   string      `json:"plan,omitempty"` // content hash of the plan that new deliveries run under
	State  TargetState `json:"state"`
	Order  *OrderView  `json:"order,omitempty"` // whose wish the state is, unless it is active
	// Breaker holds all deliveries back while the backend fails.
	Breaker BreakerView `json:"breaker"`
	// HeldFor is for how long new deliveries are held back because the backend asked for time
	// (Retry-After).
	HeldFor float64 `json:"held_for_seconds,omitempty"`
	Open    int     `json:"open"` // accepted and not ended, batches included
	// Pending could be taken up now; OldestPending is since when the first one could.
	Pending       int     `json:"pending"`
	OldestPending float64 `json:"oldest_pending_age_seconds"`
	// Waiting are those whose backend's job runs, and is polled.
	Waiting       int         `json:"waiting"`
	OldestWaiting float64     `json:"oldest_waiting_age_seconds"`
	InFlight      int         `json:"in_flight"` // held by a run of a worker
	DeadLetters   int         `json:"dead_letters"`
	Queues        []QueueView `json:"queues"`
}

// OrderView is who had a target do something, why and since when.
type OrderView struct {
	By    string    `json:"by,omitempty"`
	Note  string    `json:"note,omitempty"`
	Since time.Time `json:"since,omitzero"`
}

// BreakerView is how a target's breaker stands.
type BreakerView struct {
	State   string  `json:"state"`                      // closed, half-open or open
	OpenFor float64 `json:"open_for_seconds,omitempty"` // until it is probed
}

// QueueView is one queue of a target, by what its tasks are doing.
type QueueView struct {
	Name      string  `json:"name"`
	Pending   int     `json:"pending"`
	Active    int     `json:"active"`
	Scheduled int     `json:"scheduled"`
	Retry     int     `json:"retry"`    // wait because Redis failed them
	Archived  int     `json:"archived"` // given up by the queue; the reconciler brings their deliveries back
	Oldest    float64 `json:"oldest_pending_age_seconds"`
	Paused    bool    `json:"paused"` // by hand, in the dashboard of the queues
}

// OrderWish is the body of POST /targets/<name>/pause and the like; it may be empty.
type OrderWish struct {
	Note string `json:"note,omitempty"` // why; at most 500 bytes
	By   string `json:"by,omitempty"`   // who; at most 100 bytes. Default: the address that asks
}
