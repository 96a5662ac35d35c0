package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
	"headgate/policies"
)

func TestTrackingDocument(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.FixedZone("CET", 3600))
	r := start(t, func(r *rig, _ *Options) {
		r.acceptor.records["trk_9"] = &tracking.Dispatch{
			ID: "trk_9", Route: "profile-changed", Tenant: "keys/acme", Rule: tracking.DoneAll, AcceptedAt: at,
			Targets: []tracking.TargetRef{{Name: "newsletter"}, {Name: "crm"}, {Name: "analytics", Optional: true}, {Name: "old"}, {Name: "next"}},
			Deliveries: map[string]tracking.Delivery{
				"newsletter": {
					State: tracking.Waiting, Phase: tracking.Scheduled, Step: "finish", Attempts: 1, Polls: 3,
					JobID: "j-1", JobState: "<pending>", NextAt: at.Add(time.Minute), HTTPStatus: 200,
				},
				"crm":       {State: tracking.Pending, Phase: tracking.Running, Step: "send", NextAt: at},
				"analytics": {State: tracking.Failed, Phase: tracking.Ended, Step: "send", Attempts: 12, Reason: fault.Timeout, Message: "no answer in 10s", EndedAt: at.Add(time.Second)},
				"old":       {State: tracking.Superseded, Phase: tracking.Ended, Line: "l", SupersededBy: "trk_10", EndedAt: at},
				"next":      {State: tracking.Pending, Phase: tracking.Scheduled, Line: "l", Message: "waits for 1", NextAt: at.Add(time.Hour)},
			},
		}
	})
	res := r.do("GET", "/tracking/trk_9", "")
	want := `{"tracking_id":"trk_9","route":"profile-changed","status":"in_progress","accepted_at":"2026-03-01T11:00:00.123Z",` +
		`"counts":{"pending":1,"delivering":1,"waiting":1,"failed":1,"superseded":1},"targets":{` +
		`"newsletter":{"state":"waiting","attempts":1,"polls":3,"step":"finish","http_status":200,"next_at":"2026-03-01T11:01:00.123Z","job_id":"j-1","job_state":"<pending>"},` +
		`"crm":{"state":"delivering","attempts":0,"step":"send"},` +
		`"analytics":{"state":"failed","optional":true,"attempts":12,"reason":"timeout","message":"no answer in 10s","ended_at":"2026-03-01T11:00:01.123Z"},` +
		`"old":{"state":"superseded","attempts":0,"superseded_by":"trk_10","ended_at":"2026-03-01T11:00:00.123Z"},` +
		`"next":{"state":"pending","attempts":0,"message":"waits for 1"}}}`
	if res.status != 200 || res.body != want {
		t.Fatalf("got %d\n%s\nwant\n%s", res.status, res.body, want)
	}
	if res.header.Get("Retry-After") != "1" || res.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers are %v", res.header)
	}
}

func TestTrackingFinal(t *testing.T) {
	r := start(t, nil)
	r.do("POST", "/profiles/42", body)
	r.acceptor.finish("trk_1")
	res := r.do("GET", "/tracking/trk_1", "")
	if res.status != 200 || res.doc["status"] != "succeeded" || res.doc["ended_at"] == nil || res.header.Get("Retry-After") != "" {
		t.Fatalf("got %d %s", res.status, res.body)
	}
	if !strings.Contains(res.body, `"result":{"contact":"c-1"}`) {
		t.Errorf("no result: %s", res.body)
	}
	head := r.do("HEAD", "/tracking/trk_1", "")
	if head.status != 200 || head.body != "" || head.header.Get("Content-Length") != fmt.Sprint(len(res.body)) {
		t.Errorf("HEAD got %d, Content-Length %s of %d", head.status, head.header.Get("Content-Length"), len(res.body))
	}
}

// finish ends every delivery of a record.
func (f *fakeAcceptor) finish(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := *f.records[id]
	d.Deliveries = map[string]tracking.Delivery{}
	for _, ref := range d.Targets {
		d.Deliveries[ref.Name] = tracking.Delivery{
			State: tracking.Succeeded, Phase: tracking.Ended, Attempts: 1, EndedAt: time.Now(),
			Result: map[string]json.RawMessage{"contact": json.RawMessage(`"c-1"`)},
		}
	}
	f.records[id] = &d
}

