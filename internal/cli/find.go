package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"headgate/dispatch/tracking"
	"headgate/gateway"
	"headgate/gateway/admin"
)

// finder is one run of `headgate find`.
type finder struct {
	client *adminClient
	out    io.Writer
	errs   io.Writer
	filter map[string]*string // by name, as the admin listener has them
	limit  int
	all    bool
	asJSON bool
	within time.Duration

	shown  map[string]bool // by tracking ID: one may come with two pages
	looked int
}

func newFind() *cobra.Command {
	c := &cobra.Command{
		Use:   "find [ID]",
		Short: "Find dispatches by route, tenant, key, target, state and time",
		Long: "Asks the admin listener for dispatches, or for one by its tracking ID. What it prints is what a\n" +
			"client sees at GET /tracking: no payloads, and no idempotency keys.\n\n" +
			"With --state, a state of a dispatch (in_progress, succeeded, partial, failed, canceled) is meant;\n" +
			"with --target too, the state of the delivery to it. One that only deliveries have, such as waiting,\n" +
			"finds the dispatches of which any delivery has it.\n\n" +
			"There is no index of all dispatches. An idempotency key (with its tenant and route) is looked up at\n" +
			"once. What is under way is found by what is due, and what failed at a --target by its dead letters,\n" +
			"dropped ones left out. Anything else means to go through all records, a part at a time; Redis is busy\n" +
			"with it for half of the time at most. A page is sorted, newest first, but the pages are in no order;\n" +
			"what begins or ends meanwhile may be missed. When not all was looked at, it says so and how to go on.",
		Example: "  headgate find trk_17…\n" +
			"  headgate find --route order-placed --tenant mobile/acme --key order-7\n" +
			"  headgate find --state in_progress --target crm\n" +
			"  headgate find --tenant mobile/acme --since 2h --all --json",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%s takes one tracking ID at most; see %s --help", c.CommandPath(), c.CommandPath())
			}
			return nil
		},
	}
	f := finder{filter: map[string]*string{}, shown: map[string]bool{}}
	ask := adminFlags(c)
	for _, flag := range [][2]string{
		{"route", "only this route"},
		{"tenant", "only this tenant: authenticator/tenant, as it is printed"},
		{"key", "only the dispatch of this Idempotency-Key; needs --tenant and --route"},
		{"target", "only those with a delivery to this target"},
		{"state", "only those in this state"},
		{"since", "accepted since then: a time such as 2026-03-01T12:00:00Z, or how long ago, such as 2h"},
		{"until", "accepted before then"},
		{"cursor", "go on where an earlier command ended"},
	} {
		f.filter[flag[0]] = c.Flags().String(flag[0], "", flag[1])
	}
	c.Flags().IntVar(&f.limit, "limit", 50, "dispatches to print; with --all, those of a page")
	c.Flags().BoolVar(&f.all, "all", false, "go on until all was looked at")
	c.Flags().DurationVar(&f.within, "within", 10*time.Second, "how long to look without --all")
	c.Flags().BoolVar(&f.asJSON, "json", false, "one JSON object a line")
	c.RunE = func(c *cobra.Command, args []string) error {
		f.client, f.out, f.errs = ask(), c.OutOrStdout(), c.ErrOrStderr()
		if len(args) == 0 {
			return f.run(c.Context())
		}
		for name, value := range f.filter {
			if *value != "" {
				return usagef("with a tracking ID there is nothing to filter: leave --%s out", name)
			}
		}
		view := new(admin.DispatchView)
		if err := f.client.ask(c.Context(), http.MethodGet, "/dispatches/"+url.PathEscape(args[0]), nil, view); err != nil {
			return err
		}
		return f.print([]admin.DispatchView{*view})
	}
	return c
}

// run asks for page after page.
func (f *finder) run(ctx context.Context) error {
	begun, left := time.Now(), f.limit
	for {
		query := url.Values{"limit": {strconv.Itoa(left)}}
		for name, value := range f.filter {
			if *value != "" {
				query.Set(name, *value)
			}
		}
		page := new(admin.DispatchPageView)
		if err := f.client.ask(ctx, http.MethodGet, "/dispatches?"+query.Encode(), nil, page); err != nil {
			f.goOn() // so that an --all that was cut short need not begin anew
			return err
		}
		if err := f.print(page.Dispatches); err != nil {
			return err
		}
		f.looked += page.LookedAt
		*f.filter["cursor"] = page.Cursor
		switch {
		case page.Cursor == "":
			if len(f.shown) == 0 {
				fmt.Fprintf(f.errs, "nothing found; looked at %s\n", count(f.looked, "record"))
			}
			return nil
		case f.all:
		case len(f.shown) >= f.limit || time.Since(begun) >= f.within:
			f.goOn()
			return nil
		default:
			left = f.limit - len(f.shown)
		}
	}
}

// goOn says where to go on, if there is such a place.
func (f *finder) goOn() {
	if cursor := *f.filter["cursor"]; cursor != "" {
		fmt.Fprintf(f.errs, "looked at %s, there are more: go on with --cursor %s, or with --all\n", count(f.looked, "record"), cursor)
	}
}

const findRow = "%-28s  %-11s  %-20s  %-18s  %-18s  %s\n"

// print prints those that were not yet.
func (f *finder) print(list []admin.DispatchView) error {
	for i := range list {
		d := &list[i]
		if f.shown[d.TrackingID] {
			continue
		}
		if len(f.shown) == 0 && !f.asJSON {
			fmt.Fprintf(f.out, findRow, "TRACKING ID", "STATE", "ACCEPTED", "ROUTE", "TENANT", "TARGETS")
		}
		f.shown[d.TrackingID] = true
		if f.asJSON {
			if err := json.NewEncoder(f.out).Encode(d); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(f.out, findRow, d.TrackingID, d.Status, d.AcceptedAt.Format("2006-01-02T15:04:05Z"), d.Route, printable(d.Tenant), targetsOf(d))
	}
	return nil
}

// targetsOf says how each target stands, and why where it did not go well.
func targetsOf(d *admin.DispatchView) string {
	parts := make([]string, 0, len(d.Targets))
	for _, t := range d.Targets {
		text := t.Name + " " + string(t.Value.State)
		if why := reasonOf(t.Value); why != "" {
			text += " (" + why + ")"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

func reasonOf(d gateway.DeliveryView) string {
	if d.Reason == "" || d.State == tracking.Succeeded {
		return ""
	}
	if d.HTTPStatus > 0 {
		return string(d.Reason) + " " + strconv.Itoa(d.HTTPStatus)
	}
	return string(d.Reason)
}
