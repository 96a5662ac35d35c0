package queue

import (
	"log/slog"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// figuresFor is how long what was read of the queues holds: asynq estimates memory for
// it, which costs four calls for each queue.
const figuresFor = 15 * time.Second

// Figures are asynq's own metrics of its queues, for the charts of the dashboard and for
// whoever has dashboards for asynq. They are read when they are asked for, and not more
// often than every 15 s.
type Figures struct {
	inspector *asynq.Inspector
	log       *slog.Logger

	mu   sync.Mutex
	read time.Time
	last []*asynq.QueueInfo
}

// NewFigures reads by rdb, which stays the caller's.
func NewFigures(rdb redis.UniversalClient, log *slog.Logger) *Figures {
	return &Figures{inspector: asynq.NewInspectorFromRedisClient(rdb), log: log}
}

var (
	queueTasks   = queueFigure("asynq_tasks_enqueued_total", "Tasks of the queue by state.", "state")
	queueSize    = queueFigure("asynq_queue_size", "Tasks of the queue.")
	queueLatency = queueFigure("asynq_queue_latency_seconds", "Age of the queue's oldest pending task.")
	queueMemory  = queueFigure("asynq_queue_memory_usage_approx_bytes", "Memory of the queue, estimated from a few tasks.")
	queueDone    = queueFigure("asynq_tasks_processed_total", "Tasks that were run, failed ones among them.")
	queueFailed  = queueFigure("asynq_tasks_failed_total", "Tasks that a fault of the infrastructure ended. Attempts that failed are in headgate_attempts_total.")
	queuePaused  = queueFigure("asynq_queue_paused_total", "1 when the queue is paused in the dashboard.")
)

func queueFigure(name, help string, more ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, append([]string{"queue"}, more...), nil)
}

// Describe implements prometheus.Collector.
func (f *Figures) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{queueTasks, queueSize, queueLatency, queueMemory, queueDone, queueFailed, queuePaused} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (f *Figures) Collect(to chan<- prometheus.Metric) {
	for _, q := range f.queues() {
		gauge := func(d *prometheus.Desc, value float64, more ...string) {
			to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, append([]string{q.Queue}, more...)...)
		}
		for state, n := range map[string]int{
			"active": q.Active, "pending": q.Pending, "scheduled": q.Scheduled, "retry": q.Retry, "archived": q.Archived, "completed": q.Completed,
		} {
			gauge(queueTasks, float64(n), state)
		}
		gauge(queueSize, float64(q.Size))
		gauge(queueLatency, q.Latency.Seconds())
		gauge(queueMemory, float64(q.MemoryUsage))
		paused := 0.0
		if q.Paused {
			paused = 1
		}
		gauge(queuePaused, paused)
		to <- prometheus.MustNewConstMetric(queueDone, prometheus.CounterValue, float64(q.ProcessedTotal), q.Queue)
		to <- prometheus.MustNewConstMetric(queueFailed, prometheus.CounterValue, float64(q.FailedTotal), q.Queue)
	}
}

// queues gives what is known of the queues. One that cannot be read is left out: asynq
// refuses to tell of a queue while an entry in it has no task, as for a moment after one
// was deleted by hand.
func (f *Figures) queues() []*asynq.QueueInfo {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.read.IsZero() && time.Since(f.read) < figuresFor {
		return f.last
	}
	f.read, f.last = time.Now(), nil
	names, err := f.inspector.Queues()
	if err != nil {
		f.log.Debug("the queues are not read for their figures", "error", err)
		return nil
	}
	for _, name := range names {
		info, err := f.inspector.GetQueueInfo(name)
		if err != nil {
			f.log.Debug("a queue is not read for its figures", "queue", name, "error", err)
			continue
		}
		f.last = append(f.last, info)
	}
	return f.last
}
