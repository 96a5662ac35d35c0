package cli

import (
	"fmt"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"headgate/gateway/admin"
)

// ordering makes a command that has a target do something: what verb is in the admin API.
// became says what that means.
func ordering(c *cobra.Command, verb string, became func(v *admin.TargetView) string) *cobra.Command {
	c.Use, c.Args = verb+" TARGET", exactly(1, "one target")
	ask := adminFlags(c)
	note := c.Flags().String("note", "", "why; shown to operators with the target")
	asJSON := c.Flags().Bool("json", false, "how the target stands then, as JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		view := new(admin.TargetView)
		wish := admin.OrderWish{Note: *note, By: whoAsks()}
		if err := ask().ask(c.Context(), http.MethodPost, targetPath(args[0])+"/"+verb, wish, view); err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c, view)
		}
		fmt.Fprintf(c.OutOrStdout(), "%s is %s: %s\n", printable(view.Name), view.State, became(view))
		return nil
	}
	return c
}

// whoAsks names the person at the terminal for others to ask; empty when that is not known:
// then the address that asks stands in its place.
func whoAsks() string {
	name := os.Getenv("USER")
	host, err := os.Hostname()
	if name == "" || err != nil || len(name)+len(host) > 99 {
		return ""
	}
	return name + "@" + host
}

// underWay counts deliveries for a sentence.
func underWay(n int) string {
	if n == 1 {
		return "1 delivery is"
	}
	return fmt.Sprintf("%d deliveries are", n)
}
