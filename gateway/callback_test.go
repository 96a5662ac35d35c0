package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
	"headgate/policies"
)

// fakeCallbacks knows one token.
type fakeCallbacks struct {
	mu       sync.Mutex
	outcome  dispatch.CallbackOutcome
	openErr  error
	err      error
	received []tracking.Ref
}

var knownRef = tracking.Ref{Tracking: "trk_1", Target: "crm"}

func (f *fakeCallbacks) Open(_ context.Context, token string) (tracking.Ref, bool, error) {
	return knownRef, token == "known-T_1", f.openErr
}

func (f *fakeCallbacks) Receive(_ context.Context, ref tracking.Ref) (dispatch.CallbackOutcome, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.received = append(f.received, ref)
	return f.outcome, f.err
}

// startCallbacks runs a server that takes callbacks; outcomes lists what it observed.
func startCallbacks(t *testing.T, f *fakeCallbacks, limit policies.Policy) (r *rig, outcomes func() string) {
	t.Helper()
	var mu sync.Mutex
	var seen []string
	r = start(t, func(_ *rig, o *Options) {
		o.Callbacks, o.CallbackLimit, o.MaxBody = f, limit, 1<<20
		o.ObserveCallback = func(outcome string) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, outcome)
		}
	})
	return r, func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(seen, " ")
	}
}

// noKey has the request go without credentials.
var noKey = []string{"X-API-Key", ""}

func TestCallback(t *testing.T) {
	f := &fakeCallbacks{}
	r, outcomes := startCallbacks(t, f, nil)
	// Whoever calls cannot tell from the answer how the delivery stands, and what it says is
	// not looked at.
	for i, outcome := range []dispatch.CallbackOutcome{dispatch.CallbackPolls, dispatch.CallbackKept, dispatch.CallbackLate} {
		f.outcome = outcome
		res := r.do(http.MethodPost, "/callbacks/known-T_1", []string{`{"status":"success"}`, "", "<not json"}[i], noKey...)
		if res.status != http.StatusNoContent || res.body != "" || res.header.Get("Content-Type") != "" {
			t.Errorf("%s: %d %q, %v", outcome, res.status, res.body, res.header)
		}
	}
	if len(f.received) != 3 || f.received[0] != knownRef || outcomes() != "polls kept late" {
		t.Errorf("received %v: %s", f.received, outcomes())
	}
	if log := r.log.String(); strings.Contains(log, "known-T_1") || strings.Contains(log, "not json") || !strings.Contains(log, `"route":"callback"`) {
		t.Errorf("the log: %s", log)
	}
	r.server.Drain()
	if res := r.do(http.MethodPost, "/callbacks/known-T_1", "", noKey...); res.status != http.StatusNoContent {
		t.Errorf("while draining: %d", res.status)
	}
}

func TestCallbackRefused(t *testing.T) {
	f := &fakeCallbacks{}
	r, outcomes := startCallbacks(t, f, nil)
	for _, path := range []string{"/callbacks/", "/callbacks/unknown", "/callbacks/known-T_1/more", "/callbacks/known-T_1%0a"} {
		res := r.do(http.MethodPost, path, "{}", noKey...)
		if path == "/callbacks/known-T_1%0a" {
			wantProblem(t, res, http.StatusBadRequest, "bad-request")
			continue
		}
		wantProblem(t, res, http.StatusNotFound, "not-found")
	}
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		res := r.do(method, "/callbacks/known-T_1", "", noKey...)
		wantProblem(t, res, http.StatusMethodNotAllowed, "method-not-allowed")
		if res.header.Get("Allow") != "POST" {
			t.Errorf("Allow: %s", res.header.Get("Allow"))
		}
	}
	wantProblem(t, r.do(http.MethodPost, "/callbacks/known-T_1", strings.Repeat("x", maxCallbackBody+1), noKey...), http.StatusRequestEntityTooLarge, "body-too-large")
	if len(f.received) != 0 || outcomes() != "forged forged forged refused" {
		t.Errorf("received %v: %s", f.received, outcomes())
	}
	if res := r.do(http.MethodPost, "/callbacks/known-T_1", strings.Repeat("x", maxCallbackBody), noKey...); res.status != http.StatusNoContent {
		t.Errorf("a body of the largest size: %d", res.status)
	}
}

// While Redis is away the backend is asked to call again.
func TestCallbackWithoutRedis(t *testing.T) {
	away := fmt.Errorf("note: %w", tracking.ErrUnavailable)
	for _, f := range []*fakeCallbacks{{openErr: away}, {err: away}, {err: tracking.ErrFenced}} {
		r, outcomes := startCallbacks(t, f, nil)
		res := r.do(http.MethodPost, "/callbacks/known-T_1", "", noKey...)
		wantProblem(t, res, http.StatusServiceUnavailable, "unavailable")
		if res.header.Get("Retry-After") == "" || outcomes() != "failed" {
			t.Errorf("%v: %s", res.header, outcomes())
		}
	}
	r, _ := startCallbacks(t, &fakeCallbacks{err: errors.New("no")}, nil)
	wantProblem(t, r.do(http.MethodPost, "/callbacks/known-T_1", "", noKey...), http.StatusInternalServerError, "internal")
}

// A token that was given out is counted by itself, and who makes tokens up by address.
func TestCallbackLimit(t *testing.T) {
	var asked []policies.Principal
	limit := fakePolicy{"rate_limit", policies.Admit, func(_ context.Context, r *policies.Request) policies.Decision {
		asked = append(asked, r.Principal)
		return policies.Deny(policies.Problem{Status: http.StatusTooManyRequests, Retry: 3 * time.Second}, "")
	}}
	f := &fakeCallbacks{}
	r, outcomes := startCallbacks(t, f, limit)
	for _, token := range []string{"known-T_1", "unknown"} {
		res := r.do(http.MethodPost, "/callbacks/"+token, "", noKey...)
		wantProblem(t, res, http.StatusTooManyRequests, "rate-limited")
		if res.header.Get("Retry-After") != "3" {
			t.Errorf("%v", res.header)
		}
	}
	if len(asked) != 2 || !asked[0].Authenticated() || asked[0].ID != "known-T_1" || asked[1].Authenticated() {
		t.Errorf("asked for %+v", asked)
	}
	if len(f.received) != 0 || outcomes() != "refused refused" {
		t.Errorf("received %v: %s", f.received, outcomes())
	}
}

func TestNoCallbacks(t *testing.T) {
	r := start(t, nil)
	wantProblem(t, r.do(http.MethodPost, "/callbacks/known-T_1", "", noKey...), http.StatusNotFound, "not-found")
}
