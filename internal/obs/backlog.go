package obs

import "github.com/prometheus/client_golang/prometheus"

// Backlog is how many deliveries of a target are under way.
type Backlog struct {
	Target string
	Open   int
}

// Backlog shows backlogs: state is asked on each scrape.
func (m *Metrics) Backlog(state func() []Backlog) { m.registry.MustRegister(backlogs{state}) }

type backlogs struct{ state func() []Backlog }

var openDeliveries = prometheus.NewDesc("headgate_open_deliveries",
	"Deliveries of the target that are accepted and have not ended, of the whole fleet: each gateway tells the same, up to a second late.", []string{"target"}, nil)

// Describe implements prometheus.Collector.
func (backlogs) Describe(to chan<- *prometheus.Desc) { to <- openDeliveries }

// Collect implements prometheus.Collector.
func (b backlogs) Collect(to chan<- prometheus.Metric) {
	for _, s := range b.state() {
		to <- prometheus.MustNewConstMetric(openDeliveries, prometheus.GaugeValue, float64(s.Open), s.Target)
	}
}
