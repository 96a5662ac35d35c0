package main

import "time"

// takeTurns measures each of several once a round, in every round beginning with another
// one: what the machine does besides hits all of them alike.
func takeTurns[T any](rounds int, all []T, measure func(round int, one T) error) error {
	for round := range rounds {
		for i := range all {
			if err := measure(round, all[(i+round)%len(all)]); err != nil {
				return err
			}
		}
	}
	return nil
}

// values are what one round of one contender came to, by what was measured.
type values map[string]float64

// measured are the values of all rounds, by contender.
type measured map[string]map[string][]float64

// of gives the rounds of one value of a contender.
func (m measured) of(contender, what string) []float64 { return m[contender][what] }

// ratio compares the medians of one value of two contenders.
func (m measured) ratio(name, what, ours, theirs string) Figure {
	return ratioOf(name, m.of(ours, what), m.of(theirs, what))
}

// figure is one value of a contender.
func (m measured) figure(name, unit, what, contender string) Figure {
	return figureOf(name, unit, m.of(contender, what)...)
}

// measure lets contenders take turns. One round more than asked for is made: the first
// warms up and does not count.
func measure(rounds int, all []*contender, one func(*contender) (values, error)) (measured, error) {
	out := measured{}
	err := takeTurns(rounds+1, all, func(round int, c *contender) error {
		got, err := one(c)
		if err != nil || round == 0 {
			return err
		}
		if out[c.name] == nil {
			out[c.name] = map[string][]float64{}
		}
		for what, value := range got {
			out[c.name][what] = append(out[c.name][what], value)
		}
		return nil
	})
	return out, err
}

// rounds is how often something is measured: at least five times.
func (o options) rounds() int {
	if o.quick {
		return 5
	}
	return 7
}

// span is how long one round takes.
func (o options) span(quick, full time.Duration) time.Duration {
	if o.quick {
		return quick
	}
	return full
}

// scaled makes the times and sizes of the long benchmarks smaller, for trying them out.
func scaled[N ~int64](o options, n N) N { return max(N(float64(n)*o.scale), 1) }
