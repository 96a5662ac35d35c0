package obs

import (
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"headgate/dispatch/tracking"
)

// Metrics are the process's figures. Labels take values from the files and from closed
// sets only, so that their number is bounded.
type Metrics struct {
	registry *prometheus.Registry

	requests *prometheus.CounterVec
	request  *prometheus.HistogramVec
	accept   *prometheus.HistogramVec
	refused  *prometheus.CounterVec
	callback *prometheus.CounterVec

	attempts   *prometheus.CounterVec
	polls      *prometheus.CounterVec
	attempt    *prometheus.HistogramVec
	deliveries *prometheus.CounterVec
	endToEnd   *prometheus.HistogramVec
	batch      *prometheus.HistogramVec
	repairs    *prometheus.CounterVec

	redis  redisFigures
	reload reloadFigures

	counted []interface { // all counters and histograms
		DeletePartialMatch(labels prometheus.Labels) int
	}
}

// Buckets, in seconds but for the last: what an accept takes, one call of a backend, one round trip
// with Redis, a whole delivery, which may wait for hours; and records of a batch.
var (
	requestBuckets  = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	attemptBuckets  = []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120}
	deliveryBuckets = []float64{.005, .01, .05, .1, .5, 1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400, 86400}
	batchBuckets    = []float64{1, 2, 5, 10, 50, 100, 500, 1000, 5000, 10000, 50000, 100000}
)

// New makes the figures and registers them with those of the Go runtime.
func New() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.requests = m.counter("headgate_http_requests_total", "Requests by route and status of the answer. The route is empty where none matched, tracking for GET /tracking and callback for POST /callbacks.", "route", "status")
	m.request = m.histogram("headgate_http_request_duration_seconds", "Time to answer a request, with the waits that clients asked for by Prefer: wait.", requestBuckets, "route")
	m.accept = m.histogram("headgate_accept_duration_seconds", "Time from a request to its being recorded and handed to the queue, of those that were accepted: replays of known idempotency keys, refusals and the waits of Prefer are not in it.", requestBuckets, "route")
	m.refused = m.counter("headgate_refused_total", "Requests refused for want of room, by the target and what is full: backlog, tenant, or memory (of no target); draining: an operator drains the target.", "target", "full")
	m.callback = m.counter("headgate_callbacks_total", "Callbacks of backends by what they came to: polls, kept (a run is under way), late (it has ended), forged, refused (by a limit or for its size), failed.", "outcome")
	m.attempts = m.counter("headgate_attempts_total", "Attempts (tries of one step, of a batch as a whole) by what they came to: advanced (another step follows), retrying, again (the backend wants it sent otherwise, or later as a new one), or the end: succeeded, warned, rejected, failed, unknown. reason says why one failed, and is empty otherwise.", "target", "outcome", "reason")
	m.polls = m.counter("headgate_polls_total", "Polls by what they came to: not_yet, failed (the call itself; another follows), again, or the end: succeeded, warned, rejected, failed, unknown.", "target", "outcome")
	m.attempt = m.histogram("headgate_attempt_duration_seconds", "Duration of one attempt, from its claim to the backend's answer.", attemptBuckets, "target")
	m.deliveries = m.counter("headgate_deliveries_total", "Deliveries that reached a final state, each by the process that wrote it down: also those of a batch, canceled, superseded, expired and skipped ones, and again after a replay.", "target", "state", "reason")
	m.endToEnd = m.histogram("headgate_delivery_duration_seconds", "Time from accept, or from the last replay, to the end of a delivery. Skipped ones are not in it.", deliveryBuckets, "target", "state")
	m.batch = m.histogram("headgate_batch_records", "Records that had joined a batch when its collecting ended.", batchBuckets, "target")
	m.repairs = m.counter("headgate_repairs_total", "Deliveries the reconciler brought back, by kind: owner_lost (its worker died), run_lost, task_lost, timer_lost, batch_lost.", "target", "kind")
	m.redis.init(m)
	m.reload.init(m)
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(c)
	m.counted = append(m.counted, c)
	return c
}

func (m *Metrics) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	m.registry.MustRegister(h)
	m.counted = append(m.counted, h)
	return h
}

// Register adds figures of somebody else's.
func (m *Metrics) Register(c prometheus.Collector) { m.registry.MustRegister(c) }

// Handler serves the figures in the Prometheus format, and in that of OpenMetrics to those who
// ask for it. A figure that cannot be told does not keep the others back; that is logged, and
// counted in promhttp_metric_handler_errors_total.
func (m *Metrics) Handler(log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true, ErrorHandling: promhttp.ContinueOnError, ErrorLog: scrapeLog{log}, Registry: m.registry,
	})
}

// scrapeLog gives what goes wrong while figures are told to the logger.
type scrapeLog struct{ log *slog.Logger }

// Println implements promhttp.Logger.
func (l scrapeLog) Println(v ...any) {
	l.log.Error("some metrics could not be told", "error", fmt.Sprint(v...))
}

// Request counts one answered request. route is a route's name, empty when none matched.
func (m *Metrics) Request(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.request.WithLabelValues(route).Observe(took.Seconds())
}

// Accepted counts one request that was recorded.
func (m *Metrics) Accepted(route string, took time.Duration) {
	m.accept.WithLabelValues(route).Observe(took.Seconds())
}

// Refused counts one request that there was no room for.
func (m *Metrics) Refused(target, full string) { m.refused.WithLabelValues(target, full).Inc() }

// Callback counts one callback by what it came to.
func (m *Metrics) Callback(outcome string) { m.callback.WithLabelValues(outcome).Inc() }

// Ended counts the end of one delivery.
func (m *Metrics) Ended(e tracking.DeliveryEnd) {
	m.deliveries.WithLabelValues(e.Target, string(e.State), string(e.Reason)).Inc()
	if e.State != tracking.Skipped && e.After >= 0 {
		m.endToEnd.WithLabelValues(e.Target, string(e.State)).Observe(e.After.Seconds())
	}
}

// Sealed counts one batch whose collecting has ended.
func (m *Metrics) Sealed(target string, records int) {
	m.batch.WithLabelValues(target).Observe(float64(records))
}

// Repair counts one repair of the reconciler.
func (m *Metrics) Repair(target, kind string) { m.repairs.WithLabelValues(target, kind).Inc() }

// Forget drops what was counted of a target. One that is counted again begins with zero.
func (m *Metrics) Forget(target string) {
	for _, v := range m.counted {
		v.DeletePartialMatch(prometheus.Labels{"target": target})
	}
}
