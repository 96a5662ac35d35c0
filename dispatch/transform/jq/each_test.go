package jq

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

const list = `[{"a":1,"b":[3,1.50],"records":"x"},{"a":null},{"b":[],"c":{"a":"é"}},12345678901234567890,"text",null]`

func decodedList(t *testing.T) []any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(list))
	dec.UseNumber()
	var v []any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestEachOf(t *testing.T) {
	for source, want := range map[string]bool{
		`.records`:            true,
		`(.records)`:          true,
		`.["records"]`:        true,
		`.records | map(.)`:   true,
		`.records | map(.a?)`: true,
		`.records | map(objects | {a, b: .records})`:                              true,
		`.records | map(objects) | map(.a, .b) | map(select(. != null))`:          true,
		`.records | map(objects) | (map(.a) | map([.]))`:                          true,
		`.records | [.[] | tojson]`:                                               true,
		`[.records[]]`:                                                            true,
		`[.records[] | objects | .b | arrays | .[]]`:                              true,
		`[.records[] | objects] | map(.a)`:                                        true,
		`[.records[] | . as $x | def f: [$x]; f]`:                                 true,
		`[.records[] | objects | [.b[]?] | length]`:                               true,
		`.records | map(empty)`:                                                   true,
		`.records | map(if type == "object" then .a else error("no object") end)`: true,
		`[.records[].a]`:                                                          true, // fails at the number, as a whole and one by one

		`.records[0]`:                           false,
		`.records | length`:                     false,
		`.records | sort`:                       false,
		`.records | map(.a) | add`:              false,
		`.records | map_values(.)`:              false,
		`.records[]`:                            false,
		`.`:                                     false,
		`.payload | map(.)`:                     false,
		`[.records[].a?]`:                       false, // ends at the first failure
		`[.records[]?]`:                         false,
		`[.records[0:2][]]`:                     false,
		`[limit(2; .records[])]`:                false,
		`[.records[], 1]`:                       false,
		`[.records[] as $x | $x]`:               false,
		`.records as $r | $r | map(.)`:          false,
		`def map(f): [f]; .records | map(.)`:    false,
		`[.records | .[]]`:                      false,
		`{a: .records}`:                         false,
		`[.records]`:                            false,
		`.records + []`:                         false,
		`[foreach .records[] as $x (0; . + 1)]`: false,
		`.records | to_entries`:                 false,
		`.records | map(.) | .[0]`:              false,
		`.records | map(.)[0]`:                  false,
	} {
		each, ok := EachOf(source, "records")
		if ok != want {
			t.Errorf("%s: %t, want %t", source, ok, want)
		}
		if !ok {
			continue
		}
		q, err := Parse(source)
		if err != nil {
			t.Fatal(err)
		}
		p := q.Compile([]string{"records"}, func(hint, message string) { t.Fatal(source, hint, message) })
		whole, wholeErr := p.Eval(map[string]any{"records": decodedList(t)})
		got := []any{}
		var gotErr error
		for _, item := range decodedList(t) {
			out, err := each.Eval(item)
			if err != nil {
				gotErr = err
				break
			}
			got = append(got, out...)
		}
		if (wholeErr == nil) != (gotErr == nil) || (wholeErr != nil && wholeErr.Error() != gotErr.Error()) {
			t.Errorf("%s: fails with %v one by one, with %v as a whole", source, gotErr, wholeErr)
		}
		if wholeErr == nil && !reflect.DeepEqual(got, whole) {
			t.Errorf("%s: gives %v one by one, %v as a whole", source, got, whole)
		}
	}
}

// The budget is one for each item.
func TestEachIsBounded(t *testing.T) {
	each, ok := EachOf(`.records | map([range(.)] | length)`, "records")
	if !ok {
		t.Fatal("not one by one")
	}
	for range 100 {
		if out, err := each.Eval(json.Number("10000")); err != nil || len(out) != 1 {
			t.Fatal(out, err)
		}
	}
	if _, err := each.Eval(json.Number("100000000")); err == nil {
		t.Error("an item may take any amount of work")
	}
}
