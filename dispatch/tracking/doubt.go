package tracking

import (
	"slices"
	"strings"
)

// firstStep stands in Doubts for the step that a delivery begins with, whose name the
// record does not have. No step is called so.
const firstStep = "."

func (d *Delivery) stands() string {
	if d.Step == "" {
		return firstStep
	}
	return d.Step
}

// InDoubt reports whether an earlier run of the step to run next may have sent its call
// without anybody knowing what came of it: the answer did not come, or the run was cut short.
func (d *Delivery) InDoubt() bool {
	return slices.Contains(strings.Fields(d.Doubts), d.stands())
}

// doubt marks the step to run next. Until it has worked the mark stays, also in a dead
// letter: a replay makes the same call.
func (d *Delivery) doubt() {
	if !d.InDoubt() {
		d.Doubts = strings.TrimSpace(d.Doubts + " " + d.stands())
	}
}

// settled takes the mark of the step to run next away.
func (d *Delivery) settled() {
	if d.InDoubt() {
		others := slices.DeleteFunc(strings.Fields(d.Doubts), func(step string) bool { return step == d.stands() })
		d.Doubts = strings.Join(others, " ")
	}
}
