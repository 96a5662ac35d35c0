package cli

import (
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
		return writePages(*dir, pages)
	}
	return c
}
