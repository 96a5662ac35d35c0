package obs

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
)

// Metrics are the process's figures. Labels take values from the files and from closed
// sets only, so that their number is bounded.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	accept   *prometheus.HistogramVec
	attempts *prometheus.CounterVec
	attempt  *prometheus.HistogramVec
	endToEnd *prometheus.HistogramVec
	repairs  *prometheus.CounterVec
	refused  *prometheus.CounterVec
	callback *prometheus.CounterVec
}

// New makes the figures and registers them with those of the Go runtime.
func New() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "headgate_http_requests_total", Help: "Requests by route and answer.",
		}, []string{"route", "status"}),
		accept: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "headgate_http_request_duration_seconds", Help: "Time to answer a request.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"route"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "headgate_runs_total", Help: "Runs of steps by target, the state they led to and the reason.",
		}, []string{"target", "state", "reason"}),
		attempt: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "headgate_run_duration_seconds", Help: "Duration of one run of a step, the backend's answer included.",
			Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"target"}),
		endToEnd: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "headgate_delivery_duration_seconds", Help: "Time from accept to the end of a delivery.",
			Buckets: []float64{.005, .01, .05, .1, .5, 1, 5, 10, 60, 300, 1800, 3600, 14400, 86400},
		}, []string{"target", "state"}),
		repairs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "headgate_repairs_total", Help: "Deliveries the reconciler brought back, by target and kind.",
		}, []string{"target", "kind"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "headgate_refused_total", Help: "Requests refused for want of room, by the target and what is full: backlog, tenant, or memory (of no target); draining: an operator drains the target.",
		}, []string{"target", "full"}),
		callback: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "headgate_callbacks_total", Help: "Callbacks of backends by what they came to: polls, kept (a run is under way), late (it has ended), forged, refused (by a limit or for its size), failed.",
		}, []string{"outcome"}),
	}
	m.registry.MustRegister(m.requests, m.accept, m.attempts, m.attempt, m.endToEnd, m.repairs, m.refused, m.callback,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler serves the figures in the Prometheus format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Request counts one answered request. route is a route's name, empty when none matched.
func (m *Metrics) Request(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.accept.WithLabelValues(route).Observe(took.Seconds())
}

// Run counts one run of a step.
func (m *Metrics) Run(a dispatch.Attempt) {
	m.attempts.WithLabelValues(a.Target, string(a.Delivery.State), string(a.Delivery.Reason)).Inc()
	m.attempt.WithLabelValues(a.Target).Observe(a.Duration.Seconds())
	if a.Delivery.Phase == tracking.Ended {
		m.endToEnd.WithLabelValues(a.Target, string(a.Delivery.State)).Observe(a.Waited.Seconds())
	}
}

// Refused counts one request that there was no room for.
func (m *Metrics) Refused(target, full string) { m.refused.WithLabelValues(target, full).Inc() }

// Callback counts one callback by what it came to.
func (m *Metrics) Callback(outcome string) { m.callback.WithLabelValues(outcome).Inc() }

// Repair counts one repair of the reconciler.
func (m *Metrics) Repair(target, kind string) { m.repairs.WithLabelValues(target, kind).Inc() }
