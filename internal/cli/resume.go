package cli

import (
	"github.com/spf13/cobra"

	"headgate/gateway/admin"
)

func newResume() *cobra.Command {
	return ordering(&cobra.Command{
		Short:   "End a pause or a drain of a target",
		Long:    "Workers deliver at once, gateways take requests within a second. Of a target that is active it\nchanges nothing.",
		Example: "  headgate resume crm",
	}, "resume", func(v *admin.TargetView) string {
		if name := pausedByHand(v); name != "" {
			return "requests are taken; nothing is delivered from queue " + printable(name) +
				", which is paused in the dashboard of the queues: resume it there"
		}
		return "requests are taken and delivered"
	})
}
