package cli

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"headgate/config/yamlsrc"
	"headgate/internal/app"
	"headgate/internal/routetests"
	"headgate/policies"
	"headgate/routes"
)

func newTest() *cobra.Command {
	c := &cobra.Command{
		Use:   "test FILES…",
		Short: "Run the tests that were written for route files",
		Long: "Runs files of tests: what a request must become, call by call, and what a delivery comes\n" +
			"to when its backend answers in a given way. Routes, mappings, retries and polls are the\n" +
			"real ones; backends are scripted, time is fake, secrets are placeholders such as\n" +
			"secret:CRM_TOKEN, and nothing is sent. Exits 1 when a test fails, 2 when a file cannot be\n" +
			"read. docs/reference/tests.md lists the keys.",
		Example: "  headgate test routes/*_test.yaml\n" +
			"  headgate test -c headgate.yaml --junit report.xml routes/orders_test.yaml",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("name files of tests: %s routes/*_test.yaml", c.CommandPath())
			}
			return nil
		},
	}
	path := configFlag(c)
	junit := c.Flags().String("junit", "", "write the results to this file, too, as JUnit XML")
	c.RunE = func(c *cobra.Command, args []string) error {
		suites, err := runTests(c.Context(), *path, args)
		if err != nil {
			return &unreadableError{err}
		}
		passed := routetests.Print(c.OutOrStdout(), suites)
		if *junit != "" {
			text, err := routetests.JUnit(suites)
			if err != nil {
				return err
			}
			if err := os.WriteFile(*junit, text, 0o644); err != nil { //nolint:gosec // results of tests are no secret
				return fmt.Errorf("write results: %w", err)
			}
		}
		if !passed {
			return errReported
		}
		return nil
	}
	return c
}

// unreadableError says that nothing was run, since files have problems.
type unreadableError struct{ error }

// Unwrap gives the problems.
func (e *unreadableError) Unwrap() error { return e.error }

// runTests reads all files before it runs the first: all their problems are told at once.
func runTests(ctx context.Context, path string, names []string) ([]routetests.Suite, error) {
	var report yamlsrc.Report
	files := make([]*routetests.File, len(names))
	tables := tables{path: path, report: &report, known: map[string]*routes.Table{}}
	defer tables.close()
	of := make([]*routes.Table, len(names))
	for i, name := range names {
		if files[i] = routetests.Load(name, &report); files[i] == nil {
			continue
		}
		if of[i] = tables.of(files[i]); of[i] != nil {
			files[i].CheckTargets(of[i].Plans(), &report)
		}
	}
	if err := report.Err(); err != nil {
		return nil, err
	}
	suites := make([]routetests.Suite, len(names))
	for i, f := range files {
		suites[i] = routetests.Suite{File: names[i], Results: f.Run(ctx, of[i])}
	}
	return suites, nil
}

// tables loads the configuration once for each environment that files of tests declare.
type tables struct {
	path   string
	report *yamlsrc.Report
	known  map[string]*routes.Table // nil where there were problems
}

func (t *tables) of(f *routetests.File) *routes.Table {
	key := fmt.Sprintf("%q", f.Env)
	table, ok := t.known[key]
	if !ok {
		report := new(yamlsrc.Report)
		_, table = app.LoadWith(t.path, f.Lookup(yamlsrc.Environment), policies.Deps{}, report)
		t.known[key] = table
		t.report.Merge(report)
	}
	return table
}

func (t *tables) close() {
	for _, table := range t.known {
		if table != nil {
			table.Close()
		}
	}
}