// TestUnknownAndForeignLookTheSame, byte for byte, headers included.
func TestUnknownAndForeignLookTheSame(t *testing.T) {
	r := start(t, nil)
	r.do("POST", "/profiles/42", body)
	foreign := r.do("GET", "/tracking/trk_1", "", "X-API-Key", "other")
	wantProblem(t, foreign, 404, "not-found")
	r.acceptor.onTrack = func(_ context.Context, id, _ string, _ time.Duration) (*tracking.Dispatch, error) {
		if id != "trk_2" {
			t.Errorf("the store is asked for %q", id)
		}
		return nil, tracking.ErrNotFound
	}
	for _, path := range []string{"/tracking/trk_2", "/tracking/", "/tracking/a/b", "/tracking/%74rk_1", "/tracking/" + strings.Repeat("x", 65)} {
		unknown := r.do("GET", path, "", "X-API-Key", "other")
		if unknown.status != 404 || unknown.body != foreign.body {
			t.Errorf("%s: got %d %s, foreign %s", path, unknown.status, unknown.body, foreign.body)
		}
	}
}

func TestTrackingRefusals(t *testing.T) {
	r := start(t, func(_ *rig, o *Options) {
		o.TrackingLimit = fakePolicy{"limit", policies.Admit, func(_ context.Context, r *policies.Request) policies.Decision {
			if r.Principal.Tenant == "busy" {
				return policies.Deny(policies.Problem{Status: 429, Retry: 3 * time.Second}, "")
			}
			return policies.Decision{Allow: true, Headers: map[string]string{"RateLimit": `"t";r=1`}}
		}}
	})
	r.do("POST", "/profiles/42", body)
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		res := r.do(method, "/tracking/trk_1", "")
		wantProblem(t, res, 405, "method-not-allowed")
		if res.header.Get("Allow") != "GET, HEAD" {
			t.Errorf("Allow is %q", res.header.Get("Allow"))
		}
	}
	wantProblem(t, r.do("GET", "/tracking/trk_1", "", "X-API-Key", ""), 401, "unauthenticated")
	busy := r.do("GET", "/tracking/trk_1", "", "X-API-Key", "busy")
	wantProblem(t, busy, 429, "rate-limited")
	if busy.header.Get("Retry-After") != "3" {
		t.Errorf("Retry-After is %q", busy.header.Get("Retry-After"))
	}
	if res := r.do("GET", "/tracking/trk_1", ""); res.header.Get("RateLimit") != `"t";r=1` {
		t.Errorf("RateLimit is %q on an allowed answer", res.header.Get("RateLimit"))
	}
}

func TestTrackingErrors(t *testing.T) {
	var err error
	r := start(t, func(r *rig, _ *Options) {
		r.acceptor.onTrack = func(context.Context, string, string, time.Duration) (*tracking.Dispatch, error) { return nil, err }
	})
	err = fmt.Errorf("load: %w", tracking.ErrUnavailable)
	wantProblem(t, r.do("GET", "/tracking/trk_1", ""), 503, "unavailable")
	err = errors.New("bad record")
	wantProblem(t, r.do("GET", "/tracking/trk_1", ""), 500, "internal")
}

func TestAnonymousTracking(t *testing.T) {
	r := start(t, func(r *rig, _ *Options) {
		r.table.routes[0].Policies = r.table.routes[0].Policies[1:]
	})
	r.server.trackingAuth = trackingAuth // the table's is a nil *routes.Auth
	r.do("POST", "/profiles/42", body)
	if res := r.do("GET", "/tracking/trk_1", "", "X-API-Key", ""); res.status != 200 || r.acceptor.intakes[0].Tenant != "anonymous" {
		t.Fatalf("got %d %s", res.status, res.body)
	}
}

