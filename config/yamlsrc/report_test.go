package yamlsrc

import (
	"errors"
	"strings"
	"testing"
)

func TestProblemRendering(t *testing.T) {
	var report Report
	n := Parse("routes/a.yaml", []byte("a:\n  - x: 1\n    y: \x1b[31m\tz\n"), &report)
	y := n.Get("a").Items[0].Entries[1]
	report.Addf(y.Value.Pos, y.Value.Path, "write something else", "no %s", "good")
	report.Addf(Pos{File: "other.yaml", Line: 1, Column: 1}, "", "", "cannot be read")
	want := `other.yaml:1:1: cannot be read
routes/a.yaml:3:8: no good (a[0].y)
    3 |     y: �[31m	z
      |        ^
        hint: write something else`
	if got := report.Err().Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if report.Len() != 2 || (&Report{}).Err() != nil {
		t.Error("Len or Err counts wrongly")
	}
}

func TestCaretInLongLinesAndUnderTabs(t *testing.T) {
	long := strings.Repeat("é", 1000)
	for _, tc := range []struct {
		source string
		column int
	}{{"\t\tabc X", 7}, {long + "X" + long, 1001}, {"X" + long, 1}, {long + "X", 1001}} {
		shown, before := window(tc.source, tc.column)
		if at := len([]rune(before)); []rune(shown)[at] != 'X' || len([]rune(shown)) > maxShown+2 {
			t.Errorf("column %d: caret under %q in %q", tc.column, []rune(shown)[at], shown)
		}
	}
	// A column past the end must not break anything.
	if _, before := window("ab", 4000); len(before) > 4 {
		t.Errorf("%q", before)
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	var report Report
	n := Parse("f", []byte("a: {token: hunter2, bad: 1}\nb: |\n  hunter2\n  hunter2\nc: [hunter2,\n  hunter2]\nd: \"hunter2\n  hunter2\"\nok: fine\n"), &report)
	report.Addf(n.Get("a").Entries[1].KeyPos, "a", "", "unknown key")
	report.AddSecretf(n.Get("a").Get("token"), "use a reference", "in clear")
	for _, key := range []string{"b", "c", "d"} {
		report.AddSecretf(n.Get(key), "", "in clear")
	}
	for line := 1; line <= 9; line++ {
		report.Addf(Pos{File: "f", Line: line, Column: 1}, "", "", "line %d", line)
	}
	text := report.Err().Error()
	if strings.Contains(text, "hunter2") || strings.Count(text, "in clear") != 4 {
		t.Errorf("report:\n%s", text)
	}
	if !strings.Contains(text, "ok: fine") {
		t.Error("the line after a secret is hidden too")
	}
}

func TestHints(t *testing.T) {
	known := []string{"rate_limit", "body", "auth", "targets"}
	for word, want := range map[string]string{
		"ratelimit": `did you mean "rate_limit"?`, "Body": `did you mean "body"?`, "target": `did you mean "targets"?`,
		"aut": `did you mean "auth"?`, "": "known here: auth, body, rate_limit, targets",
		"completely_else": "known here: auth, body, rate_limit, targets",
	} {
		if got := UnknownHint(word, known); got != want {
			t.Errorf("%q: %s, want %s", word, got, want)
		}
	}
	if UnknownHint("x", nil) != "" {
		t.Error("a hint out of nothing")
	}
}

func TestNoNoiseAfterAFailedExpansion(t *testing.T) {
	var report Report
	n := Parse("f", []byte("level: ${A}${B}\nratio: x\n"), &report)
	n.Expand(func(string) (string, error) { return "", errors.New("is not set") }, &report)
	before := report.Len()
	n.Decode(&outer{}, &report)
	if report.Len() != before+2 {
		t.Errorf("what is not told must count all the same: %d, %d", before, report.Len())
	}
	if got := report.Problems(); len(got) != 3 || !strings.HasPrefix(got[1].Message, "${B}") || got[2].Line != 2 {
		t.Errorf("%v", got)
	}
}

func TestMerge(t *testing.T) {
	read := func(into *Report, name, text string) {
		n := Parse(name, []byte(text), into)
		into.Addf(n.Pos, "", "mend it", "wrong in %s", name)
	}
	var all, one, two Report
	read(&all, "a.yaml", "a: 1")
	read(&one, "b.yaml", "b: 1")
	read(&two, "b.yaml", "b: 1")
	n := Parse("c.yaml", []byte("c: hunter2"), &two)
	two.AddSecretf(n, "", "in clear")
	all.Merge(&one)
	all.Merge(&two)
	got := all.Err().Error()
	for _, want := range []string{"a.yaml:1:1: wrong", "b.yaml:1:1: wrong in b.yaml\n    1 | b: 1\n", "c.yaml:1:1: in clear"} {
		if strings.Count(got, want) != 1 {
			t.Errorf("want %q once in:\n%s", want, got)
		}
	}
	if strings.Contains(got, "hunter2") {
		t.Errorf("it shows a line that was concealed:\n%s", got)
	}
}
