package recipes

import (
	"strings"
	"testing"

	"headgate/config/yamlsrc"
)

const sample = `summary: A sample
with:
  token: {description: Token., type: secret, required: true}
  list: {description: List., type: list}
  fields: {description: Fields., type: mapping}
  place: {description: Place., default: here}
target:
  url: https://api.example.com/$(place)
  auth: {bearer: $(token)}
  post: /batch
  json: {lists: $(list), fields: $(fields), key: "${{ .payload[$(place)] }}"}
  batch: {max_records: 100, max_bytes: 5MB, linger: 1s}
  retry: {attempts: 3, on: [409]}
`

func problems(report *yamlsrc.Report) string {
	var out []string
	for _, p := range report.Problems() {
		out = append(out, p.Pos.String()+": "+p.Message+"; "+p.Hint)
	}
	return strings.Join(out, "\n")
}

// expand uses the sample in a target and gives its text, or the problems.
func expand(t *testing.T, target string) string {
	t.Helper()
	var report yamlsrc.Report
	r := parse("sample", []byte(sample), &report)
	n := yamlsrc.Parse("routes.yaml", []byte(target), &report)
	out := r.Expand(n, &report)
	if report.Len() > 0 {
		if over := strings.Contains(target, "101"); (out != nil) != over {
			t.Errorf("there are problems; target: %v, want one only where its values are right", out)
		}
		return problems(&report)
	}
	text, err := out.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestExpand(t *testing.T) {
	const rest = `,"url":"https://api.example.com/here"`
	for target, want := range map[string]string{
		"{recipe: sample, with: {token: {env: T}}}": `{"auth":{"bearer":{"env":"T"}},"batch":{"linger":"1s","max_bytes":"5MB","max_records":100},` +
			`"json":{"key":"${{ .payload[\"here\"] }}"},"post":"/batch","retry":{"attempts":3,"on":[409]}` + rest + `}`,
		"{recipe: sample, with: {token: {env: T}, list: [1], fields: {a: b}, place: 'x\"y'}, url: https://b.example.com, auth: none, batch: {max_records: 7}, retry: {on: [410]}, json: {}, limits: {rate: 1/s}}": `{"auth":"none","batch":{"linger":"1s","max_bytes":"5MB","max_records":7},` +
			`"json":{},"limits":{"rate":"1/s"},"post":"/batch","retry":{"attempts":3,"on":[410]},"url":"https://b.example.com"}`,
		"{recipe: sample, with: {token: {file: /t}, place: 'x\"y', list: []}, post: /other}": `{"auth":{"bearer":{"file":"/t"}},"batch":{"linger":"1s","max_bytes":"5MB","max_records":100},` +
			`"json":{"key":"${{ .payload[\"x\\\"y\"] }}","lists":[]},"post":"/other","retry":{"attempts":3,"on":[409]},"url":"https://api.example.com/x\"y"}`,
	} {
		if got := expand(t, target); got != want {
			t.Errorf("%s:\n got %s\nwant %s", target, got, want)
		}
	}
	if again := expand(t, "{recipe: sample, with: {token: {env: T}}}"); !strings.Contains(again, "/here") {
		t.Error("a use of the recipe changed it: " + again)
	}
}

func TestExpandProblems(t *testing.T) {
	for target, want := range map[string]string{
		"{recipe: sample}": `routes.yaml:1:10: the recipe sample needs "token"; add with: {token: {env: NAME}}. Token.`,
		"{recipe: sample, with: {tokn: {env: T}, token: {env: T}}}":                                        `routes.yaml:1:25: the recipe sample has no parameter "tokn"; did you mean "token"?`,
		"{recipe: sample, with: {token: abc}}":                                                             `routes.yaml:1:32: a secret must not stand in the file in clear; write {env: NAME} or {file: /path}`,
		"{recipe: sample, with: [token]}":                                                                  `routes.yaml:1:24: with should be a mapping, such as with: {token: …}, not a list; write a mapping, such as with: {token: …}`,
		"{recipe: sample, with: {token: {env: T}, list: a}}":                                               `routes.yaml:1:48: list should be a list, not "a"; write a list`,
		"{recipe: sample, with: {token: {env: T}, fields: [a]}}":                                           `routes.yaml:1:50: fields should be a mapping, not a list; write a mapping`,
		"{recipe: sample, with: {token: {env: T}, place: [a]}}":                                            `routes.yaml:1:49: place should be a text, not a list; write a text`,
		"{recipe: sample, with: {token: {env: T}, place: '${{ .x }}'}, json: {}}":                          `routes.yaml:1:49: place becomes a part of a longer text and takes no expressions; write the text itself, without $` + "\n" + `routes.yaml:1:49: place becomes a part of an expression and takes none; write the value itself`,
		"{recipe: sample, with: {token: {env: T}}, batch: {max_records: 101, max_bytes: 6MB, linger: 2s}}": `routes.yaml:1:64: 101 is over the recipe's batch limit of 100; write 100 or less; headgate recipes show sample says what the limit is from` + "\n" + `routes.yaml:1:80: 6MB is over the recipe's batch limit of 5MB; write 5MB or less; headgate recipes show sample says what the limit is from`,
	} {
		if got := expand(t, target); got != want {
			t.Errorf("%s:\n got %s\nwant %s", target, got, want)
		}
	}
}

// Whoever writes chunks anew keeps the recipe's limits of them.
func TestChunksOfRecipeAreBounded(t *testing.T) {
	for chunk, want := range map[string]string{
		"{into: step, max_records: 10, max_bytes: 1MB}": "",
		"{into: job, max_records: 11, max_bytes: 1MB}":  "11 is over the recipe's batch limit of 10",
		"{into: job, max_bytes: 1MB}":                   "chunk leaves out the recipe's max_records",
	} {
		var report yamlsrc.Report
		parse("sample", []byte(strings.Replace(sample, "linger: 1s}", "linger: 1s, chunk: {into: job, max_records: 10, max_bytes: 1MB}}", 1)), &report).
			Expand(yamlsrc.Parse("routes.yaml", []byte("{recipe: sample, with: {token: {env: T}}, batch: {chunk: "+chunk+"}}"), &report), &report)
		if got := problems(&report); !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("%s: %q, want %q", chunk, got, want)
		}
	}
}

