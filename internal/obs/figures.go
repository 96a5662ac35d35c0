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
	m.Request("", 0, 0)
	m.Run(dispatch.Attempt{Delivery: tracking.Delivery{Phase: tracking.Ended}})
	m.Repair("", "")
	m.Refused("", "")
	m.Callback("")
	m.Reloaded(true)
	m.Backlog(func() []Backlog { return []Backlog{{}} })
	m.Targets(func() []TargetState { return []TargetState{{Waits: map[string]uint64{"": 0}}} })

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
