package obs

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// reloads tells whether the files that are in force are those that are there.
type reloads struct{ ok, at prometheus.Gauge }

func newReloads(r prometheus.Registerer) reloads {
	out := reloads{
		ok: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "headgate_config_last_reload_successful", Help: "Whether the files were put into force when they were read last: 0 when they were refused and the former ones stay.",
		}),
		at: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "headgate_config_last_reload_success_timestamp_seconds", Help: "When files were put into force last, the start included: seconds since 1970.",
		}),
	}
	r.MustRegister(out.ok, out.at)
	return out
}

// Reloaded tells what came of reading the files, at the start and with each reload.
func (m *Metrics) Reloaded(ok bool) {
	if !ok {
		m.reloads.ok.Set(0)
		return
	}
	m.reloads.ok.Set(1)
	m.reloads.at.Set(float64(time.Now().UnixMilli()) / 1000)
}
