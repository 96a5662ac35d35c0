package yamlsrc

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// fill fills a template with the values of another document; the parameter none has no value.
func fill(t *testing.T, template, values string) (string, []string) {
	t.Helper()
	var report Report
	given := Parse("values", []byte(values), &report)
	out := Parse("template", []byte(template), &report).Fill("at", func(name string) (*Node, bool) {
		value := given.Get(name)
		return value, value != nil || name == "none"
	}, &report)
	var problems []string
	for _, p := range report.Problems() {
		problems = append(problems, p.Pos.String()+": "+p.Message)
	}
	if out == nil {
		return "nothing", problems
	}
	text, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), problems
}

func TestFill(t *testing.T) {
	const values = `{text: a b, number: 1.10, list: [1, {x: y}], word: 'it"s \(.x) }}', expression: '${{ .payload.x }}'}`
	for template, want := range map[string]string{
		`{a: $(text)}`: `{"a":"a b"}`,
		`{a: $(number), b: "x$(number)y$(text)"}`:           `{"a":1.10,"b":"x1.10ya b"}`,
		`{a: $(list), b: [$(list), 1]}`:                     `{"a":[1,{"x":"y"}],"b":[[1,{"x":"y"}],1]}`,
		`{a: $(expression)}`:                                `{"a":"${{ .payload.x }}"}`,
		`{a: "${{ .payload[$(word)] }}/$(text)"}`:           `{"a":"${{ .payload[\"it\\\"s \\\\(.x) }}\"] }}/a b"}`,
		`{a: "${{ {x: $(list), n: $(number)} }}"}`:          `{"a":"${{ {x: [1,{\"x\":\"y\"}], n: 1.10} }}"}`,
		`{a: "${{ \"\\($(text))\" }}"}`:                     `{"a":"${{ \"\\(\"a b\")\" }}"}`,
		`{a: $(none), b: 1, c: [$(none), 2]}`:               `{"b":1,"c":[2]}`,
		`{a: {b: {c: "x$(none)"}}, d: "${{ $(none) }}"}`:    `nothing`,
		`{a: {b: [$(none)]}, c: {}}`:                        `{"c":{}}`,
		`{a: $(Text), b: $text, c: $(), d: "$${{ $(text)"}`: `{"a":"$(Text)","b":"$text","c":"$()","d":"$${{ a b"}`,
	} {
		if got, problems := fill(t, template, values); got != want || problems != nil {
			t.Errorf("%s: got %s, want %s; %v", template, got, want, problems)
		}
	}
}

func TestFillProblems(t *testing.T) {
	const values = "list: [1]\ndollar: 'a$'\nexpression: ['${{ .x }}']\ntext: x\n"
	for template, want := range map[string]string{
		`{a: $(typo)}`:                   `template:1:5: there is no parameter $(typo)`,
		`{a: "x$(list)"}`:                `values:1:7: list should be a text, not a list`,
		`{a: "$(dollar)${{ .x }}"}`:      `values:2:9: dollar becomes a part of a longer text and takes no expressions`,
		`{a: "${{ $(expression) }}"}`:    `values:3:13: expression becomes a part of an expression and takes none`,
		`{a: "${{ {x: \"$(text)\"} }}"}`: `template:1:5: $(text) stands within a string of an expression`,
		`{"$(text)": 1}`:                 `template:1:2: a key takes no parameters`,
	} {
		if _, got := fill(t, template, values); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: got %q, want %q", template, got, want)
		}
	}
}

// A value keeps the position at which it was written, and has the path of its new place.
func TestFillKeepsPlaces(t *testing.T) {
	var report Report
	value := Parse("values", []byte("\n\n  {deep: [x]}\n"), &report)
	out := Parse("template", []byte("a: [1, $(v)]\n"), &report).Fill("targets.crm", func(string) (*Node, bool) { return value, true }, &report)
	inner := out.Get("a").Items[1].Get("deep").Items[0]
	if inner.Path != "targets.crm.a[1].deep[0]" || inner.Pos.String() != "values:3:11" || value.Path != "" {
		t.Errorf("%s at %s, %q", inner.Path, inner.Pos, value.Path)
	}
}

func TestMove(t *testing.T) {
	var report Report
	report.Addf(Pos{"own", 1, 2}, "a", "", "one")
	report.Addf(Pos{"inner", 3, 4}, "b", "hint", "two")
	report.Move("inner", Pos{"own", 5, 6})
	if got := report.Err().Error(); !strings.Contains(got, "own:1:2: one (a)") || !strings.Contains(got, "own:5:6: two (inner:3:4) (b)") {
		t.Error(got)
	}
}
