package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"headgate/gateway"
)

func newCancel() *cobra.Command {
	c := &cobra.Command{
		Use:   "cancel ID",
		Short: "Cancel what of a dispatch has not begun or waits",
		Long: "Asks a gateway, as the dispatch's owner. A delivery whose call is under way goes on, and\n" +
			"a backend's job cannot be stopped: the answer says which. Repeating it is harmless.",
		Example: "  headgate cancel trk_17… --token \"$(headgate token --sub alice)\"",
		Args:    exactly(1, "one tracking ID"),
	}
	url := c.Flags().String("url", "http://127.0.0.1:8080", "URL of the gateway")
	token := tokenFlag(c, "bearer token", "HEADGATE_TOKEN")
	c.RunE = func(c *cobra.Command, args []string) error {
		a, err := newClient(*url, token()).do(c.Context(), http.MethodDelete, "/tracking/"+args[0], nil, nil)
		if err != nil {
			return err
		}
		if a.status != http.StatusOK {
			return a.problem()
		}
		view := new(gateway.CancelView)
		if err := json.Unmarshal(a.body, view); err != nil {
			return fmt.Errorf("decode answer: %w", err)
		}
		fmt.Fprint(c.OutOrStdout(), canceled(view))
		return nil
	}
	return c
}

// canceled draws the answer.
func canceled(view *gateway.CancelView) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s  %s\n\n", view.TrackingID, view.Status)
	goesOn := map[string]string{}
	for _, m := range view.NotStopped {
		goesOn[m.Name] = "not stopped: " + m.Value
	}
	for _, t := range view.Targets {
		text := goesOn[t.Name]
		if text == "" {
			text = notes(t.Value)
		}
		fmt.Fprintf(&out, "  %-12s %-11s %s\n", t.Name, t.Value.State, text)
	}
	return out.String()
}
