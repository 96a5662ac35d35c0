package routetests

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"headgate/config/yamlsrc"
	"headgate/dispatch/target"
)

const head = "tests:\n- name: a\n  request: {method: POST, path: /a}\n"

func TestProblems(t *testing.T) {
	calls := func(text string) string { return head + "  targets: {crm: {calls: [" + text + "]}}\n" }
	tests := map[string]struct{ text, want string }{
		"no tests":              {"tests: []\n", "t.yaml:1:8: the file has no test (tests)"},
		"unknown key":           {head + "  refuse: 422\n", `t.yaml:4:3: unknown key "refuse"`},
		"looks at nothing":      {head, `t.yaml:2:3: the test "a" looks at nothing`},
		"refused and targets":   {head + "  refused: 422\n  skipped: [crm]\n", "t.yaml:4:12: a request that is refused goes to no target"},
		"refused with 200":      {head + "  refused: 200\n", "200 is no status of a refusal"},
		"same name":             {head + "  refused: 422\n" + strings.TrimPrefix(head, "tests:\n") + "  refused: 422\n", `t.yaml:5:3: the name "a" is taken by the test in line 2`},
		"no path":               {strings.Replace(head, "/a", "a", 1) + "  refused: 422\n", `"a" is no path of a request`},
		"empty target":          {head + "  targets: {crm: }\n", "nothing is said about the target"},
		"no answer":             {calls("{expect: {method: PUT}}"), `"answer" is missing`},
		"empty answer":          {calls("{answer: {}}"), "an answer is one of status, timeout and refused"},
		"answer of null":        {calls("{answer: }"), "the answer is empty"},
		"two answers":           {calls("{answer: {status: 200, timeout: true}}"), "an answer is one of status, timeout and refused"},
		"status 100":            {calls("{answer: {status: 100}}"), "100 is no status of an answer"},
		"body of a time-out":    {calls("{answer: {timeout: true, body: x}}"), "without a status there is no answer to have a body or headers"},
		"two bodies answered":   {calls("{answer: {status: 200, json: 1, body: x}}"), "an answer has one body"},
		"two bodies, one coded": {calls("{answer: {status: 200, body: x, base64: eA==}}"), "an answer has one body"},
		"no Base64":             {calls("{answer: {status: 200, base64: x}}"), "the body is no Base64"},
		"two bodies expected":   {calls("{expect: {json: 1, body: x}, answer: {status: 200}}"), "a call has one body"},
		"header of a list":      {calls("{expect: {headers: {X-A: [a]}}, answer: {status: 200}}"), "X-A should be a text, or null for a header that is not sent"},
		"repeated in the midst": {calls("{answer: {status: 200}, repeat: true}, {answer: {status: 200}}"), "after a call that is repeated none follows"},
		"unknown state":         {head + "  targets: {crm: {states: [succeded]}}\n", `"succeded" is no state`},
		"outcome not final":     {head + "  targets: {crm: {outcome: {state: waiting}}}\n", `"waiting" is no state`},
		"unknown reason":        {head + "  targets: {crm: {outcome: {state: failed, reason: timeouts}}}\n", `"timeouts" is no reason`},
		"empty outcome":         {head + "  targets: {crm: {outcome: }}\n", "the outcome is empty"},
		"outcome and outcomes":  {head + "  targets: {crm: {outcome: {state: failed}, outcomes: [{state: failed}]}}\n", "outcome is for every record, outcomes is for each"},
		"unknown target":        {head + "  targets: {cmr: {outcome: {state: failed}}}\n", `t.yaml:4:13: unknown target "cmr" (tests[0].targets.cmr)`},
		"unknown skipped":       {head + "  skipped: [crm, cmr]\n", `t.yaml:4:18: unknown target "cmr" (tests[0].skipped[1])`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var report yamlsrc.Report
			if f := parse("t.yaml", []byte(tt.text), &report); f != nil {
				f.CheckTargets(map[string]*target.Plan{"crm": nil}, &report)
			}
			err := report.Err()
			if err == nil || report.Len() != 1 || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "hint: ") {
				t.Errorf("got %v\nwant %q alone, with a hint", err, tt.want)
			}
		})
	}
}

func TestLookup(t *testing.T) {
	f := &File{name: "t.yaml", Env: map[string]string{"A": "own", "EMPTY": ""}}
	env := f.Lookup(func(name string) (string, error) {
		if name == "A" || name == "B" || name == "EMPTY" {
			return "outside", nil
		}
		return "", errors.New("it is not set")
	})
	for name, want := range map[string]string{"A": "own", "B": "outside", "EMPTY": ""} {
		if got, err := env(name); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
	_, err := env("C")
	var hinted interface{ Hint() string }
	if !errors.As(err, &hinted) || hinted.Hint() != "set C, or add env: {C: …} to t.yaml" || err.Error() != "it is not set" {
		t.Errorf("C: %v", err)
	}
}

// TestSchema holds the schema to the files: what Load takes, an editor takes, too.
func TestSchema(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("tests.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("tests.json")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("../../examples/quickstart/routes/profiles_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		yaml  string
		valid bool
	}{
		"the example":    {string(example), true},
		"headers":        {head + "  targets: {crm: {calls: [{expect: {headers: {A: null, B: 1}}, answer: {status: 200}}], within: 1h}}\n", true},
		"unknown key":    {head + "  refuse: 422\n", false},
		"no name":        {"tests: [{request: {method: POST, path: /a}, refused: 422}]\n", false},
		"no answer":      {head + "  targets: {crm: {calls: [{expect: {}}]}}\n", false},
		"refused 200":    {head + "  refused: 200\n", false},
		"no state":       {head + "  targets: {crm: {outcome: {reason: timeout}}}\n", false},
		"answers no 100": {head + "  targets: {crm: {calls: [{answer: {status: 100}}]}}\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := json.Marshal(node(t, tc.yaml))
			if err != nil {
				t.Fatal(err)
			}
			value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(value); (err == nil) != tc.valid {
				t.Errorf("valid %v, want %v: %v", err == nil, tc.valid, err)
			}
			var report yamlsrc.Report
			if f := parse("t.yaml", []byte(tc.yaml), &report); (f != nil) != tc.valid {
				t.Errorf("loaded %v, want %v: %v", f != nil, tc.valid, report.Err())
			}
		})
	}
}
