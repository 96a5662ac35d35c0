package transform

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"headgate/config/yamlsrc"
)

var allRoots = []string{"body", "params", "query", "headers", "claims", "route", "saved", "records"}

// testScope is what the tests evaluate on, decoded as the gateway does it.
func testScope(t testing.TB) Scope {
	t.Helper()
	return decode(t, `{
		"body": {"email": "Ada@Example.com", "first": "Ada", "last": "Lovelace", "amount": 12345678901234567890,
			"price": 1.10, "small": 7, "tiny": 1e-7, "consent": true, "none": null, "a key": 1, "html": "<b>&",
			"tags": ["x", "y", "z"], "address": {"city": "Zoë", "zip": "01234"}, "empty": "", "dots": "..",
			"items": [{"id": "b", "n": 2}, {"id": "a", "n": 1}, {"id": "b", "n": 3}]},
		"params": {"id": "42/../7 ä?&=+#"}, "query": {}, "headers": {}, "claims": {"org": "acme"}, "route": "r",
		"saved": {"job": "j1", "other": "o"}, "records": []}`).(map[string]any)
}

func decode(t testing.TB, text string) any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var out any
	if err := dec.Decode(&out); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return out
}

// node parses YAML of the form "v: …" and gives the value of v.
func node(t testing.TB, yaml string) *yamlsrc.Node {
	t.Helper()
	var report yamlsrc.Report
	root := yamlsrc.Parse("routes.yaml", []byte(yaml), &report)
	if err := report.Err(); err != nil {
		t.Fatalf("the test's own YAML: %v", err)
	}
	return root.Get("v")
}

func quotedNode(text string) *yamlsrc.Node {
	return &yamlsrc.Node{Pos: yamlsrc.Pos{File: "f.yaml", Line: 3, Column: 5}, Kind: yamlsrc.Scalar, Path: "v", Text: text, Quoted: true}
}

func compiled(t testing.TB, n *yamlsrc.Node) *Value {
	t.Helper()
	var report yamlsrc.Report
	v := CompileValue(n, allRoots, &report)
	if err := report.Err(); err != nil {
		t.Fatalf("compile: %v", err)
	}
	return v
}

