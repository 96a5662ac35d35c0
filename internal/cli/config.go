package cli

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"headgate/config/yamlsrc"
	"headgate/gateway/admin"
	"headgate/internal/app"
	"headgate/policies"
)

func newConfig() *cobra.Command {
	c := &cobra.Command{
		Use:     "config",
		Short:   "Show the configuration in force",
		Example: "  headgate config show",
	}
	c.AddCommand(newConfigShow())
	return c
}

func newConfigShow() *cobra.Command {
	c := &cobra.Command{
		Use:   "show",
		Short: "Show every key with its value, and what the route files came to",
		Long: "Asks a running process through its admin listener, or reads the files that -c names, without\n" +
			"any process. Keys that the file leaves out have their defaults. Secrets stand in it as where they\n" +
			"are kept. The same plan of a target in two processes means that they deliver alike.",
		Example: "  headgate config show\n  headgate config show -c headgate.yaml\n  headgate config show --json | jq .targets",
		Args:    noArgs,
	}
	ask := adminFlags(c)
	path := c.Flags().StringP("config", "c", "", "read this operator's file instead of asking a process")
	asJSON := c.Flags().Bool("json", false, "as JSON; default: YAML")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if c.Flags().Changed("config") {
			for _, name := range []string{"url", "token"} {
				if c.Flags().Changed(name) {
					return usagef("--%s is for asking a process, and --config reads files without one: leave one of the two out", name)
				}
			}
			return showFiles(c, *path, *asJSON)
		}
		accept := "application/yaml"
		if *asJSON {
			accept = "application/json"
		}
		got, err := ask().do(c.Context(), http.MethodGet, "/config", nil, map[string]string{"Accept": accept})
		if err != nil {
			return err
		}
		text := string(got.body)
		if *asJSON {
			text += "\n"
		}
		_, err = fmt.Fprint(c.OutOrStdout(), text)
		return err
	}
	return c
}

// showFiles shows what a process would go by that is started with these files.
func showFiles(c *cobra.Command, path string, asJSON bool) error {
	var report yamlsrc.Report
	conf, table := app.Load(path, policies.Deps{}, &report)
	if err := report.Err(); err != nil {
		return err
	}
	defer table.Close()
	effective := app.EffectiveOf(conf, table)
	if asJSON {
		return printJSON(c, effective)
	}
	text, err := admin.AsYAML(effective)
	if err != nil {
		return err
	}
	_, err = c.OutOrStdout().Write(text)
	return err
}
