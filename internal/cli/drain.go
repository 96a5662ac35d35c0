package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"headgate/gateway/admin"
)

func newDrain() *cobra.Command {
	return ordering(&cobra.Command{
		Short: "Take no more for a target; deliver what was taken",
		Long: "For all processes, until headgate resume or headgate pause, restarts included. Requests that\n" +
			"feed the target are refused with 503 and Retry-After within a second; known idempotency keys\n" +
			"are answered. It ends a pause. headgate targets TARGET tells when nothing is open any more.",
		Example: "  headgate drain crm --note 'moves to another host'\n  headgate targets crm",
	}, "drain", func(v *admin.TargetView) string {
		return fmt.Sprintf("requests that feed it are refused; %s still under way", underWay(v.Open))
	})
}