// waitable makes Track wait, bounded as the Acceptor promises, until finish.
func (r *rig) waitable() (waits chan time.Duration, release func()) {
	waits = make(chan time.Duration, 100)
	done := make(chan struct{})
	plain := newAcceptor()
	plain.records = r.acceptor.records
	r.acceptor.onTrack = func(ctx context.Context, id, tenant string, wait time.Duration) (*tracking.Dispatch, error) {
		if wait > 0 {
			waits <- wait
			select {
			case <-done:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return plain.Track(ctx, id, tenant, 0)
	}
	return waits, func() { r.acceptor.finish("trk_1"); close(done) }
}

func TestTrackingWait(t *testing.T) {
	var waits chan time.Duration
	var release func()
	r := start(t, func(r *rig, o *Options) {
		o.MaxWait, o.MaxWaiters = 20*time.Second, 1
		waits, release = r.waitable()
	})
	r.do("POST", "/profiles/42", body)
	var wg sync.WaitGroup
	wg.Go(func() {
		res, err := r.send("GET", "/tracking/trk_1", "", "Prefer", "wait=600")
		if err != nil || res.doc["status"] != "succeeded" || res.header.Get("Preference-Applied") != "wait=20" {
			t.Errorf("got %d %s %v, %v", res.status, res.body, res.header, err)
		}
	})
	if got := <-waits; got != 20*time.Second {
		t.Errorf("waited for %v", got)
	}
	// The only slot is taken: this one is answered at once.
	res := r.do("GET", "/tracking/trk_1", "", "Prefer", "wait=5")
	if res.doc["status"] != "in_progress" || res.header.Get("Preference-Applied") != "" {
		t.Errorf("got %s %v", res.body, res.header)
	}
	release()
	wg.Wait()
	// The slot is free again.
	if res := r.do("GET", "/tracking/trk_1", "", "Prefer", "wait=5"); res.header.Get("Preference-Applied") != "wait=5" {
		t.Errorf("got %s %v", res.body, res.header)
	}
}

func TestWaitOnPost(t *testing.T) {
	tests := []struct {
		name     string
		prefer   []string
		final    bool
		status   int
		applied  string
		asksWait bool
	}{
		{"final in time", []string{"Prefer", "respond-async, wait=5"}, true, 200, "wait=5", true},
		{"not in time", []string{"Prefer", "respond-async", "Prefer", "WAIT=5"}, false, 202, "respond-async, wait=5", true},
		{"async only", []string{"Prefer", "respond-async"}, true, 202, "respond-async", false},
		{"none", []string{"Prefer", "return=minimal"}, true, 202, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			asked := false
			r := start(t, func(r *rig, _ *Options) {
				plain := newAcceptor()
				plain.records = r.acceptor.records
				r.acceptor.onTrack = func(ctx context.Context, id, tenant string, wait time.Duration) (*tracking.Dispatch, error) {
					asked = wait > 0
					if tt.final {
						r.acceptor.finish(id)
					}
					return plain.Track(ctx, id, tenant, 0)
				}
			})
			res := r.do("POST", "/profiles/42", body, tt.prefer...)
			if res.status != tt.status || res.header.Get("Preference-Applied") != tt.applied || asked != tt.asksWait {
				t.Fatalf("got %d %s, applied %q, waited %v", res.status, res.body, res.header.Get("Preference-Applied"), asked)
			}
			if res.header.Get("Location") != "/tracking/trk_1" || (res.header.Get("Retry-After") == "1") != (tt.status == 202) {
				t.Errorf("headers are %v", res.header)
			}
		})
	}
}

// TestWaitFailsAfterAccept: the request is accepted, whatever reading it comes to.
func TestWaitFailsAfterAccept(t *testing.T) {
	r := start(t, func(r *rig, _ *Options) {
		r.acceptor.onTrack = func(context.Context, string, string, time.Duration) (*tracking.Dispatch, error) {
			return nil, tracking.ErrUnavailable
		}
	})
	if res := r.do("POST", "/profiles/42", body, "Prefer", "wait=5"); res.status != 202 {
		t.Fatalf("got %d %s", res.status, res.body)
	}
}
