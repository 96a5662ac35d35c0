package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"headgate/gateway/admin"
)

func newDeadLetters() *cobra.Command {
	c := &cobra.Command{
		Use:   "deadletters",
		Short: "List, show, replay and drop deliveries that gave up",
		Long: "A delivery that failed for good is a dead letter: it is kept with its payload until\n" +
			"dead_letters.retention has passed, and can be tried again meanwhile. These commands ask\n" +
			"the admin listener.",
		Example: "  headgate deadletters list --target crm --since 2h\n" +
			"  headgate deadletters replay --target crm --dry-run\n" +
			"  headgate deadletters replay --target crm --rate 50/s",
	}
	c.AddCommand(newDeadList(), newDeadShow(), newDeadReplay(), newDeadDrop())
	return c
}

// filterFlags adds the filters.
func filterFlags(c *cobra.Command) *admin.Filter {
	f := new(admin.Filter)
	c.Flags().StringVar(&f.Target, "target", "", "only this target")
	c.Flags().StringVar(&f.Route, "route", "", "only this route")
	c.Flags().StringVar(&f.Tenant, "tenant", "", "only this tenant, as the list shows it")
	c.Flags().StringVar(&f.Reason, "reason", "", "only this reason, such as timeout")
	c.Flags().StringVar(&f.Since, "since", "", "ended since then: a time such as 2026-03-01T12:00:00Z, or how long ago, such as 2h")
	c.Flags().StringVar(&f.Until, "until", "", "ended before then")
	c.Flags().StringVar(&f.Cursor, "cursor", "", "go on where an earlier command ended")
	return f
}

func newDeadList() *cobra.Command {
	c := &cobra.Command{
		Use:     "list",
		Short:   "List dead letters, oldest first",
		Long:    "Prints one page and, when there is more, the cursor of the next one.",
		Example: "  headgate deadletters list --target crm --reason timeout --since 2h\n  headgate deadletters list --all --json",
		Args:    noArgs,
	}
	ask := adminFlags(c)
	filter := filterFlags(c)
	limit := c.Flags().Int("limit", 50, "letters a page")
	all := c.Flags().Bool("all", false, "all pages")
	asJSON := c.Flags().Bool("json", false, "one JSON object a line")
	c.RunE = func(c *cobra.Command, _ []string) error {
		out, header := c.OutOrStdout(), !*asJSON
		for {
			page, err := ask().letters(c, *filter, *limit)
			if err != nil {
				return err
			}
			if header && len(page.DeadLetters) > 0 {
				fmt.Fprintf(out, "%-30s %-14s %-14s %-12s %-20s %8s  %s\n", "TRACKING ID", "TARGET", "REASON", "STATUS", "ENDED", "ATTEMPTS", "LAST ANSWER")
				header = false
			}
			for i := range page.DeadLetters {
				if err := printLetter(out, &page.DeadLetters[i], *asJSON); err != nil {
					return err
				}
			}
			filter.Cursor = page.Cursor
			if page.Cursor == "" {
				if header {
					fmt.Fprintln(c.ErrOrStderr(), "no dead letters")
				}
				return nil
			}
			// A page may be empty without being the last: what a filter leaves out counts.
			if !*all && len(page.DeadLetters) > 0 {
				fmt.Fprintf(c.ErrOrStderr(), "more: --cursor %s\n", page.Cursor)
				return nil
			}
		}
	}
	return c
}

func printLetter(out io.Writer, l *admin.DeadLetterView, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(l)
	}
	status := "-"
	if l.HTTPStatus > 0 {
		status = strconv.Itoa(l.HTTPStatus)
	}
	fmt.Fprintf(out, "%-30s %-14s %-14s %-12s %-20s %8d  %s\n", l.TrackingID, l.Target, l.Reason, status,
		l.EndedAt.Format("2006-01-02T15:04:05Z"), l.Attempts, printable(l.Message))
	return nil
}

// letters asks for one page.
func (a *adminClient) letters(cmd *cobra.Command, f admin.Filter, limit int) (*admin.DeadPageView, error) {
	query := url.Values{}
	for name, value := range map[string]string{
		"target": f.Target, "route": f.Route, "tenant": f.Tenant, "reason": f.Reason,
		"since": f.Since, "until": f.Until, "cursor": f.Cursor, "limit": strconv.Itoa(limit),
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	page := new(admin.DeadPageView)
	return page, a.ask(cmd.Context(), http.MethodGet, "/deadletters?"+query.Encode(), nil, page)
}

func letterPath(id, target string) string {
	return "/deadletters/" + url.PathEscape(id) + "/" + url.PathEscape(target)
}

func newDeadShow() *cobra.Command {
	c := &cobra.Command{
		Use:     "show ID TARGET",
		Short:   "Show one dead letter with its payload",
		Long:    "Prints it as JSON. Deliveries that were rejected or whose outcome is unknown are shown, too.",
		Example: "  headgate deadletters show trk_17… crm\n  headgate deadletters show trk_17… crm | jq .payload >payload.json",
		Args:    exactly(2, "a tracking ID and a target"),
	}
	ask := adminFlags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		view := new(admin.DeadLetterView)
		if err := ask().ask(c.Context(), http.MethodGet, letterPath(args[0], args[1]), nil, view); err != nil {
			return err
		}
		return printJSON(c, view)
	}
	return c
}
