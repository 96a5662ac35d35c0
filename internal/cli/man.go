package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"headgate/internal/cli/reference"
)

func newMan() *cobra.Command {
	c := &cobra.Command{
		Use:   "man",
		Short: "Write the manual pages",
		Long: "Writes one manual page for each command into the folder of --dir, for packages. Their date\n" +
			"is SOURCE_DATE_EPOCH, in seconds since 1970; without it they have none. So the same binary\n" +
			"writes the same pages.",
		Example: "  headgate man --dir /usr/local/share/man/man1",
		Args:    noArgs,
		Hidden:  true, // for those who package it
	}
	dir := c.Flags().String("dir", "", "write the pages into this folder")
	c.RunE = func(*cobra.Command, []string) error {
		if *dir == "" {
			return usagef("say where to: headgate man --dir man")
		}
		day, err := sourceDate(os.Getenv("SOURCE_DATE_EPOCH"))
		if err != nil {
			return err
		}
		// A root of its own: the running one has had cobra's own commands added.
		return writePages(*dir, reference.Man(newRoot(), thisBuild().Version, day))
	}
	return c
}

// sourceDate gives the day that SOURCE_DATE_EPOCH names, empty for none.
func sourceDate(epoch string) (string, error) {
	if epoch == "" {
		return "", nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return "", fmt.Errorf("SOURCE_DATE_EPOCH is %q: write seconds since 1970, such as $(git log -1 --format=%%ct)", epoch)
	}
	return time.Unix(seconds, 0).UTC().Format(time.DateOnly), nil
}

// writePages writes documentation into a folder, which is made when there is none.
func writePages(dir string, pages map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // documentation is public
		return fmt.Errorf("make folder of the pages: %w", err)
	}
	for name, text := range pages {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil { //nolint:gosec // documentation is public
			return fmt.Errorf("write page: %w", err)
		}
	}
	return nil
}
