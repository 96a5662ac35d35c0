package transform

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/config/yamlsrc"
)

// TestBounded holds each way to make much out of little that the guards know. Without
// its guard each would take minutes, or more memory than there is.
func TestBounded(t *testing.T) {
	digits := strings.Repeat("7", 200_000)
	scope := Scope{"body": map[string]any{
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
			v := compiled(t, quotedNode("${{ "+source+" }}"))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			out, err := v.Eval(scope)
			took := time.Since(began)
			runtime.ReadMemStats(&after)
			var fault *Error
			if !errors.As(err, &fault) {
				t.Errorf("gives %.60s, %v", fmt.Sprint(out), err)
			} else if len(fault.Message) > 250 {
				t.Errorf("a message of %d bytes", len(fault.Message))
			}
			// Wide limits: they tell bounded from unbounded, also under the race detector.
			if took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 1<<30 {
				t.Errorf("allocated %d MB", used>>20)
			}
		})
	}
}

// TestLargeButReasonable: what the bounds must let through.
func TestLargeButReasonable(t *testing.T) {
	records := make([]any, 30_000)
	for i := range records {
		records[i] = map[string]any{"email": fmt.Sprintf("user%d@example.com", i), "first": "Ada", "last": "Lovelace", "n": json.Number("1.10")}
	}
	phone := strings.Repeat("+49 (0) 30-", 20_000)
	scope := Scope{"records": records, "body": map[string]any{"phone": phone, "list": manyNumbers(500)}}
	for _, source := range []string{
		`{contacts: .records}`, `{contacts: [.records[] | {email, first_name: .first, name: (.first + " " + .last)}]}`, `.records | map(.email | ascii_downcase)`,
		`.records | map(select(.n > 1)) | length`, `.body.phone | gsub("[^0-9+]"; "")`, `.records | map(.email) | join(",")`, `.records | tojson`, `.records | sort_by(.email) | length`,
		`reduce .body.list[] as $n ({}; .["k\($n)"] = $n) | length`, `.records | INDEX(.email) | length`, `.body.phone | gsub("(?<d>[0-9]+)"; "<\(.d)>")`, `.records | group_by(.first) | length`, `.records | map(del(.n))`,
	} {
		t.Run(source, func(t *testing.T) {
			began := time.Now()
			if _, err := compiled(t, quotedNode("${{ "+source+" }}")).JSON(scope); err != nil {
				t.Error(err)
			}
			t.Log(time.Since(began))
		})
	}
}

