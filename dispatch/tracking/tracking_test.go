package tracking_test

import (
	"testing"
	"time"

	. "headgate/dispatch/tracking" //nolint:revive // the tables read like the document they check
)

// of builds a dispatch with one target for each state; optional ones come after "opt".
func of(rule Rule, states ...State) *Dispatch {
	d := &Dispatch{Rule: rule, Deliveries: map[string]Delivery{}, AcceptedAt: start}
	optional := false
	for i, s := range states {
		if s == "opt" {
			optional = true
			continue
		}
		name := string(rune('a' + i))
		d.Targets = append(d.Targets, TargetRef{Name: name, Optional: optional})
		d.Deliveries[name] = Delivery{State: s}
	}
	return d
}

func TestStatus(t *testing.T) {
	const opt = State("opt")
	for name, c := range map[string]struct {
		states   []State
		all, any Status
	}{
		"no targets":                    {nil, DispatchSucceeded, DispatchSucceeded},
		"all good":                      {[]State{Succeeded, Warned, Superseded}, DispatchSucceeded, DispatchSucceeded},
		"one good, one rejected":        {[]State{Succeeded, Rejected}, Partial, DispatchSucceeded},
		"one good, one failed":          {[]State{Failed, Warned}, Partial, DispatchSucceeded},
		"one good, one unknown":         {[]State{Unknown, Succeeded}, Partial, DispatchSucceeded},
		"one good, one canceled":        {[]State{Canceled, Succeeded}, Partial, DispatchSucceeded},
		"none good":                     {[]State{Failed, Rejected, Unknown}, DispatchFailed, DispatchFailed},
		"failed and canceled":           {[]State{Failed, Canceled}, DispatchFailed, DispatchFailed},
		"all canceled":                  {[]State{Canceled, Canceled}, DispatchCanceled, DispatchCanceled},
		"canceled and skipped":          {[]State{Canceled, Skipped}, DispatchCanceled, DispatchCanceled},
		"skipped only":                  {[]State{Skipped, Skipped}, DispatchSucceeded, DispatchSucceeded},
		"skipped and good":              {[]State{Skipped, Succeeded}, DispatchSucceeded, DispatchSucceeded},
		"skipped and failed":            {[]State{Skipped, Failed}, DispatchFailed, DispatchFailed},
		"optional failed":               {[]State{Succeeded, opt, Failed}, DispatchSucceeded, DispatchSucceeded},
		"optional good, others failed":  {[]State{Failed, opt, Succeeded}, DispatchFailed, DispatchFailed},
		"optional good, other canceled": {[]State{Canceled, opt, Succeeded}, DispatchCanceled, DispatchCanceled},
		"optional only":                 {[]State{opt, Failed, Canceled}, DispatchSucceeded, DispatchSucceeded},
		"one pending":                   {[]State{Succeeded, Pending}, InProgress, InProgress},
		"one collecting":                {[]State{Failed, Collecting}, InProgress, InProgress},
		"one delivering":                {[]State{Delivering}, InProgress, InProgress},
		"one waiting":                   {[]State{Canceled, Waiting}, InProgress, InProgress},
		"one retrying":                  {[]State{Skipped, Retrying}, InProgress, InProgress},
		"optional still running":        {[]State{Succeeded, opt, Waiting}, InProgress, InProgress},
		"a delivery that is missing":    {[]State{Succeeded, ""}, InProgress, InProgress},
		"a state that nobody knows":     {[]State{Succeeded, "odd"}, InProgress, InProgress},
	} {
		for rule, want := range map[Rule]Status{DoneAll: c.all, DoneAny: c.any} {
			if got := of(rule, c.states...).Status(); got != want {
				t.Errorf("%s, rule %s: %s, want %s", name, rule, got, want)
			}
		}
	}
}

func TestEndedAt(t *testing.T) {
	d := of(DoneAll, Succeeded, Skipped, Failed)
	if got := d.EndedAt(); !got.Equal(start) {
		t.Errorf("without times: %v, want the time of accept", got)
	}
	for i, name := range []string{"a", "c"} {
		d.Deliveries[name] = Delivery{State: Failed, EndedAt: start.Add(time.Duration(2-i) * time.Hour)}
	}
	if got := d.EndedAt(); !got.Equal(start.Add(2 * time.Hour)) {
		t.Errorf("%v, want the last end", got)
	}
	d.Deliveries["b"] = Delivery{State: Waiting}
	if got := d.EndedAt(); !got.IsZero() {
		t.Errorf("%v while one runs", got)
	}
}

func TestTargetAndCounts(t *testing.T) {
	d := of(DoneAll, Succeeded, "opt", Failed, Failed)
	if got, ok := d.Target("c"); !ok || !got.Optional {
		t.Errorf("Target = %+v, %v", got, ok)
	}
	if got, ok := d.Target("x"); ok {
		t.Errorf("Target of an unknown name = %+v", got)
	}
	if got := d.Counts(); got[Succeeded] != 1 || got[Failed] != 2 || len(got) != 2 {
		t.Errorf("Counts = %v", got)
	}
}
