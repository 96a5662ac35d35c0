package jq

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

func compiled(t testing.TB, source string) *Program {
	t.Helper()
	q, err := Parse(source)
	if err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	p := q.Compile([]string{"body"}, func(hint, message string) { t.Errorf("%s: %s (%s)", source, message, hint) })
	if p == nil {
		t.FailNow()
	}
	return p
}

// TestBounded holds each way to make much out of little that the guards know. Without
// its guard each would take minutes, or more memory than there is.
func TestBounded(t *testing.T) {
	digits := strings.Repeat("7", 200_000)
	scope := map[string]any{"body": map[string]any{
		"x": "x", "n": json.Number("500000000"), "long": strings.Repeat("a", 200_000), "digits": json.Number(digits),
		"text": digits, "list": manyNumbers(20_000), "needle": strings.Repeat("a", 100_000) + "b",
	}}
	const dag = "reduce range(40) as $i (1; [., .])"
	tests := []string{
		`"x" * 1000000000`, `.body.x * .body.n`, `1000000000 * "x"`, `{a: "x"} | .a *= 1000000000`,
		`reduce range(40) as $i ("x"; . + .)`, `reduce range(40) as $i ("x"; . * 2)`, `"x" | .[0:] |= . | reduce range(40) as $i ("x"; "\(.)\(.)")`,
		`reduce range(40) as $i ([1]; . + .)`, `reduce range(40) as $i ({s: "x"}; .s += .s)`,
		`reduce range(60) as $i ("x"; @base64)`, `reduce range(40) as $i ("<"; . + . | @html)`, `reduce range(60) as $i ("\""; tojson)`,
		`[range(1000000000)]`, `[repeat(1)]`, `[limit(1000000000; repeat("x"))]`, `last(range(1000000000))`, `def f: 1 + f; f`, `def f: f; f`, `[recurse(. + 1)]`,
		`0 | until(false; . + 1)`, `[1 | while(true; . + 1)]`, `label $x | repeat(1) | select(false)`,
		`[range(100000) | try ("x" * 100000000) catch 0] | length`,
		dag + ` | tojson`, dag + ` | tostring`, dag + ` | flatten`, dag + ` | [.] == [.]`, dag + ` as $d | [$d, $d] | sort`, dag + ` | @json "\(.)"`,
		dag + ` as $d | [1, 2] | sort_by($d)`, dag + ` as $d | [$d] | contains([$d])`, dag + ` as $d | [$d] - [$d]`, dag + ` as $d | [$d] | index($d)`,
		dag, `{a: (` + dag + `)}`, `reduce range(40) as $i ({a: 1}; {a: ., b: .}) | . * .`, dag + ` | error`, dag + ` | del(.[0])`,
		dag + ` as $d | $d | IN($d)`, dag + ` as $d | [$d] | unique_by(.)`, dag + ` as $d | [$d, $d] | INDEX(.) | length`, dag + ` | walk(.)`,
		`reduce range(100000) as $i (1; [.])`, `reduce range(100000) as $i (1; {a: .})`,
		`[] | .[.x? // 500000000] = 1`, `.body.n as $n | [] | .[$n] = 1`, `.body.n as $n | [] | .[$n] |= 1`, `.body.n as $n | [] | setpath([$n]; 1)`,
		`.body.n as $n | null | getpath([$n]) = 1`, `.body.n as $n | null | pick(.[$n])`, `.body.n as $n | [] | nth($n) = 1`,
		`reduce range(100000) as $i ({}; .["k\($i)"] = 1)`, `reduce range(100000) as $i ([]; .[$i] = 1)`, `reduce range(100000) as $i ({}; .["k\($i)"] += 1)`,
		`[range(2000) | .body] | [.[].long] | add`, `[range(2000)] | map("x") | join("x" * 1000000)`, `.body.long as $l | [range(2000) | $l] | join("")`,
		`.body.long as $l | [range(2000) | $l] | @csv`, `[range(30000)] | [range(30000)] - .`, `[range(5000)] | [., map([.])[]] | transpose`,
		`.body.needle as $n | .body.long | index($n)`, `.body.needle as $n | .body.long | indices($n)`,
		`.body.list as $l | $l | contains($l)`, `.body.list - .body.list`,
		`.body.digits + 1`, `.body.digits > 1`, `.body.digits * .body.digits`, `.body.digits | floor`, `.body.text | tonumber`, `[.body.digits] | sort`,
		`reduce range(40) as $i (10; . * .)`, `.body.list[.body.digits]`, `-.body.digits % 3`,
		`.body.long | test("(a|aa|aaa|a{0,900}){1}b")`, `[range(2000)] | combinations(9)`, `[[range(100)], [range(100)], [range(100)], [range(100)]] | [combinations]`,
	}
	for _, source := range tests {
		t.Run(source[:min(60, len(source))], func(t *testing.T) {
			p := compiled(t, source)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			out, err := p.Eval(scope)
			took := time.Since(began)
			runtime.ReadMemStats(&after)
			if err == nil || errors.Is(err, ErrEmpty) {
				t.Errorf("gives %.60s, %v", Describe(out), err)
			} else if len(err.Error()) > 250 {
				t.Errorf("a message of %d bytes", len(err.Error()))
			}
			// Wide limits: they tell bounded from unbounded, also under the race detector.
			if took > 20*time.Second {
				t.Errorf("took %v", took)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 1<<30 {
				t.Errorf("allocated %d MB", used>>20)
			}
		})
	}
}

// TestWorkIsCountedTheSameEachTime: the bound counts work and not time.
func TestWorkIsCountedTheSameEachTime(t *testing.T) {
	p := compiled(t, "reduce range(30000) as $i (0; . + $i)").code
	var left []int
	for range 5 {
		m := <-p.idle
		if _, err := m.eval(map[string]any{}); err != nil {
			t.Fatal(err)
		}
		left = append(left, m.budget.left)
		p.idle <- m
	}
	for _, l := range left {
		if l != left[0] {
			t.Fatalf("different costs: %v", left)
		}
	}
}

// TestUnknownTypesAreAnError: an input that breaks the contract must not end the process.
func TestUnknownTypesAreAnError(t *testing.T) {
	input := map[string]any{"body": map[string]any{"x": make(chan int)}}
	for _, source := range []string{`.body.x | tojson`, `.body.x + 1`, `.body.x.y`, `.body.x | test("a")`, `[.body.x] | sort`} {
		p := compiled(t, source)
		for range 3 { // the machine of a panic is not used again
			if out, err := p.Eval(input); err == nil && source != "[.body.x] | sort" {
				t.Errorf("%s gives %v", source, out)
			}
		}
	}
}

func manyNumbers(n int) []any {
	out := make([]any, n)
	for i := range out {
		out[i] = json.Number(fmt.Sprint(i))
	}
	return out
}
