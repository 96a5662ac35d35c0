package main

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"headgate/chaos/ledger"
)

// books forges the books of one request with one delivery.
func books(forge func(l *ledger.Ledger)) ledger.Verdict {
	l := ledger.New()
	l.Acknowledged("1", "trk_1", "crm")
	l.Executed("trk_1:crm", "1")
	l.Tracked("trk_1", "crm", ledger.End{State: "succeeded", Final: true})
	if forge != nil {
		forge(l)
	}
	return l.Judge()
}

// TestJudge: a scenario fails for everything that must not be, and for nothing else.
func TestJudge(t *testing.T) {
	lose := func(l *ledger.Ledger) { l.Acknowledged("2", "trk_2", "crm"); l.Gone("trk_2") }
	twice := func(l *ledger.Ledger) { l.Executed("trk_1:crm", "1") }
	for name, tt := range map[string]struct {
		scenario scenario
		forge    func(l *ledger.Ledger)
		problems []string
		ok       bool
		why      string
	}{
		"all well":              {ok: true},
		"lost":                  {forge: lose},
		"lost, and Redis may":   {scenario: scenario{mayForget: "replication"}, forge: lose, ok: true, why: "replication"},
		"stuck":                 {forge: func(l *ledger.Ledger) { l.Tracked("trk_1", "crm", ledger.End{State: "waiting"}) }},
		"twice without a cause": {forge: twice},
		"twice with a cause":    {scenario: scenario{why: "killed"}, forge: twice, ok: true, why: "killed"},
		"a cause and no need":   {scenario: scenario{why: "killed", mayForget: "replication"}, ok: true},
		"lost and twice":        {scenario: scenario{why: "killed", mayForget: "replication"}, forge: func(l *ledger.Ledger) { lose(l); twice(l) }, ok: true, why: "replication; killed"},
		"gave up": {forge: func(l *ledger.Ledger) {
			l.Tracked("trk_1", "crm", ledger.End{State: "failed", Reason: "timeout", Final: true})
		}},
		"gave up, Redis forgets": {scenario: scenario{mayForget: "replication"}, forge: func(l *ledger.Ledger) {
			l.Tracked("trk_1", "crm", ledger.End{State: "failed", Reason: "timeout", Final: true})
		}},
		"one key, two":       {scenario: scenario{why: "killed"}, forge: func(l *ledger.Ledger) { l.Executed("trk_9:crm", "1") }},
		"never accepted":     {forge: func(l *ledger.Ledger) { l.Refused("2") }},
		"a wrong answer":     {forge: func(l *ledger.Ledger) { l.Wrong("1", "422") }},
		"something in a log": {problems: []string{"panic"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := judge(&tt.scenario, books(tt.forge), tt.problems)
			if got.OK != tt.ok || got.Why != tt.why {
				t.Errorf("judged %+v", got)
			}
			if !got.OK && len(got.Problems) == 0 {
				t.Error("it failed and does not say why")
			}
		})
	}
	refused := books(func(l *ledger.Ledger) { l.Refused("1") })
	if !judge(&scenario{}, refused, nil).OK || judge(&scenario{refusesNothing: true}, refused, nil).OK {
		t.Error("a request that was refused once is wrong where nothing may be refused, and only there")
	}
	if got := judge(&scenario{}, ledger.New().Judge(), nil); got.OK {
		t.Error("a scenario in which nothing was acknowledged shows nothing, and passed")
	}
}

// TestResultLine: the line of JSON has the names that were agreed on.
func TestResultLine(t *testing.T) {
	line, err := json.Marshal(judge(&scenario{name: "x"}, books(nil), nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"scenario":"x"`, `"acknowledged":1`, `"delivered":1`, `"duplicates":0`, `"lost":0`, `"not_final":0`, `"healed_s":0`} {
		if !strings.Contains(string(line), want) {
			t.Errorf("%s is not in %s", want, line)
		}
	}
}

func TestTable(t *testing.T) {
	got := table([]result{
		{Scenario: "gateway-killed", OK: true, Acknowledged: 30, HealedS: 4.25},
		{Scenario: "x", Lost: 2, Why: "because"}, {Scenario: "y", OK: true, Duplicates: 3, Why: "because"},
	})
	want := `| scenario       | acknowledged | delivered | duplicates | lost | not final | healed s |
|---|---|---|---|---|---|---|
| gateway-killed | 30           | 0         | 0          | 0    | 0         | 4.2      |
| x (FAILED)     | 0            | 0         | 0 (1)      | 2    | 0         | 0.0      |
| y              | 0            | 0         | 3 (1)      | 0    | 0         | 0.0      |

1. because
`
	if got != want {
		t.Errorf("the table is\n%swant\n%s", got, want)
	}
}

// TestMatrix: names are unique, and every scenario says what it shows.
func TestMatrix(t *testing.T) {
	name := regexp.MustCompile(`^[a-z0-9-]+$`)
	seen := map[string]bool{}
	for _, s := range matrix() {
		if !name.MatchString(s.name) || seen[s.name] || s.shows == "" || s.fault == nil {
			t.Errorf("%q is not a scenario of its own with all that it needs", s.name)
		}
		seen[s.name] = true
	}
}

// TestDocumented: what people read about the scenarios is what stands beside them.
func TestDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/chaos.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := describe(matrix()); !strings.Contains(string(text), want) {
		t.Errorf("docs/chaos.md does not hold the list of scenarios; put in what `go run ./chaos -list` prints:\n\n%s", want)
	}
}

// TestCommandLine: what is wrong is said, and a list runs nothing.
func TestCommandLine(t *testing.T) {
	var out, log bytes.Buffer
	for _, args := range [][]string{{"-run", "("}, {"more"}, {"-nothing"}} {
		if code := chaos(args, &out, &log); code != 2 || out.Len() > 0 || log.Len() == 0 {
			t.Errorf("%q gives %d, %q", args, code, out.String())
		}
	}
	if code := chaos([]string{"-list"}, &out, &log); code != 0 || !strings.Contains(out.String(), "gateway-killed") {
		t.Errorf("-list gives %d: %s", code, out.String())
	}
	if code := chaos([]string{"-run", "no-such-scenario"}, &out, &log); code != 2 {
		t.Errorf("a pattern that fits nothing gives %d", code)
	}
}

// TestClock: the standard library of this Go can be given another clock.
func TestClock(t *testing.T) {
	b := &builder{dir: t.TempDir()}
	path, err := b.overlay()
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(overlay), "clockoffset.go") {
		t.Fatalf("%s, %v", overlay, err)
	}
	text, err := os.ReadFile(b.dir + "/time.go")
	if err != nil || !strings.Contains(string(text), clockRead+clockShift) {
		t.Fatalf("time.Now is not shifted (%v)", err)
	}
}
