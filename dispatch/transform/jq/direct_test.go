package jq

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func programOf(t interface{ Fatalf(string, ...any) }, source string) *Program {
	q, err := Parse(source)
	if err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	p := q.Compile([]string{"a", "b", "c"}, func(_, message string) { t.Fatalf("%s: %s", source, message) })
	return p
}

// TestDirectIsTheSame: where a simple expression is evaluated without the interpreter,
// the interpreter would have given the same.
func TestDirectIsTheSame(t *testing.T) {
	leaf := rapid.SampledFrom([]string{".a", ".b", ".c", ".a.x", `.b["x"]`, ".c[0]", ".a.x.y", `"x"`, `"X é"`, `""`, "true", "false", "null", "1", "[]"})
	op := rapid.SampledFrom([]string{"+", "+", "==", "!=", "//", "and", "or", "|", "-", "<"})
	var expression func(t *rapid.T, depth int) string
	expression = func(t *rapid.T, depth int) string {
		if depth == 0 || rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
			return leaf.Draw(t, "leaf")
		}
		operator := op.Draw(t, "operator")
		left := expression(t, depth-1)
		if operator == "|" {
			return "(" + left + " | " + rapid.SampledFrom([]string{"ascii_downcase", "ascii_upcase", "tostring", "not"}).Draw(t, "function") + ")"
		}
		out := left + " " + operator + " " + expression(t, depth-1)
		if rapid.Bool().Draw(t, "parentheses") || operator == "==" || operator == "!=" || operator == "<" {
			out = "(" + out + ")"
		}
		return out
	}
	value := rapid.SampledFrom([]any{
		nil, true, false, "", "x", "Ab Ç", "\xff!", json.Number("1"), json.Number("12345678901234567890.10"), json.RawMessage(`"x"`),
		[]any{"x"}, []any{}, map[string]any{"x": "y"}, map[string]any{"x": nil}, map[string]any{"x": map[string]any{"y": true}},
	})
	answered := 0
	rapid.Check(t, func(t *rapid.T) {
		// So that it is no plain path.
		source := "(" + expression(t, 3) + ")" + rapid.SampledFrom([]string{" == .a", ` == "x"`, " + null", ` + "x"`}).Draw(t, "end")
		p := programOf(t, source)
		input := map[string]any{"a": value.Draw(t, "a"), "b": value.Draw(t, "b"), "c": value.Draw(t, "c")}
		if p.direct == nil {
			return
		}
		got, ok := p.direct(input)
		if !ok {
			return
		}
		answered++
		want, err := p.code.eval(input)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s of %v is %#v, the interpreter gives %#v, %v", source, input, got, want, err)
		}
	})
	if answered == 0 {
		t.Error("no expression was evaluated directly")
	}
}

// TestDirect: the forms that need no interpreter, and neighbours of theirs that do.
func TestDirect(t *testing.T) {
	input := map[string]any{"a": map[string]any{"mail": "Ada@Example.com", "yes": true, "n": json.Number("1"), "long": strings.Repeat("x", maxDirect)}}
	for source, want := range map[string]any{
		`.a.mail | ascii_downcase`:                          "ada@example.com",
		`(.a.mail | ascii_upcase) | ascii_downcase`:         "ada@example.com",
		`.a.yes == true`:                                    true,
		`.a.yes == true and .a.mail != null`:                true,
		`.a.no == true or .a.no`:                            false,
		`.a.nick // .a.mail`:                                "Ada@Example.com",
		`("<" + .a.mail) + ">"`:                             "<Ada@Example.com>",
		`.a.mail + .a.no`:                                   "Ada@Example.com",
		`.a.n == 1`:                                         nil,
		`.a.n == true`:                                      nil,
		`.a.mail.x == true`:                                 nil,
		`.a.long + "x"`:                                     nil,
		`.a.yes + true`:                                     nil,
		`.a.yes | ascii_downcase`:                           nil,
		`.a == null`:                                        nil,
		`.a.mail | length`:                                  nil,
		`.a.mail as $x | $x + "!"`:                          nil,
		`def ascii_downcase: 1; .a.mail | ascii_downcase`:   nil,
		`.a.mail | (def ascii_downcase: 1; ascii_downcase)`: nil,
		`.a.mail | ascii_downcase[0:1]`:                     nil,
		`"\(.a.mail)" + "!"`:                                nil,
		`(.a.mail, .a.mail) + "!"`:                          nil,
		`.a.mail? + "!"`:                                    nil,
	} {
		p := programOf(t, source)
		var got any
		ok := false
		if p.direct != nil {
			got, ok = p.direct(input)
		}
		if ok != (want != nil) || ok && got != want {
			t.Errorf("%s is %v, %v, want %v", source, got, ok, want)
		}
	}
}
