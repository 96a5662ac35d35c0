package gateway

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// TrackingView is the body of GET /tracking/<id>, in the order it is written. Times are
// UTC with milliseconds.
type TrackingView struct {
	TrackingID string          `json:"tracking_id"`
	Route      string          `json:"route"`
	Status     tracking.Status `json:"status"`
	AcceptedAt time.Time       `json:"accepted_at"`
	// EndedAt is when the last delivery became final; absent before.
	EndedAt time.Time `json:"ended_at,omitzero"`
	// Counts gives how many deliveries are in each state; states without any are absent.
	Counts  Ordered[int]          `json:"counts"`
	Targets Ordered[DeliveryView] `json:"targets"` // in the order of the route
}

// DeliveryView is one target's part of a TrackingView.
type DeliveryView struct {
	State    tracking.State `json:"state"`
	Optional bool           `json:"optional,omitempty"` // does not count for the status
	// Attempts counts tries of all steps. A poll that says "not yet" is not one: it
	// counts in Polls.
	Attempts int `json:"attempts"`
	Polls    int `json:"polls,omitempty"`
	// Replays counts how often it was taken up again after it had ended; Attempts and
	// Polls are of the last time.
	Replays int    `json:"replays,omitempty"`
	Step    string `json:"step,omitempty"` // the step that runs next or now; absent once final
	// Reason and Message are of the end, or of the last failed try.
	Reason     fault.Reason `json:"reason,omitempty"`
	Message    string       `json:"message,omitempty"`
	HTTPStatus int          `json:"http_status,omitempty"` // the backend's last
	NextAt     time.Time    `json:"next_at,omitzero"`      // of the next attempt or poll
	// SupersededBy is the tracking ID of the newer one that made it moot.
	SupersededBy string `json:"superseded_by,omitempty"`
	Batch        string `json:"batch,omitempty"` // what it is or was sent with
	// BatchPosition is the how manieth it was to join the batch, from 1.
	BatchPosition int           `json:"batch_position,omitempty"`
	JobID         string        `json:"job_id,omitempty"`    // the backend's job
	JobState      string        `json:"job_state,omitempty"` // in the backend's words
	Progress      *ProgressView `json:"progress,omitempty"`  // of the backend's job, as it counts
	// Result is what the target's `result` picks from the backend's answer.
	Result  map[string]json.RawMessage `json:"result,omitempty"`
	EndedAt time.Time                  `json:"ended_at,omitzero"`
}

// ProgressView says how far a backend's job is.
type ProgressView struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total,omitempty"` // absent when the backend does not tell
}

// stateOrder is the order of counts: the way of a delivery.
var stateOrder = []tracking.State{
	tracking.Pending, tracking.Collecting, tracking.Delivering, tracking.Waiting, tracking.Retrying,
	tracking.Succeeded, tracking.Warned, tracking.Rejected, tracking.Failed, tracking.Unknown,
	tracking.Skipped, tracking.Superseded, tracking.Canceled,
}

// ViewOf gives what clients see of a record, for whom else it is shown to.
func ViewOf(d *tracking.Dispatch) TrackingView { return trackingView(d) }

// trackingView shows a record.
func trackingView(d *tracking.Dispatch) TrackingView {
	v := TrackingView{
		TrackingID: d.ID, Route: d.Route, Status: d.Status(),
		AcceptedAt: shown(d.AcceptedAt), EndedAt: shown(d.EndedAt()),
		Targets: make(Ordered[DeliveryView], 0, len(d.Targets)),
	}
	counts := map[tracking.State]int{}
	for _, t := range d.Targets {
		view := deliveryView(t, d.Deliveries[t.Name])
		counts[view.State]++
		v.Targets = append(v.Targets, Member[DeliveryView]{t.Name, view})
	}
	for _, state := range stateOrder {
		if n := counts[state]; n > 0 {
			v.Counts = append(v.Counts, Member[int]{string(state), n})
		}
	}
	return v
}

func deliveryView(t tracking.TargetRef, d tracking.Delivery) DeliveryView {
	v := DeliveryView{
		State: d.Shown(), Optional: t.Optional, Attempts: d.Attempts, Polls: d.Polls, Replays: d.Replays, Step: d.Step,
		Reason: d.Reason, Message: d.Message, HTTPStatus: d.HTTPStatus, NextAt: shown(d.NextAt),
		SupersededBy: d.SupersededBy, Batch: d.Batch, BatchPosition: d.Place, JobID: d.JobID, JobState: d.JobState, Result: d.Result, EndedAt: shown(d.EndedAt),
	}
	if d.JobDone != 0 || d.JobTotal != 0 {
		v.Progress = &ProgressView{Done: d.JobDone, Total: d.JobTotal}
	}
	// What a batch holds shows the batch's times already.
	running := d.Phase == tracking.Running && !tracking.IsBatch(d.Token)
	if running || d.Parked() {
		v.NextAt = time.Time{} // that time is now, or when somebody looks whether it was forgotten
	}
	if d.State.Final() {
		v.Step = ""
	}
	return v
}

// trackingAnswer is the document of a dispatch.
func trackingAnswer(d *tracking.Dispatch) (*answer, error) {
	body, err := trackingView(d).appendJSON(make([]byte, 0, 1024))
	if err != nil {
		return nil, err
	}
	return &answer{status: http.StatusOK, kind: fiber.MIMEApplicationJSON, body: body}, nil
}

// appendJSON is what encoding/json gives, for what is asked for again and again.
func (v TrackingView) appendJSON(dst []byte) ([]byte, error) {
	d := document{text: dst}
	d.string(`{"tracking_id":`, v.TrackingID)
	d.string(`,"route":`, v.Route)
	d.string(`,"status":`, string(v.Status))
	d.time(`,"accepted_at":`, v.AcceptedAt)
	d.timeIfAny(`,"ended_at":`, v.EndedAt)
	members(&d, `,"counts":{`, v.Counts, func(n int) { d.int("", n) })
	members(&d, `,"targets":{`, v.Targets, func(t DeliveryView) { t.appendTo(&d) })
	return d.end()
}

func (v *DeliveryView) appendTo(d *document) {
	d.string(`{"state":`, string(v.State))
	if v.Optional {
		d.text = append(d.text, `,"optional":true`...)
	}
	d.int(`,"attempts":`, v.Attempts)
	d.intIfAny(`,"polls":`, v.Polls)
	d.intIfAny(`,"replays":`, v.Replays)
	d.stringIfAny(`,"step":`, v.Step)
	d.stringIfAny(`,"reason":`, string(v.Reason))
	d.stringIfAny(`,"message":`, v.Message)
	d.intIfAny(`,"http_status":`, v.HTTPStatus)
	d.timeIfAny(`,"next_at":`, v.NextAt)
	d.stringIfAny(`,"superseded_by":`, v.SupersededBy)
	d.stringIfAny(`,"batch":`, v.Batch)
	d.intIfAny(`,"batch_position":`, v.BatchPosition)
	d.stringIfAny(`,"job_id":`, v.JobID)
	d.stringIfAny(`,"job_state":`, v.JobState)
	if v.Progress != nil {
		d.other(`,"progress":`, v.Progress)
	}
	if len(v.Result) > 0 {
		d.other(`,"result":`, v.Result)
	}
	d.timeIfAny(`,"ended_at":`, v.EndedAt)
	d.text = append(d.text, '}')
}

// shown is a time as clients see it; the zero time stays zero and is left out.
func shown(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Truncate(time.Millisecond)
}
