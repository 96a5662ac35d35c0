package obs

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
)

// reloadFigures tell how the last reload went.
type reloadFigures struct{ good, at prometheus.Gauge }

func (f *reloadFigures) init(m *Metrics) {
	f.good = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "headgate_config_last_reload_successful", Help: "Whether the files were taken over when they were last read: 0 after a reload that was refused.",
	})
	f.at = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "headgate_config_last_reload_success_timestamp_seconds", Help: "When files were last taken over, since 1970.",
	})
	m.registry.MustRegister(f.good, f.at)
}

// Reloaded says that the files were read, at the start too, and whether they were taken over.
func (m *Metrics) Reloaded(ok bool) {
	if !ok {
		m.reload.good.Set(0)
		return
	}
	m.reload.good.Set(1)
	m.reload.at.SetToCurrentTime()
}

// Build says which build this is.
func (m *Metrics) Build(version string) {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "headgate_build_info", Help: "Always 1: which build this is."}, []string{"version", "go_version"})
	g.WithLabelValues(version, runtime.Version()).Set(1)
	m.registry.MustRegister(g)
}
