package transform

import (
	"reflect"
	"strings"
	"testing"

	"headgate/config/yamlsrc"
)

func TestProblems(t *testing.T) {
	tests := []struct{ name, text, message, hint string }{
		{"syntax", "${{ .body | }}", `the expression ".body |" is not valid`, "jqlang.org"},
		{"syntax with more behind", "${{ .a ++ }} and ${{ .body.b }}", `".a ++" is not valid`, ""},
		{"empty", "${{  }}", "the expression is empty", "write what it should give"},
		{"no end", "a ${{ .body", `the expression " .body" has no end`, "end it with }}"},
		{"braces do not match", "${{ {a: .body }}", "is not valid", ""},
		{"unknown name", "${{ .bdy.email }}", `unknown name .bdy in the expression ".bdy.email"`, `did you mean "body"?`},
		{"unknown name, bracketed", `${{ .["payload"] }}`, "unknown name .payload", "known here: body"},
		{"unknown name in an object", "${{ {boddy} }}", "unknown name .boddy", `"body"`},
		{"unknown name in a pattern", "${{ . as {qery: $q} | $q }}", "unknown name .qery", `"query"`},
		{"unknown name in a function", "${{ def f(g): g; f(.bodi) }}", "unknown name .bodi", `"body"`},
		{"unknown function", "${{ .body.email | ascii_lowercase }}", `unknown function "ascii_lowercase"`, `did you mean "ascii_downcase"?`},
		{"number of arguments", "${{ .body | has }}", "has cannot be called with no arguments", "has takes 1 argument"},
		{"several numbers of arguments", "${{ .body | range(1;2;3;4) }}", "range cannot be called with 4 arguments", "range takes 1 or 2 or 3 arguments"},
		{"unknown variable", "${{ $x }}", "variable not defined: $x", ""},
		{"unknown format", "${{ .body.email | @bas64 }}", "unknown format @bas64", `"base64"`},
		{"index far away", "${{ {} | .a[999999999] = 1 }}", "the index 999999999 is too large", "1000000"},
		{"regular expression", `${{ .body.email | test("(") }}`, "test: invalid regular expression", "regexp/syntax"},
		{"flag", `${{ .body.email | gsub("a"; "b"; "x") }}`, `unknown flag "x"`, ""},
		{"time", "${{ now }}", "now cannot be used in an expression", "take the time from the request"},
		{"time zone", "${{ 0 | localtime }}", "localtime cannot", "gmtime"},
		{"environment", "${{ env.HOME }}", "env cannot", "write ${NAME} outside"},
		{"environment variable", "${{ $ENV.HOME }}", "$ENV cannot", "write ${NAME} outside"},
		{"environment in an object", "${{ {$ENV} }}", "$ENV cannot", "write ${NAME} outside"},
		{"location", "${{ $__loc__ }}", `"$__loc__" cannot be used here`, ""},
		{"input", "${{ input }}", "input cannot", "there is one input"},
		{"inputs", "${{ [inputs] }}", "inputs cannot", "there is one input"},
		{"file name", "${{ input_filename }}", "input_filename cannot", ""},
		{"debug", "${{ .body | debug }}", "debug cannot", "headgate explain"},
		{"debug with a message", `${{ .body | debug("x") }}`, "debug cannot", "headgate explain"},
		{"stderr", "${{ .body | stderr }}", "stderr cannot", "headgate explain"},
		{"halt", "${{ halt }}", "halt cannot", "error("},
		{"halt with an error", "${{ halt_error(1) }}", "halt_error cannot", "error("},
		{"module", `${{ import "a" as a; . }}`, "modules cannot be used here", ""},
		{"the guards' own functions", "${{ .body | _hg_own }}", `unknown function "_hg_own"`, ""},
		{"the interpreter's own functions", "${{ _plus }}", "unknown function", ""},
		{"a guard redefined", "${{ def _hg_own: .; .body }}", "must not begin with _", ""},
		{"a variable of the rewriter", "${{ 1 as $__operand | 2 }}", "cannot be used here", ""},
		{"deep inside", "${{ .body | map({a: [if now then 1 else 2 end]}) }}", "now cannot", ""},
		{"in a string", `${{ "a\(now)" }}`, "now cannot", ""},
		{"in an update", `${{ .body | .a += now }}`, "now cannot", ""},
		{"in an index", `${{ .body.tags[now] }}`, "now cannot", ""},
		{"too long", "${{ " + strings.Repeat("1+", maxSource) + "1 }}", "longer than", ""},
		{"no body", "${{ def f: 1; }}", "is not valid", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var report yamlsrc.Report
			CompileValue(quotedNode(tt.text), allRoots, &report)
			problems := report.Problems()
			if len(problems) == 0 {
				t.Fatal("no problem")
			}
			p := problems[0]
			if !strings.Contains(p.Message, tt.message) || !strings.Contains(p.Hint, tt.hint) {
				t.Errorf("got %q, hint %q", p.Message, p.Hint)
			}
			if p.Line != 3 || p.Column != 5 || p.Path != "v" {
				t.Errorf("at %v, path %q", p.Pos, p.Path)
			}
			if len(p.Message) > 400 {
				t.Errorf("a message of %d bytes", len(p.Message))
			}
		})
	}
}

