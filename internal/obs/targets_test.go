package obs

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"headgate/dispatch"
	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

var quiet = slog.New(slog.DiscardHandler)

func scrape(m *Metrics, accept string) string {
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	request.Header.Set("Accept", accept)
	answer := httptest.NewRecorder()
	m.Handler(quiet).ServeHTTP(answer, request)
	return answer.Body.String()
}

func expectLines(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, want := range lines {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
}

// source answers a looker.
type source struct {
	looks int
	err   error
}

func (s *source) sources() Sources {
	return Sources{
		Log: quiet, Targets: func() []string { return []string{"crm", "mail"} },
		Counts: func(context.Context) (map[string]tracking.TargetCounts, error) {
			s.looks++
			return map[string]tracking.TargetCounts{
				"crm":  {Open: 12, DeadLetters: 2, Jobs: tracking.Waiters{Count: 3, Oldest: 90 * time.Second}},
				"gone": {Open: 1},
			}, s.err
		},
		Held: func(context.Context) (map[string]HeldState, error) {
			return map[string]HeldState{"crm": {Paused: true}, "mail": {Draining: true}}, s.err
		},
		Pending: func(_ context.Context, targets []string) (map[string]tracking.Waiters, error) {
			if s.err != nil {
				return nil, s.err
			}
			out := map[string]tracking.Waiters{}
			for i, name := range targets {
				out[name] = tracking.Waiters{Count: i, Oldest: time.Duration(i) * time.Second}
			}
			return out, nil
		},
		Workers: func(context.Context) (int, error) { return 4, s.err },
		Memory: func(context.Context) ([]NodeMemory, error) {
			return []NodeMemory{{NodeMemory: tracking.NodeMemory{Node: "redis:6379", Memory: tracking.Memory{Used: 5, Max: 10}}, Bound: 8}}, nil
		},
		Local: func() map[string]WorkerState {
			return map[string]WorkerState{
				"crm":   {Breaker: 2, InFlight: 3, Slots: 16, Waits: map[string]uint64{"breaker": 7, "rate": 1}},
				"local": {},
			}
		},
	}
}

func TestFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s source
		m := New()
		m.Fleet(NewLooker(s.sources()).Fleet)
		for range 3 { // more than one look's time apart they are not
			expectLines(t, scrape(m, ""),
				`headgate_redis_up 1`, `headgate_workers 4`, `headgate_redis_memory_used_bytes{node="redis:6379"} 5`,
				`headgate_redis_memory_max_bytes{node="redis:6379"} 10`, `headgate_redis_memory_bound_bytes{node="redis:6379"} 8`,
				`headgate_target_paused{target="crm"} 1`, `headgate_target_paused{target="mail"} 0`, `headgate_target_draining{target="mail"} 1`,
				`headgate_open_deliveries{target="crm"} 12`, `headgate_open_deliveries{target="mail"} 0`, `headgate_open_deliveries{target="gone"} 1`,
				`headgate_dead_letters{target="crm"} 2`, `headgate_waiting_jobs{target="crm"} 3`, `headgate_oldest_waiting_age_seconds{target="crm"} 90`,
				`headgate_pending_deliveries{target="mail"} 2`, `headgate_oldest_pending_age_seconds{target="gone"} 1`,
				`headgate_breaker_state{target="crm"} 2`, `headgate_breaker_state{target="local"} 0`, `headgate_attempts_in_flight{target="crm"} 3`, `headgate_attempts_in_flight_max{target="crm"} 16`,
				`headgate_waits_total{reason="breaker",target="crm"} 7`, `headgate_waits_total{reason="rate",target="crm"} 1`,
			)
		}
		if s.looks != 1 {
			t.Errorf("%d looks for scrapes at the same time", s.looks)
		}
		time.Sleep(lookEvery)
		s.err = errors.New("away")
		text := scrape(m, "")
		expectLines(t, text, `headgate_redis_up 0`, `headgate_breaker_state{target="crm"} 2`, `headgate_redis_memory_used_bytes{node="redis:6379"} 5`)
		for _, stale := range []string{"headgate_workers", "headgate_open", "headgate_pending", "headgate_oldest", "headgate_target", "headgate_dead", "headgate_waiting"} {
			if strings.Contains(text, "\n"+stale) {
				t.Errorf("%s… is told although Redis is away", stale)
			}
		}
		time.Sleep(lookEvery)
		s.err = nil
		expectLines(t, scrape(m, ""), `headgate_redis_up 1`, `headgate_workers 4`)
	})
}

