package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"headgate/recipes"
)

// example finds the route file that a recipe's page shows.
var example = regexp.MustCompile("(?s)```yaml\n(targets:\n  ([a-z]+):\n.*?)```")

// use writes a configuration that uses a recipe the way its page shows, with its tests.
func use(t *testing.T, r *recipes.Recipe) (dir string) {
	t.Helper()
	shown := example.FindSubmatch(r.README)
	if shown == nil {
		t.Fatalf("the page of %s shows no targets", r.Name)
	}
	dir = t.TempDir()
	for name, text := range map[string]string{
		"headgate.yaml":    "admin: {token: {env: T}}\nroutes: [routes.yaml]\nroutes_may_read: {env: ['*']}\n",
		"routes.yaml":      string(shown[1]) + "routes: [{name: records, match: POST /records, auth: none, targets: {" + string(shown[2]) + ": }}]\n",
		"recipe_test.yaml": string(r.Tests()),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// command runs a command line and gives what it prints.
func command(t *testing.T, args ...string) (string, error) {
	t.Helper()
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetArgs(args)
	err := root.Execute()
	return out.String(), err
}

// Each recipe does what its page says, in the way people would test it.
func TestRecipes(t *testing.T) {
	for _, r := range recipes.All() {
		t.Run(r.Name, func(t *testing.T) {
			dir := use(t, r)
			out, err := command(t, "test", "-c", filepath.Join(dir, "headgate.yaml"), filepath.Join(dir, "recipe_test.yaml"))
			if err != nil {
				t.Errorf("%v:\n%s", err, out)
			}
			out, err = command(t, "check", "-c", filepath.Join(dir, "headgate.yaml"))
			if err != nil || strings.Contains(out, "warning") {
				t.Errorf("it does not go with the defaults of the operator's file: %v\n%s", err, out)
			}
			out, err = command(t, "explain", "-c", filepath.Join(dir, "headgate.yaml"), "POST", "/records", "-d", `{"id":"1"}`)
			if err != nil || !strings.Contains(out, "https://") {
				t.Errorf("explain: %v\n%s", err, out)
			}
			if n := bytes.Count(r.Tests(), []byte("\n  - name: ")); n < 3 {
				t.Errorf("%d tests are few: what is taken, what is refused, and what vendors do besides", n)
			}
			if lines := bytes.Count(r.README, []byte("\n")); lines > 24 {
				t.Errorf("its page has %d lines: too long to be read", lines)
			}
		})
	}
}

func TestRecipesCommand(t *testing.T) {
	out, err := command(t, "recipes")
	if err != nil || len(strings.Split(strings.TrimSpace(out), "\n")) != len(recipes.All()) || !strings.Contains(out, "webhook") || !strings.Contains(out, "url*, secret*") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = command(t, "recipes", "show", "webhook")
	if err != nil || !strings.HasPrefix(out, "# webhook\n") || !strings.Contains(out, "\nrecipes/webhook/recipe.yaml:\n\nsummary: ") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = command(t, "recipes", "show", "webhook", "--yaml")
	if want := recipes.Find("webhook").YAML; err != nil || out != string(want) {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err = command(t, "recipes", "show", "webhok"); err == nil || !strings.Contains(err.Error(), `did you mean "webhook"?`) {
		t.Error(err)
	}
}