func TestEveryProblemIsReported(t *testing.T) {
	n := node(t, "v:\n  a: ${{ .bdy }}\n  b: ${{ now }}\n  c: [\"${{ .qery }} ${{ foo }}\"]\n  \"x${{ .body.k }}\": 1\n")
	var report yamlsrc.Report
	CompileValue(n, allRoots, &report)
	var got []int
	for _, p := range report.Problems() {
		got = append(got, p.Line)
	}
	if want := []int{2, 3, 4, 4, 5}; !reflect.DeepEqual(got, want) {
		t.Errorf("lines %v, want %v:\n%v", got, want, report.Err())
	}
}

func TestScalarsOnly(t *testing.T) {
	for _, yaml := range []string{"v: {a: 1}", "v: [1]", "v:"} {
		var report yamlsrc.Report
		CompileText(node(t, yaml), allRoots, &report)
		CompileBool(node(t, yaml), allRoots, &report)
		if report.Len() != 2 {
			t.Errorf("%s: %v", yaml, report.Err())
		}
	}
}

func TestFields(t *testing.T) {
	tests := []struct {
		text string
		want []string
		all  bool
	}{
		{"${{ .saved.job }}", []string{"job"}, false},
		{"/x/${{ .saved.job }}/${{ .saved.page.next }}?${{ .body.q }}", []string{"job", "page"}, false},
		{"${{ .saved }}", nil, true},
		{"${{ . }}", nil, true},
		{"${{ .body.x }}", nil, false},
		{"literal", nil, false},
		{`${{ .saved["job"] }}`, []string{"job"}, false},
		{"${{ .saved | .job }}", []string{"job"}, false},
		{"${{ .saved | {job, other: .page} }}", []string{"job", "page"}, false},
		{"${{ .saved as $s | $s.job }}", []string{"job"}, false},
		{"${{ .saved as $s | {$s} }}", nil, true},
		{"${{ .saved as {$job} | $job }}", []string{"job"}, false},
		{"${{ .saved as {job: {id: $i}} | $i }}", []string{"job"}, false},
		{"${{ .saved as [$a] | $a }}", nil, true},
		{"${{ . as {saved: {$job}} | $job }}", []string{"job"}, false},
		{"${{ (.saved // {}).job }}", []string{"job"}, false},
		{"${{ .saved? | .job? }}", []string{"job"}, false},
		{"${{ .saved | keys }}", nil, true},
		{"${{ .saved[] }}", nil, true},
		{"${{ .saved[.body.k] }}", nil, true},
		{"${{ .body[.saved.k] }}", []string{"k"}, false},
		{"${{ .saved | tojson }}", nil, true},
		{"${{ {a: .saved} }}", nil, true},
		{"${{ [.saved] }}", nil, true},
		{"${{ {saved} }}", nil, true},
		{"${{ .saved == null }}", nil, true},
		{"${{ .saved | select(.job) | .page }}", []string{"job", "page"}, false},
		{"${{ if .saved.job then .saved.a else .saved.b end }}", []string{"a", "b", "job"}, false},
		{`${{ "x\(.saved.job)" }}`, []string{"job"}, false},
		{`${{ @uri "x\(.saved.job)" }}`, []string{"job"}, false},
		{"${{ .body.list | map(.saved) }}", nil, false},
		{"${{ .body.list | map(. + 1) | length + .saved.n? }}", nil, false},
		{"${{ .saved.n as $n | .body.list | map(. + $n) }}", []string{"n"}, false},
		{"${{ reduce .body.list[] as $x (.saved.start; . + $x) }}", []string{"start"}, false},
		{"${{ reduce .body.list[] as $x (.saved; .job) }}", []string{"job"}, true},
		{"${{ [foreach .saved.list[] as $x (0; . + $x; [$x, .])] }}", []string{"list"}, false},
		{"${{ def f: .saved; f.job }}", []string{"job"}, false},
		{"${{ def f(g): g.job; f(.saved) }}", []string{"job"}, false},
		{"${{ def f($v): $v.job; f(.saved) }}", []string{"job"}, false},
		{"${{ def r: if . then .x | r else . end; .saved.job | r }}", []string{"job"}, false},
		{"${{ .saved | first(.job, .page) }}", []string{"job", "page"}, false},
		{"${{ first(.saved).job }}", []string{"job"}, false},
		{"${{ try .saved.job catch .saved }}", []string{"job"}, false},
		{"${{ .saved.a + .saved.b == -(.saved.c) and .saved.d }}", []string{"a", "b", "c", "d"}, false},
		{"${{ .saved.job = 1 }}", nil, true},
		{"${{ .. }}", nil, true},
		{"${{ any(.saved.list[]; .x) }}", []string{"list"}, false},
		{`${{ .body.t | gsub("a"; .saved) }}`, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			var report yamlsrc.Report
			v := CompileValue(quotedNode(tt.text), allRoots, &report)
			if err := report.Err(); err != nil {
				t.Fatal(err)
			}
			fields, all := v.Fields("saved")
			if all != tt.all || !all && !reflect.DeepEqual(fields, tt.want) {
				t.Errorf("got %v, %v", fields, all)
			}
		})
	}
}

func TestFieldsOfAMapping(t *testing.T) {
	v := compiled(t, node(t, `v: {a: "${{ .saved.z }}", b: [{c: "${{ .saved.a }}"}], d: "x${{ .saved.z }}"}`))
	if got, all := v.Fields("saved"); all || !reflect.DeepEqual(got, []string{"a", "z"}) {
		t.Errorf("got %v, %v", got, all)
	}
	if got, all := v.Fields("body"); all || got != nil {
		t.Errorf("body: %v, %v", got, all)
	}
}
