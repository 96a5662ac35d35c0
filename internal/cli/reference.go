package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"headgate/internal/cli/reference"
)

func newReference() *cobra.Command {
	c := &cobra.Command{
		Use:   "reference",
		Short: "Write the pages of docs/reference",
		Long: "Writes the reference pages, which are made from the code, into the folder of --dir.\n" +
			"Contributors run it through make generate.",
		Example: "  headgate reference --dir docs/reference",
		Args:    noArgs,
		Hidden:  true, // for those who change the code, not for those who run it
	}
	dir := c.Flags().String("dir", "", "write the pages into this folder")
	c.RunE = func(*cobra.Command, []string) error {
		if *dir == "" {
			return usagef("say where to: headgate reference --dir docs/reference")
		}
		// A root of its own: the running one has had cobra's own commands added.
		pages, err := reference.Pages(newRoot())
		if err != nil {
			return err
		}
		if err := os.MkdirAll(*dir, 0o755); err != nil { //nolint:gosec // documentation is public
			return fmt.Errorf("make folder of the reference: %w", err)
		}
		for name, text := range pages {
			if err := os.WriteFile(filepath.Join(*dir, name), text, 0o644); err != nil { //nolint:gosec // documentation is public
				return fmt.Errorf("write reference: %w", err)
			}
		}
		return nil
	}
	return c
}