// A secret is not shown, also where it stands under a wrong name.
func TestProblemsHideSecrets(t *testing.T) {
	for _, target := range []string{"{recipe: sample, with: {token: s3cret}}", "{recipe: sample, with: {token: {env: T}, tokn: s3cret}}"} {
		if got := expand(t, target); strings.Contains(got, "s3cret") {
			t.Error(got)
		}
		var report yamlsrc.Report
		parse("sample", []byte(sample), &report).Expand(yamlsrc.Parse("routes.yaml", []byte(target), &report), &report)
		if text := report.Err().Error(); strings.Contains(text, "s3cret") {
			t.Error(text)
		}
	}
}

func TestNamed(t *testing.T) {
	var report yamlsrc.Report
	use := func(text string) *Recipe { return Named(yamlsrc.Parse("routes.yaml", []byte(text), &report), &report) }
	if r := use("{recipe: webhook}"); r == nil || r.Name != "webhook" || report.Len() > 0 {
		t.Errorf("%+v %v", r, report.Err())
	}
	if use("{url: x}") != nil || use("{recipe: webhok}") != nil || use("{recipe: {a: b}}") != nil || use("{recipe: zzzzzzzzz}") != nil {
		t.Error("there is a recipe")
	}
	want := `routes.yaml:1:10: recipe should be the name of a recipe, such as ` + Names()[0] + `, not a mapping; write the name of a recipe, such as ` + Names()[0] + "\n" +
		`routes.yaml:1:10: there is no recipe "webhok"; did you mean "webhook"? headgate recipes lists them` + "\n" +
		`routes.yaml:1:10: there is no recipe "zzzzzzzzz"; headgate recipes lists them`
	lines := strings.Split(problems(&report), "\n")
	for _, line := range strings.Split(want, "\n") {
		if !strings.Contains(strings.Join(lines, "\n"), line) {
			t.Errorf("%s\nis not in\n%s", line, strings.Join(lines, "\n"))
		}
	}
}

// A recipe that is wrong does not get into the program.
func TestParseProblems(t *testing.T) {
	for change, want := range map[[2]string]string{
		{"summary: A sample\n", ""}:                        `"summary" is missing`,
		{"description: List., type: list", "type: list"}:   `"description" is missing`,
		{"type: mapping", "type: map"}:                     `there is no type "map"`,
		{"default: here", "default: [here]"}:               "default should be a text",
		{"default: here", "default: here, required: true"}: "what is required has no default",
		{"lists: $(list)", "lists: 1"}:                     "the parameter list has no place",
		{"$(fields)", "$(field)"}:                          "there is no parameter $(field)",
		{"/$(place)", "/$(list)"}:                          "list should be a text",
		{".payload[$(place)]", `.payload[\"$(place)\"]`}:   "$(place) stands within a string of an expression",
	} {
		var report yamlsrc.Report
		parse("sample", []byte(strings.Replace(sample, change[0], change[1], 1)), &report)
		if got := problems(&report); !strings.Contains(got, want) || !strings.HasPrefix(got, "recipes/sample/recipe.yaml:") {
			t.Errorf("%s for %s: got %q, want %q", change[1], change[0], got, want)
		}
	}
}
