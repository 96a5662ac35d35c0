package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
	"headgate/policies"
)

// callbackRoute names these requests in logs and metrics.
const callbackRoute = "callback"

// maxCallbackBody bounds what a backend may say in a callback. Nobody reads it: what has become
// of the job is asked for.
const maxCallbackBody = 64 << 10

// Callbacks takes the callbacks of backends.
type Callbacks interface {
	// Open tells which delivery a token stands for; ok is false for one that was never given out.
	Open(ctx context.Context, token string) (ref tracking.Ref, ok bool, err error)
	// Receive has the backend's job looked at soon.
	Receive(ctx context.Context, ref tracking.Ref) (dispatch.CallbackOutcome, error)
}

var _ Callbacks = (*dispatch.Callbacks)(nil)

// What a callback came to, for metrics, besides what Callbacks says.
const (
	callbackForged  = "forged"
	callbackRefused = "refused" // by a limit, or for its size
	callbackFailed  = "failed"
)

// callbackPath gives the token of a path under the prefix.
func callbackPath(path string) (token string, ok bool) {
	return strings.CutPrefix(path, dispatch.CallbackPrefix)
}

// callback answers POST /callbacks/<token>, also while draining: not every backend calls twice.
// The answer tells nothing of the delivery.
func (s *Server) callback(ctx context.Context, c *call, token string) *answer {
	c.req.Route, c.note.route, c.note.pattern = callbackRoute, callbackRoute, dispatch.CallbackPrefix+":token"
	if c.req.Method != http.MethodPost {
		return methodNotAllowed(http.MethodPost)
	}
	a, outcome := s.receive(ctx, c, token)
	if s.o.ObserveCallback != nil {
		s.o.ObserveCallback(outcome)
	}
	return a
}

func (s *Server) receive(ctx context.Context, c *call, token string) (a *answer, outcome string) {
	ref, known, err := s.o.Callbacks.Open(ctx, token)
	if err != nil {
		return s.intervened(ctx, c, fmt.Errorf("check a callback: %w", err)), callbackFailed
	}
	if known { // counted by itself; who makes tokens up is counted by address
		c.req.Principal = policies.Principal{Authenticator: callbackRoute, ID: token}
	}
	if a := c.ask(ctx, s.o.CallbackLimit); a != nil {
		return a, callbackRefused
	}
	if !known {
		c.note.reason = "unknown token"
		return problem("not-found", http.StatusNotFound, "Nobody is called back under this URL."), callbackForged
	}
	if len(c.req.Body) > maxCallbackBody {
		c.note.reason = "body too large"
		return problem("body-too-large", http.StatusRequestEntityTooLarge, "A callback has no more than 64 KB."), callbackRefused
	}
	done, err := s.o.Callbacks.Receive(ctx, ref)
	if err != nil {
		return s.intervened(ctx, c, fmt.Errorf("receive a callback: %w", err)), callbackFailed
	}
	c.note.trackingID = ref.Tracking
	return &answer{status: http.StatusNoContent}, string(done)
}
