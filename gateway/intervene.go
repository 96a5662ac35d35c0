package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
	"headgate/policies"
)

// Operator is what the owner of a dispatch may do to it besides looking.
type Operator interface {
	// Cancel stops what can be stopped and gives the record after that;
	// tracking.ErrNotFound when it is unknown or another tenant's.
	Cancel(ctx context.Context, id, tenant string) (*tracking.Dispatch, error)
	// ReplayFailed takes up again what failed: all of it, or the targets that are named.
	ReplayFailed(ctx context.Context, id, tenant string, targets []string) (*dispatch.Replayed, error)
}

var _ Operator = (*dispatch.Operator)(nil)

// replaySuffix ends the path of a wish to try again.
const replaySuffix = "/replay"

// trackingAllow gives the tracking ID of what follows the prefix, whether it asks for a
// replay, and which methods there are.
func (s *Server) trackingAllow(rest string) (id string, replay bool, allow []string) {
	allow = []string{http.MethodGet, http.MethodHead}
	if s.o.Operator == nil {
		return rest, false, allow
	}
	if id, ok := strings.CutSuffix(rest, replaySuffix); ok && plausible(id) {
		return id, true, []string{http.MethodPost}
	}
	return rest, false, append(allow, http.MethodDelete)
}

// CancelView is the body of the answer to DELETE /tracking/<id>.
type CancelView struct {
	TrackingID string          `json:"tracking_id"`
	Status     tracking.Status `json:"status"`
	StatusURL  string          `json:"status_url"`
	// Canceled lists the targets that were stopped, by this request or an earlier one.
	Canceled []string `json:"canceled"`
	// NotStopped says of each target that goes on why it does.
	NotStopped Ordered[string] `json:"not_stopped,omitempty"`
	// Targets is as in a TrackingView: the message of a canceled one says what canceling
	// could not undo.
	Targets Ordered[DeliveryView] `json:"targets"`
}

// cancel answers DELETE /tracking/<id>. Repeating it is harmless.
func (s *Server) cancel(ctx context.Context, c *call, id, tenant string) *answer {
	d, err := s.o.Operator.Cancel(ctx, id, tenant)
	switch {
	case errors.Is(err, tracking.ErrNotFound):
		return unknownID()
	case err != nil:
		return s.intervened(ctx, c, fmt.Errorf("cancel %s: %w", id, err))
	}
	c.note.trackingID = id
	v := CancelView{
		TrackingID: id, Status: d.Status(), StatusURL: s.statusURL(id), Canceled: []string{}, Targets: trackingView(d).Targets,
	}
	for _, t := range d.Targets {
		switch delivery := d.Deliveries[t.Name]; {
		case delivery.State == tracking.Canceled:
			v.Canceled = append(v.Canceled, t.Name)
		case tracking.IsBatch(delivery.Token):
			v.NotStopped = append(v.NotStopped, Member[string]{t.Name, "it is being sent with others, in the batch " + delivery.Batch})
		case delivery.Verdict != "":
			v.NotStopped = append(v.NotStopped, Member[string]{t.Name, "it has ended as " + string(delivery.Verdict) + " and is being cleaned up after"})
		case !delivery.State.Final():
			v.NotStopped = append(v.NotStopped, Member[string]{t.Name, "its call is under way"})
		}
	}
	a, err := jsonAnswer(http.StatusOK, v)
	if err != nil {
		return s.failed(ctx, c, fmt.Errorf("write %s: %w", id, err), "internal")
	}
	if v.Status == tracking.InProgress {
		a.retryAfter(pollAfter)
	}
	return a
}

// ReplayView is the body of the answer to POST /tracking/<id>/replay.
type ReplayView struct {
	TrackingID string          `json:"tracking_id"`
	Status     tracking.Status `json:"status"`
	StatusURL  string          `json:"status_url"`
	// Replayed lists the targets that were taken up again.
	Replayed []string `json:"replayed"`
	// NotReplayed says of each other target that was asked for why it was not.
	NotReplayed Ordered[string] `json:"not_replayed,omitempty"`
}

// maxReplayBody bounds a list of targets.
const maxReplayBody = 64 << 10

// replayFailed answers POST /tracking/<id>/replay.
func (s *Server) replayFailed(ctx context.Context, c *call, id, tenant string) *answer {
	targets, a := c.replayTargets()
	if a != nil {
		return a
	}
	done, err := s.o.Operator.ReplayFailed(ctx, id, tenant, targets)
	var unknown *dispatch.UnknownTargetsError
	switch {
	case errors.Is(err, tracking.ErrNotFound):
		return unknownID()
	case errors.As(err, &unknown):
		list := make([]policies.FieldError, len(unknown.Names))
		for i, name := range unknown.Names {
			list[i] = policies.FieldError{Pointer: "/targets", Detail: fmt.Sprintf("the dispatch has no target %q", name)}
		}
		return fieldProblem("schema-violation", http.StatusUnprocessableEntity, "The dispatch does not have these targets.", list)
	case err != nil:
		return s.intervened(ctx, c, fmt.Errorf("replay %s: %w", id, err))
	}
	c.note.trackingID = id
	v := ReplayView{TrackingID: id, Status: done.Dispatch.Status(), StatusURL: s.statusURL(id), Replayed: append([]string{}, done.Targets...)}
	for _, t := range done.Dispatch.Targets {
		if why, ok := done.Refused[t.Name]; ok {
			v.NotReplayed = append(v.NotReplayed, Member[string]{t.Name, why})
		}
	}
	if len(v.Replayed) == 0 && v.Status != tracking.InProgress {
		list := make([]policies.FieldError, len(v.NotReplayed))
		for i, m := range v.NotReplayed {
			list[i] = policies.FieldError{Detail: fmt.Sprintf("target %s: %s", m.Name, m.Value)}
		}
		return fieldProblem("nothing-to-replay", http.StatusConflict, "No delivery of this dispatch can be tried again.", list)
	}
	if a, err = jsonAnswer(http.StatusAccepted, v); err != nil {
		return s.failed(ctx, c, fmt.Errorf("write %s: %w", id, err), "internal")
	}
	return a.set("Location", v.StatusURL).retryAfter(pollAfter)
}

// replayTargets reads the optional body {"targets": […]}.
func (c *call) replayTargets() ([]string, *answer) {
	if a := c.inflate(maxReplayBody); a != nil || len(c.req.Body) == 0 {
		return nil, a
	}
	if kind, _, _ := mime.ParseMediaType(strings.Join(c.req.Header["Content-Type"], ",")); kind != "application/json" {
		return nil, problem("unsupported-media-type", http.StatusUnsupportedMediaType, "The body must be application/json.")
	}
	var wish struct {
		Targets []string `json:"targets"`
	}
	dec := json.NewDecoder(bytes.NewReader(c.req.Body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&wish); err != nil {
		return nil, problem("bad-json", http.StatusBadRequest, `The body must be a JSON object such as {"targets": ["crm"]}.`)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, problem("bad-json", http.StatusBadRequest, "There is more in the body than one JSON object.")
	}
	return wish.Targets, nil
}

// intervened answers a fault of the store: what was asked for may have been done, and may
// be asked for again.
func (s *Server) intervened(ctx context.Context, c *call, err error) *answer {
	if ctx.Err() != nil || errors.Is(err, tracking.ErrUnavailable) || errors.Is(err, tracking.ErrFenced) {
		return s.failed(ctx, c, err, "unavailable")
	}
	return s.failed(ctx, c, err, "internal")
}