func TestValue(t *testing.T) {
	tests := []struct{ name, yaml, want string }{
		{"whole body keeps everything", `v: ${{ .saved }}`, `{"job":"j1","other":"o"}`},
		{"a string", `v: ${{ .body.email }}`, `"Ada@Example.com"`},
		{"type is kept", `v: {a: "${{ .body.small }}", b: "${{ .body.consent }}", c: "${{ .body.tags }}"}`, `{"a":7,"b":true,"c":["x","y","z"]}`},
		{"digits by path", `v: {a: "${{ .body.amount }}", b: "${{ .body.price }}"}`, `{"a":12345678901234567890,"b":1.10}`},
		{"digits through jq", `v: '${{ {a: .body.amount, b: .body.price} }}'`, `{"a":12345678901234567890,"b":1.10}`},
		{"digits in a whole object", `v: '${{ .body | {amount, price, tiny} }}'`, `{"amount":12345678901234567890,"price":1.10,"tiny":1e-7}`},
		{"digits through map and select", `v: '${{ [.body.price, .body.amount] | map(select(. > 1)) }}'`, `[1.10,12345678901234567890]`},
		{"digits interpolated", `v: 'a ${{ .body.amount }} b ${{ .body.price }}'`, `"a 12345678901234567890 b 1.10"`},
		{"digits of literals", `v: {a: 1.10, b: 12345678901234567890, c: "1.10", d: 0x10}`, `{"a":1.10,"b":12345678901234567890,"c":"1.10","d":16}`},
		{"literals", `v: {a: true, b: null, c: text, d: [1, [], {}]}`, `{"a":true,"b":null,"c":"text","d":[1,[],{}]}`},
		{"order of the file", `v: {z: 1, a: 2}`, `{"z":1,"a":2}`},
		{"no HTML escape", `v: {a: "${{ .body.html }}", b: "<&>"}`, `{"a":"<b>&","b":"<&>"}`},
		{"path with brackets", `v: '${{ .body["a key"] }}'`, `1`},
		{"path with a quoted key", `v: '${{ .body."a key" }}'`, `1`},
		{"index", `v: '${{ .body.tags[0] }}'`, `"x"`},
		{"index from the end", `v: '${{ .body.tags[-1] }}'`, `"z"`},
		{"index out of range", `v: '${{ .body.tags[9] }}'`, `null`},
		{"missing is null", `v: {a: "${{ .body.missing }}", b: "${{ .body.missing.deeper[0] }}"}`, `{"a":null,"b":null}`},
		{"empty leaves a key out", `v: {a: 1, b: "${{ empty }}", c: 3}`, `{"a":1,"c":3}`},
		{"empty leaves the first and only key out", `v: {b: "${{ empty }}"}`, `{}`},
		{"empty leaves an item out", `v: [1, "${{ .body.none | values }}", 3]`, `[1,3]`},
		{"white space around", "v: |\n  ${{ .body.tags }}\n", `["x","y","z"]`},
		{"an object in an expression", `v: '${{ {a: {b: .body.small}} }}'`, `{"a":{"b":7}}`},
		{"an object that ends tight", `v: '${{{a:{b:.body.small}}}}'`, `{"a":{"b":7}}`},
		{"braces in a string", `v: '${{ .body.first + "}}" }} and }} ${{ "{" }}'`, `"Ada}} and }} {"`},
		{"two expressions", `v: '${{ .body.first }} ${{ .body.last }}'`, `"Ada Lovelace"`},
		{"booleans interpolated", `v: 'x${{ .body.consent }}'`, `"xtrue"`},
		{"escape", `v: 'a $${{ .x }} $ $$ ${{ .body.first }}'`, `"a ${{ .x }} $ $$ Ada"`},
		{"escape alone", `v: '$${{ 12 }}'`, `"${{ 12 }}"`},
		{"comment inside", "v: |\n  ${{ .body.small # why\n  }}\n", `7`},
		{"operators", `v: '${{ [1 + 2, 7 - 10, 3 * 4, 7 / 2, 6 / 3, 7 % 4, -7 % 3, "a" + "b", "ab" * 2, [1,2,2] - [2], {a: 1} + {b: 2}, {a: {b: 1}} * {a: {c: 2}}, "a,b" / ",", null + 1] }}'`,
			`[3,-3,12,3.5,2,3,-1,"ab","abab",[1],{"a":1,"b":2},{"a":{"b":1,"c":2}},["a","b"],1]`},
		{"big integers", `v: '${{ [.body.amount + 1, .body.amount * 10, .body.amount % 10, 9223372036854775807 + 1, -9223372036854775807 - 9] }}'`,
			`[12345678901234567891,123456789012345678900,0,9223372036854775808,-9223372036854775816]`},
		{"floats", `v: '${{ [.body.price + 1, 0.1 + 0.2, 1e300 * 10, 3.0] }}'`, `[2.1,0.30000000000000004,1e+301,3]`},
		{"comparison", `v: '${{ [1 < 2, 2 <= 2, "a" > "b", [1] >= [1], {a: 1} == {a: 1}, 1 != 1.0, .body.price == 1.1] }}'`, `[true,true,false,true,true,false,true]`},
		{"updates", `v: '${{ {n: 1, s: "a", l: [1]} | .n += 2 | .s += "b" | .l[0] *= 5 | .m //= 9 | .o = 3 | .n |= . + 1 | .n -= 1 | .n /= 3 | .n %= 4 }}'`,
			`{"l":[5],"m":9,"n":1,"o":3,"s":"ab"}`},
		{"delete", `v: '${{ .saved | del(.job) }}'`, `{"other":"o"}`},
		{"update to nothing", `v: '${{ [1, 2, 3] | map_values(select(. != 2)) }}'`, `[1,3]`},
		{"walk", `v: '${{ .body.address | walk(if type == "string" then ascii_upcase else . end) }}'`, `{"city":"ZOë","zip":"01234"}`},
		{"case", `v: '${{ .body.email | ascii_downcase }}'`, `"ada@example.com"`},
		{"strings in strings", `v: '${{ "\(.body.first)-\(.body.small)-\(.body.tags)" }}'`, `"Ada-7-[\"x\",\"y\",\"z\"]"`},
		{"formats", `v: '${{ [("a b&c" | @uri), (.body.tags | @csv), @base64 "x\(.body.first)", ("QWRh" | @base64d), (.saved | @json)] }}'`,
			`["a%20b%26c","\"x\",\"y\",\"z\"","xQWRh","Ada","{\"job\":\"j1\",\"other\":\"o\"}"]`},
		{"sorting", `v: '${{ .body.items | [(sort_by(.n) | map(.n)), (group_by(.id) | map(length)), (unique_by(.id) | map(.id)), min_by(.n).n, max_by(.n).n] }}'`,
			`[[1,2,3],[1,2],["a","b"],1,3]`},
		{"lists", `v: '${{ .body.tags | [join("-"), add, index("y"), contains(["x"]), (["x"] | inside(["x", "q"])), reverse[0], nth(1), first, last, IN(["x","y","z"]), any(. == "z"), (add(.[])) ] }}'`,
			`["x-y-z","xyz",1,true,true,"z","y","x","z",true,true,"xyz"]`},
		{"index by key", `v: '${{ .body.items | INDEX(.id) | map_values(.n) }}'`, `{"a":1,"b":3}`},
		{"regular expressions", `v: '${{ [("ab12c3" | gsub("[0-9]+"; "#")), ("ab12" | sub("(?<n>[0-9])"; "<\(.n)>")), ("x" | test("X"; "i")), ("a1b2" | [scan("[a-z][0-9]")]), ("k=v" | capture("(?<k>.)=(?<v>.)")), ("a1b22c" | [splits("[0-9]+")]), ("a, b" | split(", *"; null)), ("äbc" | [match("b|c"; "g").offset])] }}'`,
			`["ab#c#","ab<1>2",true,["a1","b2"],{"k":"k","v":"v"},["a","b","c"],["a","b"],[1,2]]`},
		{"more regular expressions", `v: '${{ [("aXbX" | sub("X"; "-"; "g")), ("aXbX" | sub("X"; "-\("+")")), ("aXbX" | sub("X"; "")), ("aXbX" | gsub("x"; "é"; "i")), ("aXbX" | gsub("(?<x>X)"; .x * 2)), ("" | gsub("a"; "b")), ("abc" | gsub(""; "-")), ("ab" | [match("(a)(x)?").captures[].offset]), ("ab" | test(["B", "i"])), ("a1" | [scan("(.)(.)")])] }}'`,
			`["a-b-","a-+bX","abX","aébé","aXXbXX","","-a-b-c-",[0,-1],true,[["a","1"]]]`},
		{"dates in UTC", `v: '${{ [("2026-01-02T03:04:05Z" | fromdate), (0 | todate), (86400 | strftime("%Y-%m-%d"))] }}'`, `[1767323045,"1970-01-01T00:00:00Z","1970-01-02"]`},
		{"own functions", `v: '${{ def add(a; b): a + b; def twice(f): f | f; add(1; 2) | twice(. * 2) }}'`, `12`},
		{"variables", `v: '${{ .body.items as [{id: $a}, {n: $b}] | {$a, $b} }}'`, `{"a":"b","b":1}`},
		{"reduce and foreach", `v: '${{ [reduce .body.items[].n as $n (0; . + $n), [foreach (1, 2) as $n (0; . + $n; [$n, .])]] }}'`, `[6,[[1,1],[2,3]]]`},
		{"limits", `v: '${{ [limit(3; repeat(1)), first(range(10; 0; -1)), ([range(5)] | .[2:4])[], (label $f | 1, break $f)] }}'`, `[1,1,1,10,2,3,1]`},
		{"try", `v: '${{ [try error("x") catch ., (.body.first.x? // "d"), (try (1 / 0) catch "zero")] }}'`, `["x","d","zero"]`},
		{"paths as data", `v: '${{ .saved | [[paths], getpath(["job"]), setpath(["job"]; 1), pick(.other), delpaths([["job"]])] }}'`,
			`[[["job"],["other"]],"j1",{"job":1,"other":"o"},{"other":"o"},{"other":"o"}]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			scope := testScope(t)
			v := compiled(t, node(t, tt.yaml))
			got, err := v.JSON(scope)
			if err != nil || string(got) != tt.want {
				t.Errorf("JSON\n got %s, %v\nwant %s", got, err, tt.want)
			}
			data, err := v.Eval(scope)
			if want := decode(t, tt.want); err != nil || !reflect.DeepEqual(data, want) {
				t.Errorf("Eval\n got %#v, %v\nwant %#v", data, err, want)
			}
			if !reflect.DeepEqual(scope, testScope(t)) {
				t.Error("the scope has changed")
			}
		})
	}
}

func TestEvalErrors(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"null interpolated", "a${{ .body.none }}", "expected a string, a number or a boolean, got null"},
		{"object interpolated", "a${{ .body.address }}", "got the object {"},
		{"list interpolated", "a${{ .body.tags }}", "got the list ["},
		{"nothing interpolated", "a${{ empty }}", "gave no value to insert"},
		{"two values", "${{ .body.tags[] }}", `gives more than one value, the string "x" and the string "y"`},
		{"an error after the first", "${{ 1, error(\"later\") }}", "later"},
		{"path into a string", "${{ .body.first.x }}", `expected an object with "x" in it, got the string "Ada"`},
		{"index of an object", "${{ .body[0] }}", "expected a list to take item 0 of, got the object"},
		{"wrong type", "${{ .body.none | ascii_downcase }}", "ascii_downcase cannot be applied to: null"},
		{"adding apples", `${{ .body.first + 1 }}`, `cannot add the string "Ada" and the number 1`},
		{"division by zero", `${{ 1 / (.body.small - 7) }}`, "cannot divide by zero"},
		{"remainder of zero", `${{ 1 % 0 }}`, "cannot divide by zero"},
		{"no number", "${{ infinite }}", "not a number in JSON"},
		{"not a number", "${{ nan }}", "not a number in JSON"},
		{"own error", `${{ error("no consent") }}`, "no consent"},
		{"own error with data", `${{ error({a: .body}) }}`, `{"a":{"`},
		{"regular expression from data", `${{ .body.first as $f | $f | test($f + "(") }}`, "invalid regular expression"},
		{"flags from data", `${{ .body.first | test("a"; .) }}`, `unknown flag "A"`},
		{"two replacements", `${{ "a" | sub("a"; "b", "c") }}`, "a replacement must give exactly one value"},
		{"pattern of a number", `${{ .body.small | test("x") }}`, "expected a string to match, got the number 7"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var report yamlsrc.Report
			v := CompileValue(quotedNode(tt.text), allRoots, &report)
			if err := report.Err(); err != nil {
				t.Fatal(err)
			}
			_, err := v.Eval(testScope(t))
			var fault *Error
			if !errors.As(err, &fault) || !strings.Contains(fault.Message, tt.want) {
				t.Fatalf("got %v, want %s", err, tt.want)
			}
			if fault.Path != "v" || fault.Expr == "" || !strings.Contains(tt.text, fault.Expr) {
				t.Errorf("told as %+v", fault)
			}
			if _, err := v.JSON(testScope(t)); err == nil {
				t.Error("JSON gives no error")
			}
		})
	}
}

func TestErrorsDoNotDumpData(t *testing.T) {
	scope := testScope(t)
	scope["body"].(map[string]any)["first"] = strings.Repeat("secret ", 10_000)
	for _, text := range []string{
		"${{ .body.first.x }}", "${{ .body.first + 1 }}", "${{ error(.body.first) }}", "${{ error(.body) }}", "a${{ .body }}",
		"${{ .body.first | fromjson }}", "${{ .body.first, .body.first }}", "${{ .body.first | tonumber }}", `${{ {} | has(.x) }}`,
		"${{ .body.first | test(.) | error }}", "${{ [.body.first] | implode }}",
	} {
		_, err := compiled(t, quotedNode(text)).Eval(scope)
		if err == nil || len(err.Error()) > 400 {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestEmptyAtTheTop(t *testing.T) {
	v := compiled(t, quotedNode("${{ empty }}"))
	if _, err := v.Eval(testScope(t)); !errors.Is(err, ErrEmpty) {
		t.Errorf("Eval: %v", err)
	}
	if _, err := v.JSON(testScope(t)); !errors.Is(err, ErrEmpty) {
		t.Errorf("JSON: %v", err)
	}
}
