package transform

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/config/yamlsrc"
)

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
		for range 16 {
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
		if took := time.Since(began); took > 20*time.Second {
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
