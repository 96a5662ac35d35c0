package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"headgate/gateway/admin"
)

func newPause() *cobra.Command {
	return ordering(&cobra.Command{
		Short: "Deliver nothing to a target; go on taking requests",
		Long: "For all workers, until headgate resume, restarts included. Calls that are under way go on\n" +
			"to their end. What is taken meanwhile waits; retry.within goes on. Repeating it is harmless.",
		Example: "  headgate pause crm --note 'maintenance until noon'",
	}, "pause", func(v *admin.TargetView) string {
		return fmt.Sprintf("requests are taken, nothing is delivered; %s under way", underWay(v.Open))
	})
}
