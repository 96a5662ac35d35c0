package main

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTakeTurns: each is measured once a round, and every round begins with another one.
func TestTakeTurns(t *testing.T) {
	var got []string
	if err := takeTurns(3, []string{"a", "b"}, func(_ int, one string) error { got = append(got, one); return nil }); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "b", "b", "a", "a", "b"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestTable: it has what is bounded, and says when one misses.
func TestTable(t *testing.T) {
	met, free := figureOf("met", "ms", 3, 1, 2).atMost(2), figureOf("free", "1/s", 7)
	missed := ratioOf("missed", []float64{1, 2, 3}, []float64{2, 4, 6}).atLeast(1)
	var out strings.Builder
	if !table(&out, []Figure{met, free}) {
		t.Errorf("it says that one missed:\n%s", out.String())
	}
	if strings.Contains(out.String(), "free") {
		t.Errorf("it has a figure without a bound:\n%s", out.String())
	}
	if table(&out, []Figure{met, missed}) || !strings.Contains(out.String(), "at least 1  MISSED") {
		t.Errorf("it does not say that one missed:\n%s", out.String())
	}
}

// TestMissing: what was not measured meets no bound, and can be written as JSON.
func TestMissing(t *testing.T) {
	for name, f := range map[string]Figure{
		"no rounds":        figureOf("f", "ms"),
		"no latencies":     figureOf("f", "ms", 1, quantile(nil, 99)).atMost(50),
		"divided by zero":  ratioOf("f", []float64{1, 2}, []float64{0, 0}).atLeast(1),
		"nothing compared": ratioOf("f", []float64{1, 2}, nil).atMost(1),
	} {
		if f.Met() || !strings.Contains(f.String(), "not measured") {
			t.Errorf("%s: %+v", name, f)
		}
		if err := write(filepath.Join(t.TempDir(), "f.json"), []Figure{f}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestChoose: the quick set is part of the default one, and that of the long one.
func TestChoose(t *testing.T) {
	all := regexp.MustCompile("")
	quick, usual, long := options{quick: true}.choose(all), options{}.choose(all), options{long: true}.choose(all)
	if len(quick) == 0 || len(quick) >= len(usual) || len(usual) >= len(long) || len(long) != len(benchmarks) {
		t.Errorf("%d, %d and %d of %d benchmarks", len(quick), len(usual), len(long), len(benchmarks))
	}
	if got := (options{quick: true}).choose(regexp.MustCompile("^growth$")); len(got) != 0 {
		t.Errorf("the quick set has %v", got[0].name)
	}
}
