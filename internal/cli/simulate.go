package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"headgate/internal/simulate"
)

func newSimulate() *cobra.Command {
	c := &cobra.Command{
		Use:   "simulate",
		Short: "Run simulated backends to try targets against",
		Long: "Runs the backends of examples/quickstart on one address, each below its name: crm\n" +
			"(answers at once), newsletter (SendGrid), marketing (Eloqua), analytics (503 twice,\n" +
			"then works) and billing (says no). Besides them there is one for each vendor of a recipe,\n" +
			"under the recipe's name. Each answers /<name>/__stats; POST /<name>/__behave makes it\n" +
			"misbehave.",
		Example: "  headgate simulate --listen 127.0.0.1:7070\n" +
			"  curl -s 127.0.0.1:7070/crm/__stats\n" +
			"  curl -s 127.0.0.1:7070/crm/__behave -d '{\"path\":\"/\",\"behave\":\"status=503\",\"times\":3}'",
		Args: noArgs,
	}
	listen := c.Flags().String("listen", "127.0.0.1:7070", "address to listen on")
	c.RunE = func(c *cobra.Command, _ []string) error {
		server, err := simulate.Start(*listen, append(simulate.Quickstart(), simulate.Vendors()...)...)
		if err != nil {
			return fmt.Errorf("start simulated backends: %w", err)
		}
		for _, name := range server.Names() {
			fmt.Fprintf(c.OutOrStdout(), "%-13s %s\n", name, server.URL(name))
		}
		<-c.Context().Done()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), stopMargin)
		defer cancel()
		return server.Close(ctx)
	}
	return c
}

// stopMargin is what ending something may take beyond the work in flight.
const stopMargin = 5 * time.Second
