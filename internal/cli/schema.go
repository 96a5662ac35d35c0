package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"headgate/config"
	"headgate/internal/app"
	"headgate/internal/routetests"
	"headgate/routes"
)

// schemaNames are the files that have a schema.
var schemaNames = []string{"headgate", "routes", "tests"}

func newSchema() *cobra.Command {
	c := &cobra.Command{
		Use:   "schema {headgate|routes|tests}",
		Short: "Print the JSON Schema of a file, for editors",
		Long: "Prints the JSON Schema of headgate.yaml, of route files or of files of tests. With --dir\n" +
			"all are written there as headgate.schema.json, routes.schema.json and tests.schema.json.",
		Example: "  headgate schema routes > routes.schema.json\n  headgate schema --dir schemas",
	}
	dir := c.Flags().String("dir", "", "write all schemas into this folder")
	c.RunE = func(c *cobra.Command, args []string) error {
		makers := map[string]func() ([]byte, error){
			"headgate": config.Schema,
			"routes":   func() ([]byte, error) { return routes.Schema(app.Builtin()) },
			"tests":    routetests.Schema,
		}
		if *dir != "" {
			for name, schema := range makers {
				text, err := schema()
				if err != nil {
					return err
				}
				path := filepath.Join(*dir, name+".schema.json")
				if err := os.WriteFile(path, text, 0o644); err != nil { //nolint:gosec // a schema is public
					return fmt.Errorf("write schema: %w", err)
				}
			}
			return nil
		}
		if len(args) != 1 || makers[args[0]] == nil {
			return usagef("say which schema: headgate schema headgate, headgate schema routes or headgate schema tests")
		}
		text, err := makers[args[0]]()
		if err != nil {
			return err
		}
		_, err = c.OutOrStdout().Write(text)
		return err
	}
	return c
}
