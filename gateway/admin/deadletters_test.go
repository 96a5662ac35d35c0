package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/dispatch"
	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

// fakeLetters remembers what it was asked.
type fakeLetters struct {
	mu     sync.Mutex
	query  tracking.DeadQuery
	order  dispatch.ReplayOrder
	bulk   dispatch.BulkOrder
	err    error
	during func(ctx context.Context, report func(dispatch.Progress) error) (dispatch.Progress, error)
}

var letter = tracking.Letter{
	Ref: tracking.Ref{Tracking: "trk_1", Target: "crm"}, Route: "orders", Tenant: "mobile/acme", Dead: true,
	Delivery: tracking.Delivery{State: tracking.Failed, Reason: fault.Timeout, Message: "no answer", Attempts: 2, PastAttempts: 3, Replays: 1},
	Payload:  json.RawMessage(`{"total":1.10}`),
}

func (f *fakeLetters) List(_ context.Context, q tracking.DeadQuery) (tracking.DeadPage, error) {
	f.query = q
	return tracking.DeadPage{Letters: []tracking.Letter{letter}, Next: "next"}, f.err
}

func (f *fakeLetters) Show(_ context.Context, ref tracking.Ref) (*tracking.Letter, error) {
	if ref != letter.Ref {
		return nil, tracking.ErrNotFound
	}
	return &letter, f.err
}

func (f *fakeLetters) Replay(_ context.Context, ref tracking.Ref, o dispatch.ReplayOrder) (tracking.Delivery, error) {
	f.order = o
	if f.err != nil {
		return tracking.Delivery{}, f.err
	}
	return tracking.Revive(letter.Delivery, tracking.Revival{}, time.Now()), nil
}

func (f *fakeLetters) Bulk(ctx context.Context, o dispatch.BulkOrder, report func(dispatch.Progress) error) (dispatch.Progress, error) {
	f.mu.Lock()
	f.bulk = o
	f.mu.Unlock()
	if f.during != nil {
		return f.during(ctx, report)
	}
	p := dispatch.Progress{Matched: 1, Done: 1, Cursor: "c1"}
	if err := report(p); err != nil {
		return p, err
	}
	if f.err != nil {
		return p, f.err
	}
	p = dispatch.Progress{Matched: 2, Done: 1, Skipped: 1, Finished: true, Problem: &dispatch.SkippedLetter{Ref: letter.Ref, Why: "it is canceled"}}
	return p, report(p)
}

func withLetters(t *testing.T) (*Server, *fakeLetters) {
	t.Helper()
	f := &fakeLetters{}
	return start(t, func(o *Options) { o.DeadLetters = f }), f
}

const jsonType = "Content-Type: application/json"

func TestListAndShow(t *testing.T) {
	s, f := withLetters(t)
	res, text := ask(t, s, "GET", "/deadletters?target=crm&route=orders&tenant=mobile%2Facme&reason=timeout&since=2h&until=2026-03-01T12:00:00Z&cursor=c&limit=7", "", bearer)
	want := `{"dead_letters":[{"tracking_id":"trk_1","target":"crm","route":"orders","tenant":"mobile/acme","state":"failed","dead_letter":true,"accepted_at":"0001-01-01T00:00:00Z","reason":"timeout","message":"no answer","attempts":5,"replays":1}],"cursor":"next"}`
	if res.status != 200 || text != want {
		t.Errorf("%d\n%s, want\n%s", res.status, text, want)
	}
	q := f.query
	if ago := time.Since(q.Since); ago < 2*time.Hour || ago > 3*time.Hour {
		t.Errorf("since %v", q.Since)
	}
	q.Since = time.Time{}
	if want := (tracking.DeadQuery{Target: "crm", Route: "orders", Tenant: "mobile/acme", Reason: fault.Timeout, Until: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Cursor: "c", Limit: 7}); q != want {
		t.Errorf("asked for %+v, want %+v", q, want)
	}
	if res, text := ask(t, s, "GET", "/deadletters/trk_1/crm", "", bearer); res.status != 200 || !strings.Contains(text, `"payload":{"total":1.10}`) {
		t.Errorf("%d %s", res.status, text)
	}
}

