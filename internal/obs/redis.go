package obs

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// What goes to Redis in one round trip.
const (
	Command  = "command"
	Pipeline = "pipeline"
)

// redisBuckets are in seconds: a fifth of a millisecond is a server nearby.
var redisBuckets = []float64{.0001, .0002, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 3}

// redisFigures tell of what this process has to do with Redis. Each of their children is
// looked up once, for they change with every command.
type redisFigures struct {
	command, pipeline             prometheus.Observer
	commandErrors, pipelineErrors prometheus.Counter
}

func (f *redisFigures) init(m *Metrics) {
	took := m.histogram("headgate_redis_duration_seconds", "One round trip with Redis, by what went in it: one command, or a pipeline, which is also what concurrent callers share. What blocks by intention (subscriptions, WAIT, a look at queues that is held back) is not in it.", redisBuckets, "kind")
	errs := m.counter("headgate_redis_errors_total", "Round trips with Redis that failed: no connection, no answer in time, or an answer that says it cannot be done, such as for want of memory. Of pipelines that concurrent callers share only failures of the connection count.", "kind")
	f.command, f.pipeline = took.WithLabelValues(Command), took.WithLabelValues(Pipeline)
	f.commandErrors, f.pipelineErrors = errs.WithLabelValues(Command), errs.WithLabelValues(Pipeline)
}

// Redis counts one round trip.
func (m *Metrics) Redis(pipeline bool, took time.Duration, failed bool) {
	o, errs := m.redis.command, m.redis.commandErrors
	if pipeline {
		o, errs = m.redis.pipeline, m.redis.pipelineErrors
	}
	o.Observe(took.Seconds())
	if failed {
		errs.Inc()
	}
}

// Pool is how the connections of a process to Redis stand.
type Pool struct {
	Idle, Used      int
	Timeouts, Waits uint32 // so far
}

// Pool shows the connections: state is asked on each scrape.
func (m *Metrics) Pool(state func() Pool) { m.registry.MustRegister(pool{state}) }

type pool struct{ state func() Pool }

var (
	poolConnections = prometheus.NewDesc("headgate_redis_pool_connections", "Connections of this process to Redis, by whether they are idle or used. Subscriptions are not among them.", []string{"state"}, nil)
	poolTimeouts    = prometheus.NewDesc("headgate_redis_pool_timeouts_total", "How often no connection to Redis became free in time.", nil, nil)
	poolWaits       = prometheus.NewDesc("headgate_redis_pool_waits_total", "How often a command had to wait until a connection to Redis became free: the pool is too small then (redis.pool_size).", nil, nil)
)

// Describe implements prometheus.Collector.
func (pool) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{poolConnections, poolTimeouts, poolWaits} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (p pool) Collect(to chan<- prometheus.Metric) {
	s := p.state()
	tell(to, poolConnections, prometheus.GaugeValue, float64(s.Idle), "idle")
	tell(to, poolConnections, prometheus.GaugeValue, float64(s.Used), "used")
	tell(to, poolTimeouts, prometheus.CounterValue, float64(s.Timeouts))
	tell(to, poolWaits, prometheus.CounterValue, float64(s.Waits))
}
