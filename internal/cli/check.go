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
			"file:line:column with the line and a hint. Exits 1 when there is one. Nothing is\n" +
			"started and nothing is sent.",
		Example: "  headgate check -c headgate.yaml",
		Args:    noArgs,
	}
	path := configFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		var report yamlsrc.Report
		_, table := app.Load(*path, policies.Deps{}, &report)
		if err := report.Err(); err != nil {
			return err
		}
		defer table.Close()
		fmt.Fprintf(c.OutOrStdout(), "%s: %s, %s: no problem found\n",
			*path, count(len(table.Routes()), "route"), count(len(table.Plans()), "target"))
		return nil
	}
	return c
}
