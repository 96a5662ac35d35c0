package obs

import "github.com/prometheus/client_golang/prometheus"

// TargetState is how a target stands in this process.
type TargetState struct {
	Name    string
	Breaker int // 0 closed, 1 half-open, 2 open
	Paused  bool
	Running int
	Waits   map[string]uint64 // so far, by reason; the reasons are a closed set
}

// Targets shows how targets stand: states is asked on each scrape.
func (m *Metrics) Targets(states func() []TargetState) {
	m.registry.MustRegister(targets{states})
}

type targets struct{ states func() []TargetState }

var (
	breakerState = prometheus.NewDesc("headgate_breaker_state", "Breaker of the target: 0 closed, 1 half-open, 2 open.", []string{"target"}, nil)
	targetPaused = prometheus.NewDesc("headgate_target_paused", "Whether the target is paused.", []string{"target"}, nil)
	targetRuns   = prometheus.NewDesc("headgate_running", "Runs under way in this process.", []string{"target"}, nil)
	targetWaits  = prometheus.NewDesc("headgate_waits_total", "How often the workers of this process were held back before they took a task, by reason.", []string{"target", "reason"}, nil)
)

// Describe implements prometheus.Collector.
func (targets) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{breakerState, targetPaused, targetRuns, targetWaits} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (t targets) Collect(to chan<- prometheus.Metric) {
	for _, s := range t.states() {
		paused := 0.0
		if s.Paused {
			paused = 1
		}
		to <- prometheus.MustNewConstMetric(breakerState, prometheus.GaugeValue, float64(s.Breaker), s.Name)
		to <- prometheus.MustNewConstMetric(targetPaused, prometheus.GaugeValue, paused, s.Name)
		to <- prometheus.MustNewConstMetric(targetRuns, prometheus.GaugeValue, float64(s.Running), s.Name)
		for reason, n := range s.Waits {
			to <- prometheus.MustNewConstMetric(targetWaits, prometheus.CounterValue, float64(n), s.Name, reason)
		}
	}
}
