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
	}, "resume", func(*admin.TargetView) string { return "requests are taken and delivered" })
}
