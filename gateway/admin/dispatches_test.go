package admin

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
	"headgate/gateway"
)

// fakeDispatches remembers what it was asked.
type fakeDispatches struct {
	query tracking.FindQuery
	err   error
}

var found = &tracking.Dispatch{
	ID: "trk_1", Route: "orders", Tenant: "mobile/acme", Rule: tracking.DoneAll, IdemHash: "planted-hash",
	AcceptedAt: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Targets: []tracking.TargetRef{{Name: "crm"}},
	Deliveries: map[string]tracking.Delivery{"crm": {State: tracking.Failed, Phase: tracking.Ended, Reason: fault.Timeout, Attempts: 2}},
}

func (f *fakeDispatches) Find(_ context.Context, q tracking.FindQuery) (tracking.FindPage, error) {
	f.query = q
	return tracking.FindPage{Dispatches: []*tracking.Dispatch{found}, Looked: 9, By: tracking.FindByDead, Next: "next"}, f.err
}

func (f *fakeDispatches) Load(_ context.Context, id string) (*tracking.Dispatch, error) {
	if strings.HasPrefix(id, "bat_") {
		return &tracking.Dispatch{ID: id}, f.err
	}
	if id != found.ID {
		return nil, tracking.ErrNotFound
	}
	return found, f.err
}

func TestFindDispatches(t *testing.T) {
	f := &fakeDispatches{}
	s := start(t, func(o *Options) { o.Dispatches = f })
	one := `{"tracking_id":"trk_1","route":"orders","status":"failed","accepted_at":"2026-03-01T12:00:00Z","ended_at":"2026-03-01T12:00:00Z",` +
		`"counts":{"failed":1},"targets":{"crm":{"state":"failed","attempts":2,"reason":"timeout"}},"tenant":"mobile/acme"}`
	res, text := ask(t, s, "GET", "/dispatches?target=crm&route=orders&tenant=mobile%2Facme&state=failed&key=%22order%207%22"+
		"&since=2026-03-01T11:00:00Z&until=2026-03-01T13:00:00Z&cursor=c&limit=7", "", bearer)
	if want := `{"dispatches":[` + one + `],"looked_at":9,"by":"dead_letters","cursor":"next"}`; res.status != 200 || text != want {
		t.Errorf("%d\n%s, want\n%s", res.status, text, want)
	}
	hash, _ := gateway.IdemHash("mobile/acme", "orders", "order 7")
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	want := tracking.FindQuery{
		Route: "orders", Tenant: "mobile/acme", IdemHash: hash, Target: "crm", State: "failed",
		Since: at.Add(-time.Hour), Until: at.Add(time.Hour), Cursor: "c", Limit: 7,
	}
	if f.query != want {
		t.Errorf("asked for %+v, want %+v", f.query, want)
	}
	if res, text := ask(t, s, "GET", "/dispatches/trk_1", "", bearer); res.status != 200 || text != one {
		t.Errorf("%d\n%s, want\n%s", res.status, text, one)
	}
	if res, _ := ask(t, s, "GET", "/dispatches?since=2h", "", bearer); res.status != 200 || time.Since(f.query.Since).Round(time.Minute) != 2*time.Hour {
		t.Errorf("%d, since %v", res.status, f.query.Since)
	}
}

func TestDispatchesRefuse(t *testing.T) {
	f := &fakeDispatches{}
	s := start(t, func(o *Options) { o.Dispatches = f })
	for query, want := range map[string]string{
		"limit=0": "limit", "limit=1001": "from 1 to 1000", "limit=x": "limit", "since=yesterday": "since", "routes=a": "unknown filter", "route=a&route=b": "2 times",
		"route=": "route is empty", "key=k": "give both", "key=k&tenant=t": "give both",
		"key=" + strings.Repeat("k", 256) + "&tenant=t&route=r": "1 to 255", "key=%00&tenant=t&route=r": "control",
	} {
		res, text := ask(t, s, "GET", "/dispatches?"+query, "", bearer)
		if res.status != 400 || !strings.Contains(text, want) || res.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s, want 400 with %q", query, res.status, text, want)
		}
	}
	for call, want := range map[string]int{
		"GET /dispatches/trk_2": 404, "GET /dispatches/bat_1": 404, "GET /dispatches/": 404, "GET /dispatches/trk_1/crm": 404,
		"POST /dispatches": 405, "DELETE /dispatches/trk_1": 405, "GET /dispatches": 200, "HEAD /dispatches": 200,
	} {
		method, path, _ := strings.Cut(call, " ")
		if res, text := ask(t, s, method, path, "", bearer); res.status != want {
			t.Errorf("%s: %d %s, want %d", call, res.status, text, want)
		}
		if res, _ := ask(t, s, method, path, ""); res.status != 401 {
			t.Errorf("%s without the token: %d", call, res.status)
		}
	}
	for err, want := range map[error]int{tracking.ErrUnavailable: 503, tracking.ErrInvalid: 400, errors.New("broken"): 500} {
		f.err = fmt.Errorf("store: %w", err)
		for _, path := range []string{"/dispatches", "/dispatches/trk_1"} {
			if res, text := ask(t, s, "GET", path, "", bearer); res.status != want {
				t.Errorf("%s, %v: %d %s, want %d", path, err, res.status, text, want)
			}
		}
	}
	f.err = tracking.FindQuery{State: "done"}.Check()
	if _, text := ask(t, s, "GET", "/dispatches?state=done", "", bearer); !strings.Contains(text, `"detail":"state: \"done\" is none of`) {
		t.Errorf("a state that there is not: %s", text)
	}
	if res, _ := ask(t, start(t, nil), "GET", "/dispatches", "", bearer); res.status != 404 {
		t.Errorf("without dispatches: %d", res.status)
	}
}

// No answer tells an idempotency key or its hash, also not a refusal of it.
func TestKeysAreNotPrinted(t *testing.T) {
	s := start(t, func(o *Options) { o.Dispatches = &fakeDispatches{} })
	key := "ada@example.com"
	for _, path := range []string{"?key=" + url.QueryEscape(key), "?tenant=t&route=r&key=" + url.QueryEscape(key+"\x01"), "?tenant=t&route=r&key=" + key, ""} {
		if _, text := ask(t, s, "GET", "/dispatches"+path, "", bearer); strings.Contains(text, key) || strings.Contains(text, "planted-hash") {
			t.Errorf("%s: %s", path, text)
		}
	}
}
