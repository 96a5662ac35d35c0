package queue

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
	"headgate/internal/testenv"
)

// TestCharts: the page gets each chart once for the whole fleet, and only the queues that
// it asks for.
func TestCharts(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]string{} // query → step
	prom := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		q := r.URL.Query()
		asked[q.Get("query")] = q.Get("step") + " " + q.Get("start") + " " + q.Get("end")
		fmt.Fprintf(w, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"queue":%q}}]}}`, r.URL.Path)
	}))
	defer prom.Close()
	rdb := testenv.Redis(t).Client(t)
	h, closeClients := Dashboard(DashboardOptions{
		Connect: func(int) redis.UniversalClient { return redis.NewClient(rdb.Options()) }, RootPath: "/asynqmon", Prometheus: prom.URL + "/",
	})
	t.Cleanup(func() { _ = closeClients() })

	page := func(query string) (int, string) {
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/asynqmon/api/metrics?"+query, nil))
		return answer.Code, answer.Body.String()
	}
	status, text := page("duration=86400&endtime=1700000000&queues=crm,crm.resume")
	var got map[string]struct {
		Data struct {
			Result []struct{ Metric map[string]string }
		}
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil || status != http.StatusOK || len(got) != len(chartQueries) {
		t.Fatalf("%d %s %v", status, text, err)
	}
	for name, chart := range got {
		if len(chart.Data.Result) != 1 || chart.Data.Result[0].Metric["queue"] != "/api/v1/query_range" {
			t.Errorf("%s: %+v", name, chart)
		}
	}
	if at := asked[`max by (queue) (asynq_tasks_enqueued_total{state="pending",queue=~"crm|crm\\.resume"})`]; at != "240 1699913600 1700000000" {
		t.Errorf("asked was %v", asked)
	}
	for _, bad := range []string{"duration=x", "duration=0", "duration=-5", "duration=99999999999", "endtime=now"} {
		if status, text := page(bad); status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", bad, status, text)
		}
	}
	clear(asked)
	if _, text := page(`queues=crm"}+or+vector(1)+or+x{a="`); strings.Count(text, "success") != len(chartQueries) {
		t.Error(text)
	}
	for query := range asked {
		if strings.Contains(query, `crm"}`) {
			t.Errorf("a name got out of its quotes: %s", query)
		}
	}
	prom.Close()
	if status, text := page(""); status != http.StatusBadGateway || !strings.HasPrefix(text, "ask Prometheus: ") {
		t.Errorf("without Prometheus: %d %s", status, text)
	}
}

// TestFigures: what the charts are drawn from is there under asynq's names.
func TestFigures(t *testing.T) {
	rdb := testenv.Redis(t).Client(t)
	c := NewClient(rdb, rdb, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { _ = c.Close(t.Context()) })
	for i := range 3 {
		if err := c.Enqueue(t.Context(), dispatch.Task{Ref: tracking.Ref{Tracking: fmt.Sprint("trk_", i), Target: "crm"}}); err != nil {
			t.Fatal(err)
		}
	}
	own := redis.NewClient(rdb.Options())
	f := NewFigures(own, slog.New(slog.DiscardHandler))
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(f)
	read := func() map[string]float64 {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]float64{}
		for _, family := range families {
			for _, m := range family.GetMetric() {
				name := family.GetName()
				for _, l := range m.GetLabel() {
					name += " " + l.GetValue()
				}
				out[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
		return out
	}
	got := read()
	for name, want := range map[string]float64{"asynq_queue_size crm": 3, "asynq_tasks_enqueued_total crm pending": 3, "asynq_tasks_enqueued_total crm archived": 0, "asynq_queue_paused_total crm": 0, "asynq_tasks_processed_total crm": 0} {
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("%s is %v (%v), not %v", name, value, ok, want)
		}
	}
	if got["asynq_queue_memory_usage_approx_bytes crm"] < 100 {
		t.Errorf("%v", got)
	}
	// It holds for a while, whoever asks how often; then a queue that cannot be read is left out.
	if err := rdb.Del(t.Context(), "asynq:{crm}:t:trk_0:crm:0").Err(); err != nil {
		t.Fatal(err)
	}
	if again := read(); again["asynq_queue_size crm"] != 3 {
		t.Errorf("read anew: %v", again)
	}
	f.read = f.read.Add(-figuresFor)
	if again := read(); len(again) != 0 {
		t.Errorf("a queue that asynq does not tell of: %v", again)
	}
	if err := own.Close(); err != nil {
		t.Fatal(err)
	}
	f.read = f.read.Add(-figuresFor)
	if again := read(); len(again) != 0 {
		t.Errorf("without Redis: %v", again)
	}
}

// TestDeletedQueueIsListedAgain: an empty queue that somebody deleted in the dashboard is
// shown again when it is used.
func TestDeletedQueueIsListedAgain(t *testing.T) {
	rdb := testenv.Redis(t).Client(t)
	f := newFeed(rdb, slog.New(slog.DiscardHandler))
	lots := []lot{{queue: "crm"}}
	listed := func(when string, want bool) {
		t.Helper()
		if err := f.publish(t.Context(), lots); err != nil {
			t.Fatal(err)
		}
		if got := rdb.SIsMember(t.Context(), allQueues, "crm").Val(); got != want {
			t.Errorf("%s: listed is %v", when, got)
		}
	}
	listed("at first", true)
	if err := rdb.SRem(t.Context(), allQueues, "crm").Err(); err != nil {
		t.Fatal(err)
	}
	listed("at once", false)
	f.known["crm"] = f.known["crm"].Add(-knownFor)
	listed("after a while", true)
}
