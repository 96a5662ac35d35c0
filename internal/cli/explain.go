package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"headgate/config/yamlsrc"
	"headgate/dispatch"
	"headgate/dispatch/fault"
	"headgate/dispatch/target"
	"headgate/dispatch/tracking"
	"headgate/gateway"
	"headgate/internal/app"
	"headgate/policies"
	"headgate/routes"
)

func newExplain() *cobra.Command {
	c := &cobra.Command{
		Use:   "explain METHOD PATH",
		Short: "Show what a request would become, without sending anything",
		Long: "Shows what each policy says of the request and the exact request that each step of\n" +
			"each target would send. Secrets are masked; what depends on a backend's answer stands\n" +
			"as <saved.name> or <setup.name>. Without an Authorization header (-H) a principal is assumed that may\n" +
			"use the route and has the claims given by --claim. Rate limits are not counted.",
		Example: "  headgate explain POST /profiles/42 -d @profile.json --claim org=acme\n" +
			"  headgate explain POST /profiles/42 -d '{\"email\":\"a@b.example\"}' -H \"Authorization: Bearer $TOKEN\"",
		Args: exactly(2, "a method and a path"),
	}
	path := configFlag(c)
	data := c.Flags().StringP("data", "d", "", "the body; @file reads a file, @- standard input")
	headers := c.Flags().StringArrayP("header", "H", nil, "a header as 'Name: value'; repeatable")
	claims := c.Flags().StringArray("claim", nil, "a claim of the assumed principal as name=value; repeatable")
	c.RunE = func(c *cobra.Command, args []string) error {
		body, err := readData(*data, c.InOrStdin())
		if err != nil {
			return err
		}
		r, err := request(args[0], args[1], body, *headers)
		if err != nil {
			return err
		}
		var report yamlsrc.Report
		conf, table := app.Load(*path, policies.Deps{}, &report)
		if err := report.Err(); err != nil {
			return err
		}
		defer table.Close()
		e := explainer{out: c.OutOrStdout(), request: r, claims: *claims, callbackURL: dispatch.CallbackURL(conf.PublicURL, "<token>")}
		return e.explain(c.Context(), table, args[1])
	}
	return c
}

func readData(data string, stdin io.Reader) ([]byte, error) {
	name, isFile := strings.CutPrefix(data, "@")
	switch {
	case !isFile:
		return []byte(data), nil
	case name == "-":
		return io.ReadAll(stdin)
	}
	body, err := os.ReadFile(name) //nolint:gosec // the file the user named
	if err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	return body, nil
}

// request makes the request that the gateway would see.
func request(method, target string, body []byte, headers []string) (*policies.Request, error) {
	u, err := url.ParseRequestURI(target)
	if err != nil || !strings.HasPrefix(target, "/") {
		return nil, usagef("%q is not a path such as /profiles/42", target)
	}
	r := &policies.Request{
		Method: strings.ToUpper(method), Path: u.EscapedPath(), Query: u.Query(), Header: policies.Header{},
		Body: body, Client: netip.AddrFrom4([4]byte{127, 0, 0, 1}), Now: time.Now(),
	}
	if len(body) > 0 {
		r.Header["Content-Type"] = []string{"application/json"}
	}
	for _, h := range headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return nil, usagef("-H %q: write 'Name: value'", h)
		}
		r.Header[policies.CanonicalHeader(strings.TrimSpace(name))] = []string{strings.TrimSpace(value)}
	}
	return r, nil
}

type explainer struct {
	out     io.Writer
	request *policies.Request
	claims  []string
	// callbackURL stands for the ones that backends get.
	callbackURL string
}

func (e *explainer) explain(ctx context.Context, table *routes.Table, target string) error {
	r := e.request
	route, params, allow := table.Match(r.Method, r.Path)
	if route == nil {
		if len(allow) > 0 {
			return fmt.Errorf("405: %s has no %s; it has %s", r.Path, r.Method, strings.Join(allow, ", "))
		}
		return fmt.Errorf("404: no route matches %s %s", r.Method, target)
	}
	r.Route, r.Params = route.Name, params
	fmt.Fprintf(e.out, "route %s (%s %s) at %s\n\npolicies\n", route.Name, route.Method, route.Pattern, route.Position)
	if !e.policies(ctx, route) {
		return errReported
	}
	fmt.Fprintln(e.out)
	mapped, faults := route.Fanout.Map(gateway.Scope(r), r.Body)
	for _, fault := range faults {
		fmt.Fprintf(e.out, "422: %v\n", fault)
	}
	if len(faults) > 0 {
		return errReported
	}
	unsendable := false
	for _, b := range route.Fanout.Bindings {
		if mapped.Skipped[b.Plan.Name] {
			fmt.Fprintf(e.out, "target %s: skipped, its `when` is false\n\n", b.Plan.Name)
			continue
		}
		fmt.Fprintf(e.out, "target %s\n", b.Plan.Name)
		if key, ok := mapped.Keys[b.Plan.Name]; ok {
			fmt.Fprintf(e.out, "  after those accepted before with the key %q; %s\n", key, b.Plan.Order)
		}
		if b.Plan.Batch != nil {
			fmt.Fprintf(e.out, "  goes with others, shown with this record alone: %s\n", b.Plan.Batch)
		}
		previews, err := b.Plan.Preview(e.input(mapped.Payloads[b.Plan.Name]))
		if err != nil {
			fmt.Fprintf(e.out, "  cannot be sent: %s\n\n", why(err))
			unsendable = true
		}
		for _, p := range previews {
			e.step(p)
		}
	}
	if unsendable {
		return errReported
	}
	return nil
}

