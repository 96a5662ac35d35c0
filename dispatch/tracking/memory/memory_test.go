package memory_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"headgate/dispatch/tracking"
	"headgate/dispatch/tracking/memory"
	"headgate/dispatch/tracking/trackingtest"
)

func TestStore(t *testing.T) {
	trackingtest.Run(t, func(*testing.T) tracking.Store { return memory.New(nil) })
}

// clock is a time that only the test moves.
type clock struct{ now time.Time }

func (c *clock) read() time.Time { return c.now }

func acceptance(t *testing.T, idem string) *tracking.Acceptance {
	t.Helper()
	id, err := tracking.NewID(idem)
	if err != nil {
		t.Fatal(err)
	}
	return &tracking.Acceptance{
		Dispatch: &tracking.Dispatch{
			ID: id, IdemHash: idem, Targets: []tracking.TargetRef{{Name: "crm"}},
			Deliveries: map[string]tracking.Delivery{
				"crm": {Phase: tracking.Queued, State: tracking.Pending, Fence: tracking.Fence{Seq: 1}},
			},
		},
		Payloads: map[string]json.RawMessage{"crm": json.RawMessage(`{}`)},
		Idem:     &tracking.IdemRow{ID: id}, IdemTTL: time.Hour, Retention: 10 * time.Minute,
	}
}

func TestRetention(t *testing.T) {
	for name, c := range map[string]struct {
		runs     time.Duration // from accept to the end
		state    tracking.State
		rec, key time.Duration // expiry of the record and of the key, from accept
		payload  bool
	}{
		"soon, succeeded":             {time.Minute, tracking.Succeeded, 11 * time.Minute, time.Hour, false},
		"soon, warned":                {time.Minute, tracking.Warned, 11 * time.Minute, time.Hour, false},
		"soon, failed":                {time.Minute, tracking.Failed, 5*time.Hour + time.Minute, time.Hour, true},
		"longer than the key's time":  {3 * time.Hour, tracking.Unknown, 3*time.Hour + 10*time.Minute, 3 * time.Hour, true},
		"longer than the record's":    {30 * time.Minute, tracking.Rejected, 40 * time.Minute, time.Hour, true},
		"ends at the key's last time": {time.Hour, tracking.Failed, 6 * time.Hour, time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
			now := &clock{start}
			s := memory.New(now.read)
			s.KeepDeadLetters(5 * time.Hour)
			a := acceptance(t, "idem")
			ref := tracking.Ref{Tracking: a.Dispatch.ID, Target: "crm"}
			if _, err := s.Accept(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			now.now = start.Add(c.runs)
			if _, _, ended := s.Expires(ref.Tracking); ended {
				t.Error("the clocks run before the end")
			}
			if row, err := s.Idem(t.Context(), "idem"); row == nil || err != nil {
				t.Errorf("the key is gone before its record ended: %v", err)
			}
			claimed, err := s.Claim(t.Context(), ref, 1, "run", time.Second)
			if err != nil {
				t.Fatal(err)
			}
			next := tracking.Apply(claimed.Delivery, tracking.Concluded{State: c.state}, claimed.Now)
			if err := s.Apply(t.Context(), ref, claimed.Delivery.Fence, next); err != nil {
				t.Fatal(err)
			}
			rec, key, ended := s.Expires(ref.Tracking)
			if !ended || !rec.Equal(start.Add(c.rec)) || !key.Equal(start.Add(c.key)) {
				t.Errorf("expire after %v and %v (%v), want %v and %v", rec.Sub(start), key.Sub(start), ended, c.rec, c.key)
			}
			if kept := s.Payload(ref) != nil; kept != c.payload {
				t.Errorf("payload kept: %v", kept)
			}
			now.now = rec
			if _, err := s.Load(t.Context(), ref.Tracking); !errors.Is(err, tracking.ErrNotFound) {
				t.Errorf("after its time: %v", err)
			}
			now.now = key
			if row, err := s.Idem(t.Context(), "idem"); row != nil || err != nil {
				t.Errorf("the key after its time: %+v, %v", row, err)
			}
		})
	}
}
