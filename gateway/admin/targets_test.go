package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/dispatch/tracking"
)

// fakeTargets has one target and remembers what was ordered.
type fakeTargets struct {
	state TargetState
	by    *OrderView
	err   error
}

func (f *fakeTargets) Targets(context.Context) ([]TargetView, error) {
	if f.err != nil {
		return nil, f.err
	}
	v := TargetView{
		Name: "crm", Plan: "0f3a", State: Active, Breaker: BreakerView{State: "open", OpenFor: 12.5}, HeldFor: 3, Open: 9, Pending: 4, OldestPending: 7.25,
		Waiting: 2, OldestWaiting: 60, InFlight: 1, DeadLetters: 5, Queues: []QueueView{{Name: "crm.bulk", Pending: 4, Oldest: 7.25, Paused: true}},
	}
	if f.by != nil && f.state != Active {
		v.State, v.Order = f.state, f.by
	}
	return []TargetView{v}, nil
}

func (f *fakeTargets) Order(_ context.Context, target string, state TargetState, by OrderView) error {
	if f.err != nil {
		return f.err
	}
	if target != "crm" {
		return &UnknownTargetError{target, []string{"crm"}}
	}
	by.Since = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f.state, f.by = state, &by
	return nil
}

// logText is a log that several goroutines write.
type logText struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(p)
}

// take gives what was logged since the last call.
func (l *logText) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.out.Reset()
	return l.out.String()
}

func withTargets(t *testing.T) (*Server, *fakeTargets, *logText) {
	t.Helper()
	f, log := &fakeTargets{}, &logText{}
	return start(t, func(o *Options) { o.Targets, o.Log = f, slog.New(slog.NewTextHandler(log, nil)) }), f, log
}

func TestTargetsAreShown(t *testing.T) {
	s, _, log := withTargets(t)
	want := `{"name":"crm","former":false,"plan":"0f3a","state":"active","breaker":{"state":"open","open_for_seconds":12.5},"held_for_seconds":3,"open":9,"pending":4,"oldest_pending_age_seconds":7.25,` +
		`"waiting":2,"oldest_waiting_age_seconds":60,"in_flight":1,"dead_letters":5,"queues":[{"name":"crm.bulk","pending":4,"active":0,"scheduled":0,"retry":0,"archived":0,"oldest_pending_age_seconds":7.25,"paused":true}]}`
	if res, text := ask(t, s, "GET", "/targets", "", bearer); res.status != 200 || text != `{"targets":[`+want+`]}` {
		t.Errorf("%d\n%s, want\n%s", res.status, text, want)
	}
	if res, text := ask(t, s, "GET", "/targets/crm", "", bearer); res.status != 200 || text != want {
		t.Errorf("%d\n%s, want\n%s", res.status, text, want)
	}
	if text := log.take(); text != "" {
		t.Errorf("looking was logged: %s", text)
	}
}

func TestTargetsAreOrdered(t *testing.T) {
	s, f, log := withTargets(t)
	for verb, state := range map[string]TargetState{"pause": Paused, "drain": Draining, "resume": Active} {
		res, text := ask(t, s, "POST", "/targets/crm/"+verb, `{"note":"maintenance","by":"alice"}`, bearer)
		if res.status != 200 || f.state != state || f.by.Note != "maintenance" || f.by.By != "alice" || !strings.Contains(text, `"state":"`+string(state)+`"`) {
			t.Errorf("%s: %d %s; ordered %s %+v", verb, res.status, text, f.state, f.by)
		}
		want := fmt.Sprintf(`msg="admin audit" method=POST path=/targets/crm/%s status=200 peer=127.0.0.1 target=crm state=%s by=alice note=maintenance`, verb, state)
		if told := log.take(); !strings.Contains(told, want) {
			t.Errorf("%s was logged as %s", verb, told)
		}
	}
	if res, text := ask(t, s, "POST", "/targets/crm/pause", "", bearer); res.status != 200 || !strings.Contains(text, `"order":{"by":"127.0.0.1","since":"2026-03-01T12:00:00Z"}`) {
		t.Errorf("without a body: %d %s", res.status, text)
	}
}

func TestTargetsRefuse(t *testing.T) {
	s, f, log := withTargets(t)
	for call, want := range map[string]int{
		"GET /targets/nobody": 404, "POST /targets/nobody/pause": 404, "POST /targets/crm": 405, "GET /targets/crm/pause": 405, "POST /targets/crm/stop": 405,
		"GET /targets/": 404, "GET /targets//pause": 404, "GET /targets/crm/": 404,
		`POST /targets/crm/pause {"why":"x"}`: 400, `POST /targets/crm/pause {"note":"a\nb"}`: 400, `POST /targets/crm/pause {"note":1}`: 400,
		`POST /targets/crm/pause {"note":"` + strings.Repeat("x", 501) + `"}`: 400, `POST /targets/crm/drain {"by":"` + strings.Repeat("x", 101) + `"}`: 400,
		"POST /targets/crm/pause {} {}": 400,
	} {
		method, rest, _ := strings.Cut(call, " ")
		path, body, _ := strings.Cut(rest, " ")
		if res, text := ask(t, s, method, path, body, bearer); res.status != want || res.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s, want %d", call, res.status, text, want)
		}
		if res, _ := ask(t, s, method, path, body); res.status != 401 {
			t.Errorf("%s without the token: %d", call, res.status)
		}
	}
	if f.by != nil {
		t.Errorf("it was ordered %s, %+v", f.state, f.by)
	}
	if told := log.take(); !strings.Contains(told, "path=/targets/nobody/pause status=404") {
		t.Errorf("a refusal is not in the audit: %s", told)
	}
	if _, text := ask(t, s, "POST", "/targets/nobody/pause", "", bearer); !strings.Contains(text, "There are: crm.") {
		t.Errorf("the known ones are not named: %s", text)
	}
	for err, want := range map[error]int{fmt.Errorf("look: %w", tracking.ErrUnavailable): 503, errors.New("odd"): 500} {
		f.err = err
		for _, call := range []string{"GET /targets", "GET /targets/crm", "POST /targets/crm/drain"} {
			method, path, _ := strings.Cut(call, " ")
			if res, text := ask(t, s, method, path, "", bearer); res.status != want || strings.Contains(text, "odd") {
				t.Errorf("%s: %d %s, want %d", call, res.status, text, want)
			}
		}
	}
}

func TestUnknownTargetNamesOthers(t *testing.T) {
	for n, want := range map[int]string{0: "none at all", 2: "t0, t1.", 33: "t29 and 3 more"} {
		e := UnknownTargetError{Name: "x"}
		for i := range n {
			e.Known = append(e.Known, fmt.Sprint("t", i))
		}
		if got := e.Error(); !strings.Contains(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