// why is the message of a fault without its cause, which repeats it.
func why(err error) string {
	var f *fault.Fault
	if errors.As(err, &f) {
		return f.Message
	}
	return err.Error()
}

// exampleID stands for the tracking ID that the request would get.
const exampleID = "trk_000000000000000000000000"

func (e *explainer) input(payload []byte) target.Input {
	now := e.request.Now
	return target.Input{
		Tracking: exampleID, Tenant: e.request.Principal.TenantKey(), Params: e.request.Params,
		Payload: payload, Delivery: tracking.Delivery{Fence: tracking.Fence{Seq: 1}}, AcceptedAt: now, Now: now,
		CallbackURL: e.callbackURL,
	}
}

// policies asks every policy in its order and reports whether all allow.
func (e *explainer) policies(ctx context.Context, route *routes.Route) bool {
	assumed := false
	switch {
	case route.Auth == nil:
		e.verdict("auth", "none: anybody may call")
	case e.request.Header.Get("Authorization") == "" && e.request.Header.Get("X-Api-Key") == "":
		e.assume(route)
		assumed = true
	default:
		if d := route.Auth.Check(ctx, e.request); !d.Allow {
			e.denied("auth", d)
			return false
		}
		p := e.request.Principal
		e.verdict("auth", fmt.Sprintf("accepted by %s: %q, tenant %q, scopes %v", p.Authenticator, p.ID, p.Tenant, p.Scopes))
	}
	for _, p := range route.Policies {
		if assumed && p.Stage() == policies.Authorize {
			e.verdict(p.Name(), "assumed to be met")
			continue
		}
		d := p.Check(ctx, e.request)
		if !d.Allow {
			e.denied(p.Name(), d)
			return false
		}
		e.verdict(p.Name(), "allows")
	}
	return true
}

// assume makes up the principal that a request without credentials is explained with.
func (e *explainer) assume(route *routes.Route) {
	claims := map[string]any{"sub": "explain"}
	for _, claim := range e.claims {
		name, value, _ := strings.Cut(claim, "=")
		claims[name] = value
	}
	names := route.Auth.Authenticators()
	e.request.Principal = policies.Principal{
		Authenticator: names[0], ID: fmt.Sprint(claims["sub"]), Tenant: "example", Claims: claims,
	}
	e.verdict("auth", fmt.Sprintf("no credentials given; assuming a principal of %s", names[0]))
}

func (e *explainer) verdict(name, text string) { fmt.Fprintf(e.out, "  %-12s %s\n", name, text) }

func (e *explainer) denied(name string, d policies.Decision) {
	status := d.Problem.Status
	if status == 0 {
		status = 403
	}
	e.verdict(name, fmt.Sprintf("refuses: %d %s: %s", status, d.Problem.Title, d.Problem.Detail))
	for _, fault := range d.Problem.Errors {
		fmt.Fprintf(e.out, "  %-12s   %s %s\n", "", fault.Pointer, fault.Detail)
	}
	if d.Log != "" {
		fmt.Fprintf(e.out, "  %-12s   (log: %s)\n", "", d.Log)
	}
}

func (e *explainer) step(p target.Preview) {
	if p.Step != "" {
		fmt.Fprintf(e.out, "  %s %s\n", p.Kind, p.Step)
	}
	if p.About != "" {
		fmt.Fprintf(e.out, "    (%s)\n", p.About)
	}
	if p.When != "" {
		fmt.Fprintf(e.out, "    (only when %s)\n", p.When)
	}
	fmt.Fprintf(e.out, "    %s %s\n", p.Method, p.URL)
	if p.Base != "" {
		fmt.Fprintf(e.out, "    (%s)\n", p.Base)
	}
	if p.Hosts != "" {
		fmt.Fprintf(e.out, "    (%s)\n", p.Hosts)
	}
	names := make([]string, 0, len(p.Header))
	for name := range p.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(e.out, "    %s: %s\n", name, p.Header[name])
	}
	if p.More != "" {
		fmt.Fprintf(e.out, "    (and the headers that %s gives)\n", p.More)
	}
	if p.Body != "" {
		fmt.Fprintf(e.out, "\n    %s\n", strings.ReplaceAll(strings.TrimSuffix(p.Body, "\n"), "\n", "\n    "))
	}
	if p.Note != "" {
		fmt.Fprintf(e.out, "    (%s)\n", p.Note)
	}
	if p.Until != "" {
		fmt.Fprintf(e.out, "    … %s\n", p.Until)
	}
	fmt.Fprintln(e.out)
}
