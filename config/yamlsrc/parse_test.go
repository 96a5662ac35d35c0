package yamlsrc

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// problems parses text and gives "line:column: message" of what is wrong with it.
func problems(t *testing.T, text string) (*Node, []string) {
	t.Helper()
	var report Report
	n := Parse("f.yaml", []byte(text), &report)
	var out []string
	for _, p := range report.Problems() {
		out = append(out, strings.TrimPrefix(p.Pos.String(), "f.yaml:")+": "+p.Message)
	}
	return n, out
}

func TestParseValues(t *testing.T) {
	for name, tc := range map[string]struct{ yaml, json string }{
		"empty":            {"", `null`},
		"comment only":     {"# nothing\n", `null`},
		"scalars":          {"a: yes\nb: true\nc: 1.10\nd: ~\ne: '1'\nf: -3e5\n", `{"a":"yes","b":true,"c":1.10,"d":null,"e":"1","f":-3e5}`},
		"not JSON numbers": {"a: 0o17\nb: 0x1F\nc: .inf\nd: 1_000\ne: 012\nf: +5\n", `{"a":15,"b":31,"c":".inf","d":"1_000","e":"012","f":5}`},
		"block scalars":    {"a: |\n  hi\n  there\nb: >\n  x\n  y\n", `{"a":"hi\nthere\n","b":"x y\n"}`},
		"odd keys":         {"1: a\ntrue: b\nnull: c\n'x y': d\n", `{"1":"a","true":"b","null":"c","x y":"d"}`},
		"quotes":           {"a: 'it''s'\nb: \"x\\ty\\u00e9\\ud83d\\ude00\"\n", `{"a":"it's","b":"x\tyé😀"}`},
		"alias":            {"x: &x {a: 1}\nz: *x\n", `{"x":{"a":1},"z":{"a":1}}`},
		"merge":            {"x: &x {a: 1, b: 1}\ny:\n  <<: *x\n  b: 2\n", `{"x":{"a":1,"b":1},"y":{"a":1,"b":2}}`},
		"merge list":       {"x: &x {a: 1}\ny: &y {a: 2, c: 3}\nz:\n  <<: [*x, *y]\n", `{"x":{"a":1},"y":{"a":2,"c":3},"z":{"a":1,"c":3}}`},
		"byte order mark":  {"\ufeffa: 1\n", `{"a":1}`},
		"CRLF":             {"a: 1\r\nb:\r\n  c: |\r\n    x\r\n    y\r\n", `{"a":1,"b":{"c":"x\ny\n"}}`},
		"one document":     {"---\na: 1\n...\n", `{"a":1}`},
		"expression":       {"a: ${{ .b }}\nb: {c: \"${{ .d }}\"}\n", `{"a":"${{ .b }}","b":{"c":"${{ .d }}"}}`},
		"JSON":             {"{\"a\": [1, 2.50, {\"b\": \"\\u0000\\/\"}],\n \"$\": \"${x\"}", `{"a":[1,2.50,{"b":"\u0000/"}],"$":"${x"}`},
	} {
		t.Run(name, func(t *testing.T) {
			n, found := problems(t, tc.yaml)
			if len(found) > 0 {
				t.Fatalf("problems: %q", found)
			}
			decoder := json.NewDecoder(strings.NewReader(tc.json))
			decoder.UseNumber()
			var want any
			if err := decoder.Decode(&want); err != nil {
				t.Fatal(err)
			}
			if got := n.Value(); !reflect.DeepEqual(got, want) {
				t.Errorf("got %#v\nwant %#v", got, want)
			}
		})
	}
}

