package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// charts answers what Asynqmon's page of metrics asks for. Asynqmon's own answer takes
// each series as it is; here every process of the fleet tells the same of a queue, so
// its lines would be drawn once for each.
type charts struct {
	prometheus string
	client     *http.Client
}

// chartsWithin bounds one chart; chartBytes is what it may take.
const (
	chartsWithin = 10 * time.Second
	chartBytes   = 16 << 20
)

func newCharts(prometheus string) *charts {
	return &charts{prometheus: strings.TrimSuffix(prometheus, "/"), client: &http.Client{Timeout: chartsWithin}}
}

// chartQueries are the charts by the names under which the page looks for them; $Q stands
// for the choice of queues.
var chartQueries = map[string]string{
	"queue_size":                      `max by (queue) (asynq_queue_size{$Q})`,
	"queue_latency_seconds":           `max by (queue) (asynq_queue_latency_seconds{$Q})`,
	"queue_memory_usage_approx_bytes": `max by (queue) (asynq_queue_memory_usage_approx_bytes{$Q})`,
	"tasks_processed_per_second":      `max by (queue) (rate(asynq_tasks_processed_total{$Q}[5m]))`,
	"tasks_failed_per_second":         `max by (queue) (rate(asynq_tasks_failed_total{$Q}[5m]))`,
	"error_rate":                      `max by (queue) (rate(asynq_tasks_failed_total{$Q}[5m])) / max by (queue) (rate(asynq_tasks_processed_total{$Q}[5m]))`,
	"pending_tasks_by_queue":          `max by (queue) (asynq_tasks_enqueued_total{state="pending",$Q})`,
	"retry_tasks_by_queue":            `max by (queue) (asynq_tasks_enqueued_total{state="retry",$Q})`,
	"archived_tasks_by_queue":         `max by (queue) (asynq_tasks_enqueued_total{state="archived",$Q})`,
}

// ServeHTTP implements http.Handler. The query has what the page sends: duration and
// endtime in seconds, and queues, separated by commas.
func (c *charts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	span, err := chartSpan(r.URL.Query(), time.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	out := make(map[string]json.RawMessage, len(chartQueries))
	var (
		mu     sync.Mutex
		failed error
		asking sync.WaitGroup
	)
	for name, query := range chartQueries {
		asking.Go(func() {
			answer, err := c.ask(r.Context(), strings.ReplaceAll(query, "$Q", span.choice), span)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = err
				return
			}
			out[name] = answer
		})
	}
	asking.Wait()
	if failed != nil {
		http.Error(w, "ask Prometheus: "+failed.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out) // the page went away
}

// span is what one look at the charts covers.
type span struct {
	end      time.Time
	duration time.Duration
	choice   string // of queues, as a matcher
}

// longestChart is the longest span that the page offers.
const longestChart = 31 * 24 * time.Hour

func chartSpan(query url.Values, now time.Time) (span, error) {
	out := span{end: now, duration: time.Hour}
	if text := query.Get("duration"); text != "" {
		n, err := strconv.Atoi(text)
		if out.duration = time.Duration(n) * time.Second; err != nil || n < 1 || out.duration > longestChart {
			return out, fmt.Errorf("duration %q is not a number of seconds from 1 to %d", text, int(longestChart.Seconds()))
		}
	}
	if text := query.Get("endtime"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return out, fmt.Errorf("endtime %q is not a time in Unix seconds", text)
		}
		out.end = time.Unix(n, 0)
	}
	if text := query.Get("queues"); text != "" {
		names := strings.Split(text, ",")
		for i, name := range names {
			names[i] = regexp.QuoteMeta(name)
		}
		out.choice = "queue=~" + strconv.Quote(strings.Join(names, "|"))
	}
	return out, nil
}

// chartPoints is about how many points a line has.
const chartPoints = 360

func (c *charts) ask(ctx context.Context, query string, s span) (json.RawMessage, error) {
	parameters := url.Values{
		"query": {query},
		"start": {strconv.FormatInt(s.end.Add(-s.duration).Unix(), 10)},
		"end":   {strconv.FormatInt(s.end.Unix(), 10)},
		"step":  {strconv.Itoa(max(10, int(s.duration.Seconds())/chartPoints))},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.prometheus+"/api/v1/query_range?"+parameters.Encode(), nil)
	if err != nil {
		return nil, err
	}
	res, err := c.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, chartBytes))
	if err != nil {
		return nil, err
	}
	// The page shows an error that Prometheus tells in its own form.
	if !json.Valid(body) {
		return nil, fmt.Errorf("it answers %s, and not with JSON", res.Status)
	}
	return body, nil
}
