package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"headgate/dispatch/tracking"
)

func newTracking() *cobra.Command {
	c := &cobra.Command{
		Use:   "tracking ID",
		Short: "Show how each target of a dispatch stands",
		Long: "Asks a gateway. With --watch it follows until every target is final, and exits 1 when\n" +
			"the dispatch did not succeed.",
		Example: "  headgate tracking trk_17… --token \"$(headgate token --sub alice)\"\n" +
			"  headgate tracking trk_17… --watch --url https://api.example.com",
		Args: exactly(1, "one tracking ID"),
	}
	url := c.Flags().String("url", "http://127.0.0.1:8080", "URL of the gateway")
	token := tokenFlag(c, "bearer token", "HEADGATE_TOKEN")
	watch := c.Flags().Bool("watch", false, "follow until every target is final")
	c.RunE = func(c *cobra.Command, args []string) error {
		gateway := newClient(*url, token())
		out := c.OutOrStdout()
		if !*watch {
			view, err := gateway.track(c.Context(), args[0])
			if err != nil {
				return err
			}
			fmt.Fprint(out, table(view, width(out)))
			return nil
		}
		view, err := gateway.follow(c.Context(), args[0], out, isTerminal(out))
		if err != nil {
			return err
		}
		if view.Status != tracking.DispatchSucceeded {
			fmt.Fprintf(out, "\nthe dispatch is %s\n", view.Status)
			return errReported
		}
		return nil
	}
	return c
}

// width is how many columns a terminal has; 0 when out is none.
func width(out io.Writer) int {
	file, ok := out.(*os.File)
	if !ok {
		return 0
	}
	columns, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0
	}
	return columns
}

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
