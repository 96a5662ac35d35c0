package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const completedRoutes = `
auth: {mobile: {jwt: {issuer: i, audience: a, key: {env: COMPLETED_SECRET}}}}
targets:
  crm: {url: "${COMPLETED_SECRET}", nonsense: 1}
  billing: {url: http://127.0.0.1}
routes:
  - {name: order-placed, match: POST /orders/:id, targets: {crm: }}
  - {name: order-read, match: GET /orders/:id}
`

func TestCompletion(t *testing.T) {
	const secret = "a-secret-of-the-environment"
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"COMPLETED_SECRET", "HEADGATE_TOKEN", "HEADGATE_ADMIN_TOKEN"} {
		t.Setenv(name, secret)
	}
	for name, text := range map[string]string{
		"headgate.yaml":     "routes: [routes.yaml]\npublic_url: ${COMPLETED_SECRET}\nno_such_key: 1\n",
		"routes.yaml":       completedRoutes,
		"other/other.yaml":  "routes: [own.yaml]\n",
		"other/own.yaml":    "targets: {elsewhere: {}}\n",
		"broken.yaml":       "routes: [",
		"norouteshere.yaml": "routes: [missing/*.yaml]\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct{ line, want string }{
		{"serve --role ", "all gateway worker :4"},
		{"serve -c ", "yaml yml :8"},
		{"schema --dir ", ":16"},
		{"schema ", "headgate routes tests :4"},
		{"schema routes ", ":4"},
		{"test ", "yaml yml :8"},
		{"test one_test.yaml ", "yaml yml :8"},
		{"test --junit ", ":0"},
		{"explain ", "GET POST PUT PATCH DELETE :4"},
		{"explain POST ", "/orders/:id :4"},
		{"explain post ", "/orders/:id :4"},
		{"explain PUT ", ":4"},
		{"explain POST -d ", ":0"},
		{"explain POST /orders/7 ", ":4"},
		{"deadletters list --target ", "billing crm :4"},
		{"deadletters list --route ", "order-placed order-read :4"},
		{"deadletters replay trk_1 ", "billing crm :4"},
		{"deadletters replay ", ":4"},
		{"deadletters list --token ", ":4"},
		{"deadletters list --url ", ":4"},
		{"token --auth ", "mobile :4"},
		{"token --sub ", ":4"},
		{"token -c other/other.yaml --auth ", ":4"},
		{"explain -c other/other.yaml POST ", ":4"},
		{"explain -c broken.yaml POST ", ":4"},
		{"explain -c norouteshere.yaml POST ", ":4"},
		{"explain -c missing.yaml POST ", ":4"},
		{"tracking ", ":4"},
		{"pause ", "billing crm :4"},
		{"targets ", "billing crm :4"},
		{"loglevel ", "debug info warn error :4"},
		{"tracking --token ", ":4"},
		{"version ", ":4"},
	} {
		out, err := command(t, append([]string{"__completeNoDesc"}, strings.Split(test.line, " ")...)...)
		if err != nil {
			t.Errorf("%s: %v", test.line, err)
		}
		if got := strings.Join(strings.Fields(out), " "); got != test.want {
			t.Errorf("headgate %s<TAB> offers %q, want %q", test.line, got, test.want)
		}
		if strings.Contains(out, secret) {
			t.Errorf("headgate %s<TAB> shows a secret: %s", test.line, out)
		}
	}
	// The shells leave out what does not begin with what is typed.
	out, err := command(t, "__complete", "recipes", "show", "")
	if err != nil || !strings.Contains(out, "\ncustomerio\tCustomer.io ") {
		t.Errorf("recipes show <TAB>: %v\n%s", err, out)
	}
	out, err = command(t, "__completeNoDesc", "deadletters", "list", "--reason", "")
	if err != nil || !strings.HasPrefix(out, "timeout\n") {
		t.Errorf("deadletters list --reason <TAB>: %v\n%s", err, out)
	}
}

// TestCompletionsKnowEveryCommand: what a command takes has to be said, and nothing is
// said of what is not there.
func TestCompletionsKnowEveryCommand(t *testing.T) {
	known := newCompletions()
	argument := regexp.MustCompile(`\b[A-Z]{2,}|\{\w|\[\w`)
	flags, commands := map[string]bool{}, map[string]bool{}
	each(newRoot(), func(c *cobra.Command) {
		path := strings.TrimPrefix(c.CommandPath(), "headgate ")
		commands[path] = true
		said := known.args[path] != nil || known.rest[path] != nil
		if takes := argument.MatchString(strings.TrimPrefix(c.Use, c.Name())); takes && !said {
			t.Errorf("newCompletions does not say what the arguments of `headgate %s %s` may be", path, c.Use)
		}
		c.Flags().VisitAll(func(f *pflag.Flag) { flags[f.Name] = true })
	})
	for name := range known.flags {
		if !flags[name] {
			t.Errorf("newCompletions knows a flag --%s that no command has", name)
		}
	}
	for _, paths := range []map[string]bool{keysIn(known.args), keysIn(known.rest)} {
		for path := range paths {
			if !commands[path] {
				t.Errorf("newCompletions knows a command %q that is not there", path)
			}
		}
	}
	for _, name := range schemaNames {
		if _, err := command(t, "schema", name); err != nil {
			t.Errorf("schema %s is offered: %v", name, err)
		}
	}
}

func keysIn[V any](m map[string]V) map[string]bool {
	keys := map[string]bool{}
	for key := range m {
		keys[key] = true
	}
	return keys
}
