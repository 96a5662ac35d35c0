package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"headgate/config/unit"
	"headgate/gateway/admin"
)

func newTargets() *cobra.Command {
	c := &cobra.Command{
		Use:   "targets [NAME]",
		Short: "Show how targets stand in the whole fleet",
		Long: "Asks the admin listener of any process; all of them tell the same. A former target has\n" +
			"left the files: what is under way is still delivered. With a name it shows one in full:\n" +
			"who paused or drains it and why, and its queues.",
		Example: "  headgate targets\n  headgate targets crm\n  headgate targets --json | jq '.targets[] | select(.dead_letters > 0)'",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%s takes one name at most; see %s --help", c.CommandPath(), c.CommandPath())
			}
			return nil
		},
	}
	ask := adminFlags(c)
	asJSON := c.Flags().Bool("json", false, "as JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 1 {
			view := new(admin.TargetView)
			if err := ask().ask(c.Context(), http.MethodGet, targetPath(args[0]), nil, view); err != nil {
				return err
			}
			if *asJSON {
				return printJSON(c, view)
			}
			return printTarget(c.OutOrStdout(), view)
		}
		list := new(admin.TargetsView)
		if err := ask().ask(c.Context(), http.MethodGet, "/targets", nil, list); err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c, list)
		}
		if len(list.Targets) == 0 {
			fmt.Fprintln(c.ErrOrStderr(), "no targets")
			return nil
		}
		return printTargets(c.OutOrStdout(), list.Targets)
	}
	return c
}

func targetPath(name string) string { return "/targets/" + url.PathEscape(name) }

func printTargets(out io.Writer, list []admin.TargetView) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TARGET\tSTATE\tBREAKER\tOPEN\tPENDING\tOLDEST\tWAITING\tDEAD LETTERS")
	for i := range list {
		v := &list[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%s\t%d\t%d\n",
			printable(v.Name), stateOf(v), breakerOf(v), v.Open, v.Pending, age(v.OldestPending, v.Pending), v.Waiting, v.DeadLetters)
	}
	return t.Flush()
}

func stateOf(v *admin.TargetView) string {
	state := string(v.State)
	if v.Former {
		state += ", former"
	}
	if pausedByHand(v) != "" {
		state += ", queue paused"
	}
	return state
}

// pausedByHand names a queue of the target that somebody has paused in the dashboard of the
// queues, which is no order to the target, does not show in its state and is not ended by
// resume; empty: there is none.
func pausedByHand(v *admin.TargetView) string {
	for _, q := range v.Queues {
		if q.Paused {
			return q.Name
		}
	}
	return ""
}

func breakerOf(v *admin.TargetView) string {
	if v.Breaker.OpenFor > 0 {
		return v.Breaker.State + ", " + span(v.Breaker.OpenFor) + " left"
	}
	return v.Breaker.State
}

// age shows for how long the oldest of n has waited.
func age(seconds float64, n int) string {
	if n == 0 {
		return "-"
	}
	return span(seconds)
}

// span shows seconds as 45s, 3m20s or 2h5m.
func span(seconds float64) string {
	d, step := time.Duration(seconds*float64(time.Second)), time.Second
	switch {
	case d < time.Second:
		return "<1s"
	case d >= time.Hour:
		step = time.Minute
	}
	return unit.Duration(d.Truncate(step)).String()
}

func printTarget(out io.Writer, v *admin.TargetView) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(t, "%s\t"+format+"\n", append([]any{name}, args...)...)
	}
	row("target", "%s", printable(v.Name))
	row("state", "%s", stateOf(v))
	if o := v.Order; o != nil {
		row("  since", "%s", o.Since.Format(time.RFC3339))
		row("  by", "%s", printable(o.By))
		if o.Note != "" {
			row("  note", "%s", printable(o.Note))
		}
	}
	row("breaker", "%s", breakerOf(v))
	if v.HeldFor > 0 {
		row("held", "%s: the backend asked for time", span(v.HeldFor))
	}
	row("open", "%d", v.Open)
	row("pending", "%d", v.Pending)
	row("  oldest", "%s", age(v.OldestPending, v.Pending))
	row("in flight", "%d", v.InFlight)
	row("waiting", "%d", v.Waiting)
	row("  oldest", "%s", age(v.OldestWaiting, v.Waiting))
	row("dead letters", "%d", v.DeadLetters)
	if v.Plan != "" {
		row("plan", "%s", v.Plan)
	}
	if err := t.Flush(); err != nil || len(v.Queues) == 0 {
		return err
	}
	fmt.Fprintln(t, "\nQUEUE\tPENDING\tOLDEST\tACTIVE\tSCHEDULED\tRETRY\tARCHIVED\t")
	for _, q := range v.Queues {
		note := ""
		if q.Paused {
			note = "paused in the dashboard of the queues"
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%d\t%d\t%d\t%d\t%s\n", printable(q.Name), q.Pending, age(q.Oldest, q.Pending), q.Active, q.Scheduled, q.Retry, q.Archived, note)
	}
	return t.Flush()
}
