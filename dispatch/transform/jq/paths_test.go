package jq

import (
	"strings"
	"testing"
)

// TestPaths: what an expression is sure to take is known by its path; what may be missing is
// not listed, nor anything below it.
func TestPaths(t *testing.T) {
	for source, want := range map[string]string{
		`.body`:                     "",
		`.body.a.b`:                 "a a.b",
		`.body["a"]."b"`:            "a a.b",
		`.body.lines[].sku`:         "lines lines.[].sku",
		`.body.lines[0].sku`:        "lines lines.[].sku",
		`.body.lines[-1:] | length`: "lines",
		`.body.lines[1:][0].sku`:    "lines",
		`.body[.params.x].y`:        "",
		`.body | .a | .b`:           "a a.b",
		`.body.lines | map(.sku)`:   "lines lines.[].sku",
		`.body.lines | map(select(.n > 1)) | length`: "lines lines.[].n",
		`[.body.lines[] | {sku, n: .count}]`:         "lines lines.[].count lines.[].sku",
		`.body | {a, "b", c: .d}`:                    "a b d",
		`.body as $b | $b.a`:                         "a",
		`.body as {a: {b: $c}} | $c`:                 "a a.b",
		`.body.a // .body.b`:                         "b",
		`(.body.a // .body.b).c`:                     "b b.c",
		`.body.a // "x"`:                             "",
		`.body.a?`:                                   "",
		`.body.a?.b`:                                 "",
		`try .body.a catch "x"`:                      "",
		`(.body | .a = 1) | .b`:                      "",
		`.body | .a |= . + 1`:                        "",
		`.body | del(.a)`:                            "",
		`.body | pick(.a)`:                           "",
		`if .body.a == 1 then .body.b else "x" end`:  "a b",
		`"\(.body.a)-\(.body.b.c)"`:                  "a b b.c",
		`.body.a == "x" and (.body.b | length > 2)`:  "a b",
		`reduce .body.lines[] as $l (0; . + $l.n)`:   "lines lines.[].n",
		`def f: .a; .body | f`:                       "a",
		`def f(x): x; f(.body.a)`:                    "a",
		`def f: .next.a, (.next | f); .body | f`:     "next next.a",
		`first(.body.lines[].sku)`:                   "lines lines.[].sku",
		`.body | to_entries | map(.key)`:             "",
		`.body | has("a")`:                           "",
		`.body.lines | any(.x)`:                      "lines lines.[].x",
		`[.body.a, .params.id]`:                      "a",
		`.body.lines | sort_by(.n) | .[0].sku`:       "lines lines.[].n",
		`.body | with_entries(.value |= tostring)`:   "",
		`.body | if .a then .b else . end | .c`:      "a b b.c c",
		`.params.body.x`:                             "",
	} {
		q, err := Parse(source)
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		p := q.Compile([]string{"body", "params"}, func(hint, message string) { t.Errorf("%s: %s", source, message) })
		if p == nil {
			continue
		}
		var got []string
		for _, path := range p.Uses().Paths("body") {
			got = append(got, strings.Join(path, "."))
		}
		if have := strings.Join(got, " "); have != want {
			t.Errorf("%s: %q, want %q", source, have, want)
		}
	}
}
