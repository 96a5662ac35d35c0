package admin

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
	"headgate/gateway/wire"
)

// DeadPageView is the body of GET /deadletters, oldest first.
type DeadPageView struct {
	DeadLetters []DeadLetterView `json:"dead_letters"`
	// Cursor asks for what follows; absent at the end. A page may be short without being
	// the last one.
	Cursor string `json:"cursor,omitempty"`
}

// DeadLetterView is one dead letter. Times are UTC with milliseconds.
type DeadLetterView struct {
	TrackingID string         `json:"tracking_id"`
	Target     string         `json:"target"`
	Route      string         `json:"route"`
	Tenant     string         `json:"tenant"`
	State      tracking.State `json:"state"`
	// DeadLetter is false for a delivery that is shown and is none: one that was rejected,
	// was dropped, or whose outcome is unknown.
	DeadLetter bool      `json:"dead_letter"`
	AcceptedAt time.Time `json:"accepted_at"`
	EndedAt    time.Time `json:"ended_at,omitzero"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`
	// Reason, HTTPStatus and Message are the backend's last answer; Message is bounded.
	Reason     fault.Reason `json:"reason,omitempty"`
	HTTPStatus int          `json:"http_status,omitempty"`
	Message    string       `json:"message,omitempty"`
	Attempts   int          `json:"attempts"` // all of them, those before a replay included
	Replays    int          `json:"replays,omitempty"`
	Step       string       `json:"step,omitempty"` // where it gave up
	JobID      string       `json:"job_id,omitempty"`
	Plan       string       `json:"plan,omitempty"` // content hash of the plan it ran under
	// Payload is there when one is asked for by name: JSON as it is, else a string.
	Payload json.RawMessage `json:"payload,omitempty"`
}

func letterView(l *tracking.Letter) DeadLetterView {
	d := l.Delivery
	return DeadLetterView{
		TrackingID: l.Tracking, Target: l.Target, Route: l.Route, Tenant: l.Tenant, State: d.State, DeadLetter: l.Dead,
		AcceptedAt: shown(l.AcceptedAt), EndedAt: shown(d.EndedAt), ExpiresAt: shown(l.Expires),
		Reason: d.Reason, HTTPStatus: d.HTTPStatus, Message: d.Message,
		Attempts: d.PastAttempts + d.Attempts, Replays: d.Replays, Step: d.Step, JobID: d.JobID, Plan: d.Plan,
	}
}

func (v *DeadLetterView) setPayload(payload json.RawMessage) {
	if payload == nil || json.Valid(payload) {
		v.Payload = payload
		return
	}
	v.Payload, _ = json.Marshal(string(payload)) // a string always has a JSON form
}

func shown(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Truncate(time.Millisecond)
}

// ReplayWish is the body of POST /deadletters/<tracking>/<target>/replay; it may be empty.
type ReplayWish struct {
	Payload     json.RawMessage `json:"payload,omitempty"` // replaces the one that is kept; implies new_key
	NewKey      bool            `json:"new_key,omitempty"`
	CurrentPlan bool            `json:"current_plan,omitempty"`
	Restart     bool            `json:"restart,omitempty"` // from its first step, also an unknown one, and one that succeeded and kept its payload
}

// ReplayedView answers a ReplayWish.
type ReplayedView struct {
	TrackingID string         `json:"tracking_id"`
	Target     string         `json:"target"`
	State      tracking.State `json:"state"`
	Replays    int            `json:"replays"`
	NewKey     bool           `json:"new_key"`
}

// Filter selects dead letters. Times are RFC 3339, or how long ago: 2h, 3d.
type Filter struct {
	Target string `json:"target,omitempty"`
	Route  string `json:"route,omitempty"`
	Tenant string `json:"tenant,omitempty"`
	Reason string `json:"reason,omitempty"`
	Since  string `json:"since,omitempty"`
	Until  string `json:"until,omitempty"`
	Cursor string `json:"cursor,omitempty"`
}

// BulkWish is the body of POST /deadletters/replay and /deadletters/drop: a filter, a
// list, or all of them.
type BulkWish struct {
	Filter
	Letters     []LetterRef `json:"letters,omitempty"`
	All         bool        `json:"all,omitempty"` // without any filter
	DryRun      bool        `json:"dry_run,omitempty"`
	Rate        float64     `json:"rate,omitempty"` // a second; default 50
	NewKey      bool        `json:"new_key,omitempty"`
	CurrentPlan bool        `json:"current_plan,omitempty"`
}

// LetterRef names a delivery.
type LetterRef struct {
	TrackingID string `json:"tracking_id"`
	Target     string `json:"target"`
}

// ProgressLine is one line of the answer to a BulkWish (NDJSON). The last one has Finished,
// or Error when it ended before; Cursor then goes on.
type ProgressLine struct {
	Matched  int             `json:"matched"`
	Done     int             `json:"done"`
	Skipped  int             `json:"skipped"`
	DryRun   bool            `json:"dry_run,omitempty"`
	Problem  *ProblemLetter  `json:"problem,omitempty"` // one that was skipped just now
	Cursor   string          `json:"cursor,omitempty"`
	Finished bool            `json:"finished,omitempty"`
	Error    json.RawMessage `json:"error,omitempty"` // a problem (RFC 9457)
}

// ProblemLetter is a dead letter that was left as it is.
type ProblemLetter struct {
	LetterRef
	Why string `json:"why"`
}

// takesJSON refuses what is not JSON: also what keeps another site's form from doing it with
// an operator's cookie.
func takesJSON(serve func(c *call)) func(c *call) {
	return func(c *call) {
		if !isJSON(c.r) {
			writeProblem(c.w, problem(http.StatusUnsupportedMediaType, "unsupported-media-type", "Unsupported media type", "Send Content-Type: application/json."))
			return
		}
		serve(c)
	}
}

func isJSON(r *http.Request) bool {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return kind == "application/json"
}

// readBody reads a JSON object; an empty body leaves v as it is.
func readBody(r *http.Request, v any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong): // its own words name types of this program
		return fmt.Errorf("the body cannot be read: %s is not what may stand there: %s", wrong.Value, cmp.Or(written(wrong.Field), "all of it"))
	case err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("the body cannot be read: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("the body cannot be read: there is more than one JSON object in it")
	}
	return nil
}

// written gives the path of a key without the types of this program that it lies in.
func written(path string) string {
	keys := slices.DeleteFunc(strings.Split(path, "."), func(key string) bool { return key != strings.ToLower(key) })
	return strings.Join(keys, ".")
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := wire.Encode(v)
	if err != nil {
		writeProblem(w, problem(http.StatusInternalServerError, "internal", "Internal error", "The answer could not be written."))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
