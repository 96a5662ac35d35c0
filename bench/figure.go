package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Figure is one measured value: the median of rounds, with their spread. Where AtLeast or
// AtMost is not zero, it is what the value has to reach.
type Figure struct {
	Name    string  `json:"name"`
	Value   float64 `json:"value"`
	Unit    string  `json:"unit"`
	Min     float64 `json:"min"`
	Max     float64 `json:"max"`
	AtLeast float64 `json:"at_least,omitempty"`
	AtMost  float64 `json:"at_most,omitempty"`
	// Missing says that there is no value: nothing was measured, or nothing to divide by. Then
	// no bound is met.
	Missing bool `json:"missing,omitempty"`
}

// figureOf makes the figure of some rounds.
func figureOf(name, unit string, rounds ...float64) Figure {
	for _, value := range rounds {
		if math.IsNaN(value) || math.IsInf(value, 0) {
			rounds = nil
		}
	}
	if len(rounds) == 0 {
		return Figure{Name: name, Unit: unit, Missing: true}
	}
	sorted := slices.Sorted(slices.Values(rounds))
	return Figure{Name: name, Unit: unit, Value: sorted[len(sorted)/2], Min: sorted[0], Max: sorted[len(sorted)-1]}
}

// atMost gives the figure with its bound.
func (f Figure) atMost(bound float64) Figure { f.AtMost = bound; return f }

// atLeast gives the figure with its bound.
func (f Figure) atLeast(bound float64) Figure { f.AtLeast = bound; return f }

// ratioOf is the ratio of the medians of two series that took turns; its spread is that
// of the rounds.
func ratioOf(name string, ours, theirs []float64) Figure {
	ratios := make([]float64, min(len(ours), len(theirs)))
	for i := range ratios {
		ratios[i] = ours[i] / theirs[i]
	}
	f := figureOf(name, "", ratios...)
	if !f.Missing {
		f.Value = median(ours) / median(theirs)
	}
	return f
}

func median(rounds []float64) float64 {
	sorted := slices.Sorted(slices.Values(rounds))
	return sorted[len(sorted)/2]
}

// Met reports whether the value is within its bounds.
func (f Figure) Met() bool {
	return !f.Missing && (f.AtLeast == 0 || f.Value >= f.AtLeast) && (f.AtMost == 0 || f.Value <= f.AtMost)
}

// bound says what the value has to reach; nothing when there is no bound.
func (f Figure) bound() string {
	switch {
	case f.AtMost != 0:
		return fmt.Sprintf("at most %g", f.AtMost)
	case f.AtLeast != 0:
		return fmt.Sprintf("at least %g", f.AtLeast)
	}
	return ""
}

func (f Figure) verdict() string {
	switch {
	case f.Missing:
		return "NOT MEASURED"
	case f.Met():
		return "met"
	}
	return "MISSED"
}

// String is the figure's line in the output.
func (f Figure) String() string {
	if f.Missing {
		return fmt.Sprintf("%-76s not measured", f.Name)
	}
	line := fmt.Sprintf("%-76s %10.2f %-5s (%.2f to %.2f)", f.Name, f.Value, f.Unit, f.Min, f.Max)
	if bound := f.bound(); bound != "" {
		line += "  " + bound + ": " + f.verdict()
	}
	return line
}

// quantile gives a percentile of a list of durations, in milliseconds, or NaN of none; the
// list is sorted by it.
func quantile(list []time.Duration, percent int) float64 {
	if len(list) == 0 {
		return math.NaN()
	}
	slices.Sort(list)
	return float64(list[min(len(list)*percent/100, len(list)-1)].Microseconds()) / 1000
}