func TestDeadLettersRefuse(t *testing.T) {
	s, f := withLetters(t)
	for call, want := range map[string]int{
		"GET /deadletters?reason=nonsense": 400, "GET /deadletters?since=yesterday": 400, "GET /deadletters?limit=0": 400,
		"GET /deadletters?targets=crm": 400, "GET /deadletters?target=a&target=b": 400, "GET /deadletters/trk_1/mail": 404,
		"GET /deadletters/a/b/c": 404, "GET /deadletters/replay": 405, "POST /deadletters": 405, "DELETE /deadletters/trk_1/crm": 405,
		"POST /deadletters/replay {}": 400, `POST /deadletters/drop {"cursor":"c"}`: 400, `POST /deadletters/drop {"all":true,"target":"crm"}`: 400,
		`POST /deadletters/replay {"all":true,"rate":-1}`: 400, `POST /deadletters/replay {"al":true}`: 400, `POST /deadletters/replay {"all":true} x`: 400,
		`POST /deadletters/drop {"all":true,"new_key":true}`: 400, `POST /deadletters/replay {"letters":[{}],"target":"crm"}`: 400,
		`POST /deadletters/trk_1/crm/replay {"payload":}`: 400, `POST /deadletters/replay {"target":"crm","reason":"x"}`: 400,
	} {
		method, rest, _ := strings.Cut(call, " ")
		path, body, _ := strings.Cut(rest, " ")
		res, text := ask(t, s, method, path, body, bearer, jsonType)
		if res.status != want || res.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s, want %d", call, res.status, text, want)
		}
		if res, _ := ask(t, s, method, path, body, jsonType); res.status != 401 {
			t.Errorf("%s without the token: %d", call, res.status)
		}
	}
	if res, _ := ask(t, s, "POST", "/deadletters/drop", "all=true", bearer, "Content-Type: application/x-www-form-urlencoded"); res.status != 415 {
		t.Errorf("a form: %d", res.status)
	}
	for err, want := range map[error]int{
		tracking.ErrNotFound: 404, tracking.ErrFenced: 409, tracking.ErrNoPayload: 409, dispatch.ErrPlanGone: 409, tracking.ErrTooLarge: 413,
		tracking.ErrUnavailable: 503, tracking.ErrInvalid: 400, errors.New("broken"): 500, &dispatch.NotReplayableError{Why: "it is under way"}: 409,
	} {
		f.err = fmt.Errorf("store: %w", err)
		if res, text := ask(t, s, "POST", "/deadletters/trk_1/crm/replay", "", bearer, jsonType); res.status != want {
			t.Errorf("%v: %d %s, want %d", err, res.status, text, want)
		}
	}
	none := start(t, nil)
	if res, _ := ask(t, none, "GET", "/deadletters", "", bearer); res.status != 404 {
		t.Errorf("without dead letters: %d", res.status)
	}
}

func TestReplayOne(t *testing.T) {
	s, f := withLetters(t)
	res, text := ask(t, s, "POST", "/deadletters/trk_1/crm/replay", `{"payload":{"total":12345678901234567890.10},"current_plan":true}`, bearer, jsonType)
	if res.status != 202 || text != `{"tracking_id":"trk_1","target":"crm","state":"pending","replays":2,"new_key":true}` {
		t.Errorf("%d %s", res.status, text)
	}
	if string(f.order.Payload) != `{"total":12345678901234567890.10}` || !f.order.CurrentPlan || f.order.Restart {
		t.Errorf("ordered %+v", f.order)
	}
	if res, _ = ask(t, s, "POST", "/deadletters/trk_1/crm/replay", `{"payload":null,"new_key":true}`, bearer, jsonType); res.status != 202 || f.order.Payload != nil || !f.order.NewKey {
		t.Errorf("%d, ordered %+v", res.status, f.order)
	}
}

