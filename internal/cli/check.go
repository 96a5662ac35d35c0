package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"headgate/config/yamlsrc"
	"headgate/internal/app"
	"headgate/policies"
)

func newCheck() *cobra.Command {
	c := &cobra.Command{
		Use:   "check",
		Short: "Report every problem of all files",
		Long: "Reads the operator's file and all route files it names, and reports every problem at\n" +
			"file:line:column with the line and a hint. Exits 1 when there is one. Warnings tell of\n" +
			"settings that do not go together; under strict: true they are errors. Nothing is\n" +
			"started and nothing is sent.",
		Example: "  headgate check -c headgate.yaml",
		Args:    noArgs,
	}
	path := configFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		var report yamlsrc.Report
		conf, table := app.Load(*path, policies.Deps{}, &report)
		if err := report.Err(); err != nil {
			return err
		}
		defer table.Close()
		for _, warning := range table.Warnings() {
			fmt.Fprintf(c.OutOrStdout(), "warning: %s\n", warning)
		}
		found := app.Findings(conf, table, app.RoleAll)
		for _, text := range found {
			fmt.Fprintf(c.OutOrStdout(), "warning: %s\n", text)
		}
		if len(found) > 0 && conf.Strict {
			return fmt.Errorf("%s under strict: true", count(len(found), "warning"))
		}
		fmt.Fprintf(c.OutOrStdout(), "%s: %s, %s: no problem found\n",
			*path, count(len(table.Routes()), "route"), count(len(table.Plans()), "target"))
		return nil
	}
	return c
}
