package routes

import (
	"bytes"
	"strings"
	"testing"

	"headgate/config/secret"
	"headgate/config/yamlsrc"
	"headgate/dispatch/target"
)

// loadTarget loads one target with a route to it. Secrets may be read from OPEN_*.
func loadTarget(text string) (*target.Plan, []yamlsrc.Problem) {
	var report yamlsrc.Report
	file := "routes: [{name: a, match: POST /a, auth: none, targets: {t: }}]\ntargets:\n  t:\n" + text
	table := load([]source{{name: "routes.yaml", text: []byte(file)}}, Options{
		Registry: registry(new([]string)), Access: secret.Access{Env: []string{"OPEN_*"}},
		Env: func(string) (string, error) { return "https://env.example.com", nil },
	}, &report)
	if table == nil {
		return nil, report.Problems()
	}
	return table.Plans()["t"], nil
}

// What workers keep is a plain target: it compiles where recipes are not known.
func TestRecipeIsExpanded(t *testing.T) {
	plan, problems := loadTarget("    recipe: webhook\n    with: {url: \"${OPEN_BASE}\", secret: {env: OPEN_KEY}}\n    retry: {attempts: 3}\n")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if bytes.Contains(plan.Source, []byte("recipe")) || !bytes.Contains(plan.Source, []byte(`"url":"https://env.example.com"`)) || !bytes.Contains(plan.Source, []byte(`"attempts":3`)) {
		t.Errorf("%s", plan.Source)
	}
	if again, err := target.FromSource("t", plan.Source); err != nil || again.Hash != plan.Hash {
		t.Errorf("%+v, %v", again, err)
	}
	if refs := plan.SecretRefs(); len(refs) != 1 || refs[0].Env != "OPEN_KEY" {
		t.Errorf("%v", refs)
	}
}

// Every problem is told at a place in the user's own file.
func TestRecipeProblems(t *testing.T) {
	const with = "with: {url: 'https://a.example.com', secret: {env: OPEN_KEY}}\n"
	for text, want := range map[string]string{
		"    recipe: webhok\n":  `routes.yaml:4:13: there is no recipe "webhok" (targets.t.recipe)`,
		"    recipe: webhook\n": `routes.yaml:4:13: the recipe webhook needs "url" (targets.t.recipe)`,
		"    recipe: webhook\n    with: {url: 'https://a', secret: {env: CLOSED}}\n":        `routes.yaml:5:38: routes may not read the environment variable CLOSED (targets.t.auth.webhook.secret)`,
		"    recipe: webhook\n    with: {url: 'ftp://a', secret: {env: OPEN_KEY}}\n":        `routes.yaml:5:17: url should be absolute, with http or https (targets.t.url)`,
		"    recipe: webhook\n    " + with + "    limit: {rate: 1/s}\n":                     `routes.yaml:6:5: unknown key "limit" (targets.t.limit)`,
		"    recipe: webhook\n    " + with + "    put: /b\n":                                `routes.yaml:6:5: a second method: one call has one method (targets.t.put)`,
		"    recipe: webhook\n    " + with + "    retry: {max: 1s}\n":                       `routes.yaml:6:18: retry.max (1s) is less than retry.first (5s) (targets.t.retry.max)`,
		"    recipe: webhook\n    " + with + "    steps: [{name: a, post: /a, json: {}}]\n": `routes.yaml:4:13: "post" stands beside steps (recipes/webhook/recipe.yaml:13:3) (targets.t.post)`,
		"    with: {a: b}\n    url: https://a.example.com\n    post: /a\n":                  `routes.yaml:4:5: unknown key "with" (targets.t.with)`,
	} {
		_, problems := loadTarget(text)
		if len(problems) == 0 || !strings.HasPrefix(problems[0].String(), want+"\n") || !strings.HasPrefix(problems[0].Source, "    ") {
			t.Errorf("%s:\n got %v\nwant %s", text, problems, want)
		}
	}
}