func TestBulkLines(t *testing.T) {
	s, f := withLetters(t)
	res, text := ask(t, s, "POST", "/deadletters/replay", `{"target":"crm","new_key":true}`, bearer, jsonType)
	want := `{"matched":1,"done":1,"skipped":0,"cursor":"c1"}` + "\n" +
		`{"matched":2,"done":1,"skipped":1,"problem":{"tracking_id":"trk_1","target":"crm","why":"it is canceled"},"finished":true}` + "\n"
	if res.status != 200 || !strings.Contains(text, strings.Split(want, "\n")[0]) || !strings.Contains(text, strings.Split(want, "\n")[1]) {
		t.Errorf("%d %s, want %s", res.status, text, want)
	}
	if f.bulk.Rate != defaultRate || !f.bulk.Replay.NewKey || f.bulk.Verb != dispatch.VerbReplay {
		t.Errorf("ordered %+v", f.bulk)
	}
	if _, text = ask(t, s, "POST", "/deadletters/drop", `{"letters":[{"tracking_id":"trk_1","target":"crm"}]}`, bearer, jsonType); !strings.Contains(text, `"finished":true`) {
		t.Error(text)
	}
	if f.bulk.Rate != 0 || f.bulk.Verb != dispatch.VerbDrop || len(f.bulk.Refs) != 1 {
		t.Errorf("ordered %+v", f.bulk)
	}
	f.err = tracking.ErrUnavailable
	if _, text = ask(t, s, "POST", "/deadletters/replay", `{"all":true}`, bearer, jsonType); !strings.Contains(text, `"cursor":"c1","error":{"type":"urn:headgate:problem:unavailable"`) {
		t.Errorf("an error in the middle: %s", text)
	}
}

// TestBulkEnds: work ends when its client goes away, and when the server stops.
func TestBulkEnds(t *testing.T) {
	s, f := withLetters(t)
	ended := make(chan error, 1)
	f.during = func(ctx context.Context, report func(dispatch.Progress) error) (p dispatch.Progress, err error) {
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for err == nil {
			p.Matched++
			if err = report(p); err == nil {
				select {
				case <-ticker.C:
				case <-ctx.Done():
					err = ctx.Err()
				}
			}
		}
		ended <- err
		return p, err
	}
	for _, end := range []string{"client", "server"} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.Addr()+"/deadletters/replay", strings.NewReader(`{"all":true}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		lines := bufio.NewScanner(res.Body)
		for range 3 { // they come one by one, before the end
			if !lines.Scan() {
				t.Fatalf("no line: %v", lines.Err())
			}
		}
		if end == "client" {
			cancel()
		} else {
			s.abandon()
		}
		timeout := time.NewTimer(10 * time.Second)
		select {
		case err := <-ended:
			if err == nil {
				t.Error("ended without an error")
			}
		case <-timeout.C:
			t.Fatalf("the work goes on without its %s", end)
		}
		timeout.Stop()
		if end == "server" {
			last := ""
			for lines.Scan() {
				last = lines.Text()
			}
			if !strings.Contains(last, `"error":{`) {
				t.Errorf("the last line is %s", last)
			}
		}
	}
}

// TestBodiesAreNamedAsWritten: what is wrong is named by its keys, not by types of this program.
func TestBodiesAreNamedAsWritten(t *testing.T) {
	s := whole(t)
	for body, want := range map[string]string{
		`{"all":true,"target":["x"]}`: "array is not what may stand there: target",
		`{"rate":"fast"}`:             "string is not what may stand there: rate",
		`[]`:                          "array is not what may stand there: all of it",
	} {
		if res, text := ask(t, s, "POST", "/deadletters/replay", body, bearer, "Content-Type: application/json"); res.status != 400 || !strings.Contains(text, want+`"`) && !strings.Contains(text, want+".") {
			t.Errorf("%s: %d %s", body, res.status, text)
		}
	}
}