func TestRunsAndEnds(t *testing.T) {
	m := New()
	timeout := &fault.Fault{Reason: fault.Timeout}
	for _, e := range []tracking.Event{
		tracking.Advanced{}, tracking.Concluded{State: tracking.Succeeded}, tracking.Concluded{State: tracking.Warned, Poll: true},
		tracking.NotYet{}, tracking.NotYet{}, tracking.Deferred{}, tracking.Stripped{}, tracking.Split{}, tracking.Split{Unsent: true},
		tracking.Again{Reason: fault.RateLimited}, tracking.Again{Poll: true},
		tracking.AttemptFailed{Fault: timeout}, tracking.AttemptFailed{Fault: timeout, Final: true},
		tracking.AttemptFailed{Fault: &fault.Fault{Reason: fault.Rejected}, Final: true},
		tracking.PollFailed{Fault: timeout}, tracking.PollFailed{Fault: timeout, Final: true},
	} {
		// What counts is what counts in the record.
		before := tracking.Delivery{State: tracking.Delivering, Phase: tracking.Running}
		next := tracking.Apply(before, e, time.Now())
		attempts, polls := sum(t, m, "headgate_attempts_total"), sum(t, m, "headgate_polls_total")
		m.Run(dispatch.Attempt{Ref: tracking.Ref{Target: "crm"}, Event: e, Delivery: next})
		if more := sum(t, m, "headgate_attempts_total") - attempts; int(more) != next.Attempts {
			t.Errorf("%T %+v: %v attempts, the record has %d", e, e, more, next.Attempts)
		}
		if more := sum(t, m, "headgate_polls_total") - polls; int(more) != next.Polls+next.PollFaults {
			t.Errorf("%T %+v: %v polls, the record has %d and %d failed ones", e, e, more, next.Polls, next.PollFaults)
		}
	}
	m.Ended(tracking.DeliveryEnd{Target: "crm", State: tracking.Failed, Reason: fault.Expired, After: time.Minute})
	m.Ended(tracking.DeliveryEnd{Target: "crm", State: tracking.Skipped})
	m.Sealed("crm", 40)
	m.Accepted("orders", 2*time.Millisecond)
	expectLines(t, scrape(m, ""),
		`headgate_attempts_total{outcome="retrying",reason="timeout",target="crm"} 1`, `headgate_attempts_total{outcome="failed",reason="timeout",target="crm"} 1`,
		`headgate_attempts_total{outcome="rejected",reason="rejected",target="crm"} 1`, `headgate_attempts_total{outcome="again",reason="",target="crm"} 2`,
		`headgate_polls_total{outcome="not_yet",target="crm"} 2`, `headgate_polls_total{outcome="warned",target="crm"} 1`, `headgate_polls_total{outcome="unknown",target="crm"} 1`,
		`headgate_deliveries_total{reason="expired",state="failed",target="crm"} 1`, `headgate_deliveries_total{reason="",state="skipped",target="crm"} 1`,
		`headgate_delivery_duration_seconds_count{state="failed",target="crm"} 1`, `headgate_batch_records_sum{target="crm"} 40`,
		`headgate_accept_duration_seconds_count{route="orders"} 1`,
	)
}

// sum adds up all children of a figure.
func sum(t *testing.T, m *Metrics, name string) (total float64) {
	t.Helper()
	for line := range strings.Lines(scrape(m, "")) {
		if label, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && (label == name || strings.HasPrefix(label, name+"{")) {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			total += n
		}
	}
	return total
}

func TestReloadAndBuild(t *testing.T) {
	m := New()
	m.Build("v1.2.3")
	m.Reloaded(true)
	at := sum(t, m, "headgate_config_last_reload_success_timestamp_seconds")
	if past := time.Since(time.Unix(int64(at), 0)); past < 0 || past > time.Minute {
		t.Errorf("reloaded %s ago", past)
	}
	m.Reloaded(false)
	expectLines(t, scrape(m, ""), `headgate_config_last_reload_successful 0`)
	if sum(t, m, "headgate_config_last_reload_success_timestamp_seconds") != at {
		t.Error("a reload that was refused counts as the last one that was not")
	}
	if text := scrape(m, "application/openmetrics-text;version=1.0.0"); !strings.HasSuffix(text, "# EOF\n") || !strings.Contains(text, `headgate_build_info{go_version="go1`) {
		t.Error("no OpenMetrics")
	}
}

// One figure that cannot be told is logged and counted, and does not keep the others back.
func TestScrapeOfABrokenFigure(t *testing.T) {
	var log strings.Builder
	m := New()
	m.Fleet(func() Fleet { return Fleet{Workers: 1, Targets: []TargetState{{Name: "a\xff", Held: &HeldState{}}}} })
	m.Pool(func() Pool { return Pool{Idle: 3, Used: 2} })
	h := m.Handler(slog.New(slog.NewTextHandler(&log, nil)))
	for range 2 {
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		expectLines(t, answer.Body.String(), `headgate_redis_pool_connections{state="idle"} 3`)
	}
	if n := strings.Count(log.String(), "some metrics could not be told"); n != 2 {
		t.Errorf("logged %d times:\n%s", n, log.String())
	}
	expectLines(t, scrape(m, ""), `promhttp_metric_handler_errors_total{cause="gathering"} 2`)
}

// Names, units and texts are as the Prometheus conventions want them.
func TestNamesAreConventional(t *testing.T) {
	m := New()
	m.fill()
	problems, err := promlint.New(strings.NewReader(scrape(m, ""))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, ours) {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}
