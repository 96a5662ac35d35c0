package obs

import (
	"fmt"
	"strings"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
)

// Figure describes one metric, for the reference documentation.
type Figure struct {
	Name   string
	Type   string // counter, gauge or histogram
	Labels []string
	Help   string
}

// ours begins the names of the figures that this package makes itself; those of the Go
// runtime and the process differ between releases and systems.
const ours = "headgate_"

// Figures lists Headgate's own metrics in alphabetical order, their labels likewise. A
// figure with labels exists once it has been counted, so each is counted once here.
func Figures() ([]Figure, error) {
	m := New()
	m.fill()
	families, err := m.registry.Gather()
	if err != nil {
		return nil, fmt.Errorf("gather metrics: %w", err)
	}
	var out []Figure
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), ours) {
			continue
		}
		f := Figure{Name: family.GetName(), Type: strings.ToLower(family.GetType().String()), Help: family.GetHelp()}
		for _, label := range family.GetMetric()[0].GetLabel() {
			f.Labels = append(f.Labels, label.GetName())
		}
		out = append(out, f)
	}
	return out, nil
}

// show registers what is asked on each scrape.
func (m *Metrics) show(look func() Fleet, connections func() Pool) {
	m.Fleet(look)
	m.Pool(connections)
	m.Build("")
}

// fill has every figure told once.
func (m *Metrics) fill() {
	m.show(
		func() Fleet {
			return Fleet{Memory: []NodeMemory{{}}, Targets: []TargetState{{
				Worker: &WorkerState{Waits: map[string]uint64{"": 0}}, Held: &HeldState{}, Counts: &tracking.TargetCounts{}, Pending: &tracking.Waiters{},
			}}}
		},
		func() Pool { return Pool{} })
	m.Request("", 0, 0)
	m.Accepted("", 0)
	m.Run(dispatch.Attempt{Event: tracking.Advanced{}})
	m.Run(dispatch.Attempt{Event: tracking.NotYet{}})
	m.Ended(tracking.DeliveryEnd{})
	m.Sealed("", 0)
	m.Repair("", "")
	m.Refused("", "")
	m.Callback("")
}
