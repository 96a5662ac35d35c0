package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"headgate/chaos/ledger"
	"headgate/chaos/load"
	"headgate/chaos/world"
)

// scenario is a row of the matrix: one fault under load, and what must hold after it.
type scenario struct {
	name  string
	shows string // what a good end shows, as a sentence for docs/chaos.md
	spec  world.Spec
	fault func(ctx context.Context, r *run) error // returns when the fault is lifted
	// why says what makes a backend do the same twice here; empty: nothing may.
	why string
	// mayForget says that this Redis can lose what it acknowledged, and how; empty: it
	// keeps its data, and nothing may be lost.
	mayForget string
	// refusesNothing: each try is answered 202, so that no client has to send anything twice.
	refusesNothing bool

	rate     int  // orders a second; default 25
	longOnly bool // no short form of it is worth its time
}

// run is a scenario that is under way.
type run struct {
	*scenario
	world   *world.World
	clients *load.Clients
	rand    *rand.Rand // the same for the same seed, whatever else runs
	short   bool
	lifted  time.Time // when the fault was lifted; the end of fault when it is not set

	check    func()   // looks at more once everything is final; may be nil
	problems []string // what is wrong besides the books
}

// sleep waits.
func (r *run) sleep(ctx context.Context, d time.Duration) error { return world.Sleep(ctx, d) }

// eventually waits for what the load brings about by itself.
func (r *run) eventually(ctx context.Context, otherwise string, holds func() bool) error {
	for deadline := time.Now().Add(30 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			return errors.New(otherwise)
		}
		if err := r.sleep(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// between draws a time.
func (r *run) between(from, to time.Duration) time.Duration {
	return from + time.Duration(r.rand.Int64N(int64(to-from)+1))
}

// length is how long a fault lasts in this form.
func (r *run) length(short, long time.Duration) time.Duration {
	if r.short {
		return short
	}
	return long
}

// wrong notes something that must not be, besides what the books say.
func (r *run) wrong(problem string) { r.problems = append(r.problems, problem) }

// result is what became of a scenario; its JSON is one line of the report.
type result struct {
	Scenario     string   `json:"scenario"`
	OK           bool     `json:"ok"`
	Acknowledged int      `json:"acknowledged"`
	Delivered    int      `json:"delivered"`
	Duplicates   int      `json:"duplicates"`
	Lost         int      `json:"lost"`
	NotFinal     int      `json:"not_final"`
	HealedS      float64  `json:"healed_s"`
	Why          string   `json:"why,omitempty"`
	Failed       int      `json:"failed"`
	Requests     int      `json:"requests"`
	Repeated     int      `json:"repeated"`
	Unanswered   int      `json:"unanswered"`
	Unknown      int      `json:"outcome_unknown"`
	Doubled      int      `json:"doubled"`
	TookS        float64  `json:"took_s"`
	Problems     []string `json:"problems,omitempty"`
	Logs         string   `json:"logs,omitempty"`
}

// judge turns the books into a result.
func judge(s *scenario, v ledger.Verdict, problems []string) result {
	out := result{
		Scenario: s.name, Acknowledged: v.Acknowledged, Delivered: v.Delivered, Duplicates: v.Duplicates,
		Lost: v.Lost, NotFinal: v.NotFinal, Failed: v.Failed, Requests: v.Requests, Repeated: v.Repeated,
		Unanswered: v.Cut, Unknown: v.Unknown, Doubled: v.Doubled, Problems: problems,
	}
	bad := v.Failed+v.Doubled+v.NeverAccepted+v.Wrong > 0
	if v.Lost+v.NotFinal > 0 {
		out.Why = s.mayForget
		bad = bad || s.mayForget == ""
	}
	bad = bad || (v.Rekeyed > 0 && s.mayForget == "")
	if v.Duplicates > 0 {
		if out.Why != "" && s.why != "" {
			out.Why += "; "
		}
		out.Why += s.why
		if s.why == "" {
			out.Problems = append(out.Problems, "there are duplicates and nothing in this scenario explains them")
		}
	}
	if n := v.Refused + v.Cut + v.Unknown; s.refusesNothing && n > 0 {
		out.Problems = append(out.Problems, fmt.Sprintf("%d tries were not accepted at once: %d refused, %d without an answer, %d with an unknown outcome", n, v.Refused, v.Cut, v.Unknown))
	}
	if v.Requests == 0 {
		out.Problems = append(out.Problems, "not one request was acknowledged")
	}
	if bad {
		out.Problems = append(out.Problems, v.Details...)
	}
	out.OK = !bad && len(out.Problems) == 0
	return out
}
