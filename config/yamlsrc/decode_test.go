package yamlsrc

import (
	"reflect"
	"strings"
	"testing"
)

type inner struct {
	Name string `yaml:"name,required"`
	On   bool   `yaml:"on"`
}

type shared struct {
	Level int `yaml:"level"`
}

type outer struct {
	shared `yaml:",inline"`
	Inner  inner            `yaml:"inner"`
	Maybe  *inner           `yaml:"maybe"`
	Ratio  float64          `yaml:"ratio"`
	Words  []string         `yaml:"words"`
	Counts map[string]int64 `yaml:"counts"`
	Raw    *Node            `yaml:"raw"`
	Any    any              `yaml:"any"`
	Flag   *bool            `yaml:"flag"`
	Hidden string           `yaml:"-"`
}

func decode(t *testing.T, text string, into *outer) []string {
	t.Helper()
	var report Report
	Parse("f", []byte(text), &report).Decode(into, &report)
	var out []string
	for _, p := range report.Problems() {
		out = append(out, strings.TrimPrefix(p.Pos.String(), "f:")+": "+p.Message)
	}
	return out
}

func TestDecode(t *testing.T) {
	got := outer{Ratio: 0.5, Inner: inner{On: true}}
	found := decode(t, `
level: 0x10
inner: {name: a}
words: [x, '1', 2]
counts: {a: 1, b: -2}
raw: [1, {b: c}]
any: {x: [1]}
flag: false
`, &got)
	if len(found) > 0 {
		t.Fatal(found)
	}
	no := false
	want := outer{
		shared: shared{Level: 16}, Inner: inner{Name: "a", On: true}, Ratio: 0.5, Words: []string{"x", "1", "2"},
		Counts: map[string]int64{"a": 1, "b": -2}, Any: got.Any, Raw: got.Raw, Flag: &no,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if got.Raw.Get("x") != nil || len(got.Raw.Items) != 2 || got.Raw.Path != "raw" {
		t.Errorf("raw: %+v", got.Raw)
	}
}

func TestDecodeProblems(t *testing.T) {
	for name, tc := range map[string]struct {
		yaml string
		want []string
	}{
		"all at once": {"inner: {nam: a}\nratio: x\nwords: a\ncounts: [1]\nlevle: 1\nHidden: x\n", []string{
			`1:8: "name" is missing`, `1:9: unknown key "nam"`, `2:8: ratio should be a number, not "x"`,
			`3:8: words should be a list, not "a"`, `4:9: counts should be a mapping, not a list`,
			`5:1: unknown key "levle"`, `6:1: unknown key "Hidden"`,
		}},
		"scalars without a value": {"level:\nratio: ~\nflag:\nwords: [~]\n", []string{
			"1:1: level is empty", "2:8: ratio is empty", "3:1: flag is empty", "4:9: words[0] is empty",
		}},
		"mappings without a value": {"inner:\nmaybe:\nwords:\ncounts:\nany:\nraw:\n", []string{`1:1: "name" is missing`}},
		"quoted is a string":       {"level: '1'\nratio: \"1\"\ninner: {name: 1, on: 'true'}\n", []string{`1:8: level should be a whole number, not "1"`, `2:8: ratio should be a number, not "1"`, `3:22: on should be true or false, not "true"`}},
		"numbers":                  {"level: 99999999999999999999\nratio: .nan\ncounts: {a: 1.5, b: 1_000}\n", []string{`1:8: level should be a whole number, not "99999999999999999999"`, `2:8: ratio should be a number, not ".nan"`, `3:13: a should be a whole number, not "1.5"`, `3:21: b should be a whole number, not "1_000"`}},
		"not a mapping":            {"- 1\n", []string{"1:1: the file should be a mapping, not a list"}},
		"a list for a word":        {"inner: {name: [a]}\n", []string{"1:15: name should be a string, not a list"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := decode(t, tc.yaml, &outer{}); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

// TestMisplacedKeys: a key that is right elsewhere is told where; a slip of the fingers and a
// key that several places have are not.
func TestMisplacedKeys(t *testing.T) {
	type own struct {
		Every string `yaml:"every"`
		Self  *own   `yaml:"self"`
	}
	type step struct {
		Name  string `yaml:"name"`
		Until *own   `yaml:"until"`
	}
	var dst struct {
		Listen string `yaml:"listen"`
		Save   string `yaml:"save"`
		Limits struct {
			Rate string `yaml:"rate"`
			Max  string `yaml:"max"`
		} `yaml:"limits"`
		Retry struct {
			First string `yaml:"first"`
			Max   string `yaml:"max"`
		} `yaml:"retry"`
		Steps []step `yaml:"steps"`
	}
	for text, want := range map[string]string{
		"rate: 1":               "rate belongs below limits",
		"limits: {first: 1}":    "first belongs below retry",
		"limits: {listen: 1}":   "listen belongs at the top of the file",
		"steps: [{every: 1}]":   "every belongs below steps[0].until",
		"steps: [{rate: 1}]":    "rate belongs below limits",
		"limits: {mac: 1}":      `did you mean "max"?`,
		"limits: {sav: 1}":      "known here: max, rate",
		"max: 1":                "known here: limits, listen, retry, save, steps",
		"steps: [{nowhere: 1}]": "known here: name, until",
	} {
		var report Report
		n := Parse("f.yaml", []byte(text), &report)
		n.Decode(&dst, &report)
		if list := report.Problems(); len(list) != 1 || list[0].Hint != want {
			t.Errorf("%s: %v, want the hint %s", text, list, want)
		}
	}
}