// TestWorkIsCountedTheSameEachTime: the bound counts work and not time.
func TestWorkIsCountedTheSameEachTime(t *testing.T) {
	v := compiled(t, quotedNode("${{ reduce range(30000) as $i (0; . + $i) }}"))
	p := v.root.text.whole.prog
	var left []int
	for range 5 {
		m := <-p.idle
		if _, err := m.eval(Scope{}); err != nil {
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

// TestConcurrentEval runs every kind of expression on one scope at the same time; the
// race detector finds what writes into it.
func TestConcurrentEval(t *testing.T) {
	scope := testScope(t)
	sources := []string{
		`.body.address`, `.body | del(.first)`, `.body | del(.items[0].n, .tags[0])`, `.body | delpaths([["items", 0]])`, `.body.items | map(.n |= empty)`,
		`.body | map_values(select(. != null))`, `.body | walk(.)`, `.body | .items[0].n = 5`, `.body | .items[].n += 1`, `.body * {address: {x: 1}}`, `.body.items | sort_by(.n)`,
		`.body | to_entries | from_entries`, `.body | with_entries(select(.key != "first"))`, `.body | [paths]`, `.body.tags + ["x"]`, `{"a": {"b": [1]}, "c": 2} | del(.c)`,
		`.body.email | gsub("[aeiou]"; "_")`, `.body.email | test(.)`, `.body.items | group_by(.id)`, `[.body.tags[] | ascii_upcase]`, `.body | pick(.items[1].n)`, `. | del(.body.first)`,
		`.body.items[1:] | map(del(.id))`, `.body | .tags[0:1] = ["q", "r"]`, `[.body.amount, .body.price, 1, 2.5]`, `.body.items as $i | $i | del(.[0].id) | [., $i]`,
	}
	var wg sync.WaitGroup
	for _, source := range sources {
		v := compiled(t, quotedNode("${{ "+source+" }}"))
		want, err := v.JSON(scope)
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		for range 2 * maxIdle {
			wg.Go(func() {
				for range 10 {
					if got, err := v.JSON(scope); err != nil || string(got) != string(want) {
						t.Errorf("%s: got %s, %v; want %s", source, got, err, want)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	if !reflect.DeepEqual(scope, testScope(t)) {
		t.Error("the scope has changed")
	}
}

// TestUnknownTypesAreAnError: a scope that breaks the contract must not end the process.
func TestUnknownTypesAreAnError(t *testing.T) {
	scope := Scope{"body": map[string]any{"x": make(chan int)}}
	for _, source := range []string{`.body.x | tojson`, `.body.x + 1`, `a ${{ .body.x }}`, `.body.x.y`} {
		if !strings.HasPrefix(source, "a ") {
			source = "${{ " + source + " }}"
		}
		if out, err := compiled(t, quotedNode(source)).Eval(scope); err == nil {
			t.Errorf("%s gives %v", source, out)
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		"", "x", "${{", "${{ }}", "${{ .body.email }}", "a ${{ .body.first }} b $${{ c }}", `${{ {a: {b: "}}"}}}}`, "${{ def f(g): g | f(g); f(.) }}",
		`${{ "\(.body)" * 99 | @base64 }}`, "${{ .. |= . }}", "${{ reduce .body.items[] as {n: $n} (0; . + $n) }}", "${{ [.body | paths] | map(. as [$a] | $a) }}",
		`${{ .body.email | gsub("(?<x>.)"; .x + "\(.x)") }}`, "${{ .body.tags[1:] = [.body] }}", "${{ 1 as $x | 2 as $y | [$x,$y,$__loc__] }}", "${{ @json \"x\\(1)\" }}",
		"${{ .body | to_entries | map(.value) | flatten | sort | unique }}", "${{ label $f | (1, break $f) }}", "${{ try error({}) catch .x? // 1 }}", "${{ .a[]?.b..c }}",
		"${{ ." + strings.Repeat("[0]", 50) + " }}", "${{ " + strings.Repeat("[", 500) + strings.Repeat("]", 500) + " }}", "${{ -1 - -1 * 2 % 3 / .body.small }}",
		"${{ if . then 1 elif . then 2 end | not }}", "${{ limit(3; repeat(.body)) , input }}", "${{ .body as {items: [$a], $first} ?// [$a] | $a }}",
	} {
		f.Add(seed)
	}
	scope := testScope(f)
	f.Fuzz(func(t *testing.T, source string) {
		var report yamlsrc.Report
		n := quotedNode(source)
		v := CompileValue(n, allRoots, &report)
		x := CompileText(n, allRoots, &yamlsrc.Report{})
		CompileBool(n, allRoots, &yamlsrc.Report{})
		v.Fields("body")
		if report.Len() > 0 {
			return
		}
		began := time.Now()
		data, err := v.Eval(scope)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("took %v", took)
		}
		text, jsonErr := v.JSON(scope)
		if (err == nil) != (jsonErr == nil) {
			t.Errorf("Eval: %v, JSON: %v", err, jsonErr)
		}
		if err == nil && !json.Valid(text) {
			t.Errorf("%v is written as %s", data, text)
		}
		_, _ = x.URL(scope)
	})
}

func manyNumbers(n int) []any {
	out := make([]any, n)
	for i := range out {
		out[i] = json.Number(fmt.Sprint(i))
	}
	return out
}
