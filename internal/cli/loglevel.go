package cli

import (
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"headgate/gateway/admin"
)

func newLogLevel() *cobra.Command {
	c := &cobra.Command{
		Use:   "loglevel [debug|info|warn|error]",
		Short: "Show or change the level of a running process's log",
		Long: "Of the one process that --url names. A change lasts until that ends or, with --for, until the\n" +
			"time has passed; the file's telemetry.log.level counts again after a restart.",
		Example:   "  headgate loglevel\n  headgate loglevel debug --for 10m",
		ValidArgs: []string{"debug", "info", "warn", "error"},
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%s takes one level at most; see %s --help", c.CommandPath(), c.CommandPath())
			}
			return nil
		},
	}
	ask := adminFlags(c)
	span := c.Flags().String("for", "", "go back after this time, such as 10m")
	c.RunE = func(c *cobra.Command, args []string) error {
		view := new(admin.LevelView)
		var err error
		switch {
		case len(args) == 1:
			err = ask().ask(c.Context(), http.MethodPut, "/loglevel", admin.LevelWish{Level: args[0], For: *span}, view)
		case *span != "":
			return usagef("--for needs a level: %s debug --for %s", c.CommandPath(), *span)
		default:
			err = ask().ask(c.Context(), http.MethodGet, "/loglevel", nil, view)
		}
		if err != nil {
			return err
		}
		text := view.Level
		if view.Then != "" {
			text += fmt.Sprintf(" until %s, then %s", view.Until.Local().Format(time.RFC3339), view.Then)
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), text)
		return err
	}
	return c
}