func TestParseProblems(t *testing.T) {
	for name, tc := range map[string]struct {
		yaml string
		want []string
	}{
		"duplicate keys":     {"a: 1\nb: {c: 1, c: 2}\na: 2\n", []string{`2:11: "c" is here twice, first in line 2`, `3:1: "a" is here twice, first in line 1`}},
		"second document":    {"a: 1\n---\nb: 2\n", []string{"3:1: a second document after --- would be ignored"}},
		"tab":                {"a:\n\tb: 1\n", []string{"2:1: a tab cannot indent in YAML"}},
		"after CRLF":         {"a: 1\r\nb: 2\r\n  c: 3\r\n", []string{"2:4: mapping value is not allowed in this context"}},
		"after the mark":     {"\ufeffa: 1\na: 2\n", []string{`2:1: "a" is here twice, first in line 1`}},
		"unknown alias":      {"a: *u\n", []string{"1:4: unknown alias *u"}},
		"recursive alias":    {"a: &a [*a]\n", []string{"1:8: unknown alias *a"}},
		"tag":                {"a: !!str 1\n", []string{"1:4: YAML tags such as !!str are not used here"}},
		"directive":          {"%YAML 1.2\n---\na: 1\n", []string{"1:1: YAML directives are not used here"}},
		"not UTF-8":          {"a: 1\nb: \xff\n", []string{"2:1: the file is not valid UTF-8"}},
		"bad merges":         {"a: {b: 1}\nc:\n  <<: 5\nd:\n  <<: [7]\n", []string{"3:7: << merges mappings, not \"5\"", "5:8: << merges mappings, not \"7\""}},
		"deep brackets":      {"a: 1\nb: " + strings.Repeat("[", 300), []string{"2:1: nested more than 200 levels deep"}},
		"deep dashes":        {strings.Repeat("- ", 5000), []string{"1:1: nested more than 200 levels deep"}},
		"deep tags":          {strings.Repeat("!a\n", 5000), []string{"200:1: nested more than 200 levels deep"}},
		"flow expression":    {"t: {email: ${{ .body.email }}}\n", []string{"1:13: an expression inside {…} or […] needs quotes"}},
		"flow list":          {"t: [${{ .a }}]\n", []string{"1:6: an expression inside {…} or […] needs quotes"}},
		"flow variable":      {"t: {url: ${URL}}\n", []string{"1:11: ${NAME} inside {…} or […] needs quotes"}},
		"cut by a comment":   {"a: ${{ .b #}}\n", []string{"1:4: the expression is cut short by YAML's own syntax: ${{ .b"}},
		"colon in a string":  {"a: ${{ \"b: c\" }}\n", []string{"1:4: mapping value is not allowed in this context"}},
		"unterminated quote": {"a: \"b\nc: 2\n", []string{"1:4: could not find end character of double-quoted text"}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, got := problems(t, tc.yaml); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

// The hint must say to quote, whatever the parser made of the expression.
func TestUnquotedExpressionHints(t *testing.T) {
	for _, text := range []string{
		"t: {email: ${{ .body.email }}}\n",
		"t: {email: ${{ .body.email }}, b: ${{ .x }}}\nu: 1\n",
		"t:\n  a: {email: ${{ .body.email | ascii_downcase }}}\n  b: 1\n",
		"t: [${{ .a }}]\n",
		"t: {a: x-${{ .a }}}\n",
		"a: ${{ {x: .y} }}\n",
		"a: ${{ .b #}}\n",
		"a: ${{ if .b then 1\n  else 2 # end }}\n",
	} {
		var report Report
		Parse("f", []byte(text), &report)
		if got := report.Problems(); len(got) == 0 || !strings.Contains(got[0].Hint, "quotes") {
			t.Errorf("%q: %v", text, report.Err())
		}
	}
}

func TestAliasBomb(t *testing.T) {
	var text strings.Builder
	text.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 30; i++ {
		fmt.Fprintf(&text, "a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), i-1)
	}
	start := time.Now()
	_, found := problems(t, text.String())
	if len(found) == 0 || !strings.Contains(found[len(found)-1], "expand to more than") {
		t.Errorf("problems: %q", found)
	}
	if spent := time.Since(start); spent > time.Minute { // written out it would take years
		t.Errorf("took %s", spent)
	}
}

func TestPositions(t *testing.T) {
	n, found := problems(t, "routes:\n- name: a\n  to: {x: 'é', y: [1, 2]}\nnext:\n  k: |\n    text\nempty:\n")
	if len(found) > 0 {
		t.Fatal(found)
	}
	item := n.Get("routes").Items[0]
	for _, tc := range []struct {
		pos        Pos
		path, want string
		node       *Node
	}{
		{n.Pos, "", "f.yaml:1:1", n},
		{item.Pos, "routes[0]", "f.yaml:2:3", item},
		{item.Get("to").Pos, "routes[0].to", "f.yaml:3:7", item.Get("to")},
		{item.Get("to").Entries[1].KeyPos, "routes[0].to.y", "f.yaml:3:16", item.Get("to").Get("y")},
		{item.Get("to").Get("y").Items[1].Pos, "routes[0].to.y[1]", "f.yaml:3:23", item.Get("to").Get("y").Items[1]},
		{n.Get("next").Pos, "next", "f.yaml:5:3", n.Get("next")},
		{n.Get("next").Get("k").Pos, "next.k", "f.yaml:5:6", n.Get("next").Get("k")},
	} {
		if tc.pos.String() != tc.want || tc.node.Path != tc.path {
			t.Errorf("%s at %s, want %s at %s", tc.node.Path, tc.pos, tc.path, tc.want)
		}
	}
	if e := n.Get("empty"); e.Kind != Null || e.Line != 7 {
		t.Errorf("empty: %v at %s", e.Kind, e.Pos)
	}
	if n.Get("absent") != nil || (*Node)(nil).Get("x") != nil {
		t.Error("Get invented a value")
	}
}

// What a plan keeps as JSON must come back the same.
func TestJSONRoundTrip(t *testing.T) {
	var controls strings.Builder
	for r := rune(0); r < 0x180; r++ {
		controls.WriteRune(r)
	}
	value := map[string]any{
		"controls": controls.String(),
		"wide":     "\u2028\u2029\ufeff😀\U0010ffff<&>",
		"yaml":     "- a: b # c\n\t*x &y !z |\n%d @e `f`",
		"numbers":  []any{json.Number("1.10"), json.Number("-0"), json.Number("1e400"), json.Number("12345678901234567890")},
		"words":    []any{"null", "true", "~", "1", "", " ", "<<", "${{ .x }}", "$", true, false, nil},
		"<<":       "not a merge",
		"${x":      map[string]any{"": []any{}, "a.b": map[string]any{}, "null": nil, "1": "2", "é\n\"": "k"},
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	n, found := problems(t, string(text))
	if len(found) > 0 || !reflect.DeepEqual(n.Value(), any(value)) {
		t.Errorf("problems %q\ngot  %#v\nwant %#v", found, n.Value(), value)
	}
}
