package routetests

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"headgate/config/yamlsrc"
	"headgate/dispatch"
	"headgate/dispatch/encode"
	"headgate/gateway"
	"headgate/policies"
	"headgate/routes"
)

// Result is what came of one test.
type Result struct {
	Name     string
	Pos      yamlsrc.Pos
	Failures []string // empty: it passed
	Took     time.Duration
}

// Run runs the tests of the file on a table and gives their results, in order.
func (f *File) Run(ctx context.Context, table *routes.Table) []Result {
	out := make([]Result, len(f.Tests))
	for i := range f.Tests {
		t := &f.Tests[i]
		began := time.Now()
		failures := t.run(ctx, f, table)
		out[i] = Result{Name: t.Name, Pos: t.node.Pos, Failures: failures, Took: time.Since(began)}
	}
	return out
}

// began is when every request comes in: a time that is the same on each day.
var began = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func (t *Test) run(ctx context.Context, f *File, table *routes.Table) []string {
	request, err := t.Request.build()
	if err != nil {
		return []string{err.Error()}
	}
	route, mapped, refusal := accept(ctx, table, request, t.Request.Tenant)
	switch {
	case refusal != nil && t.Refused == 0:
		return []string{"the request is refused: " + refusal.String()}
	case refusal != nil && refusal.status != t.Refused:
		return []string{fmt.Sprintf("refused: want %d, got %s", t.Refused, refusal)}
	case refusal != nil:
		return nil
	case t.Refused != 0:
		return []string{fmt.Sprintf("refused: want %d, but the request is accepted", t.Refused)}
	}
	failures := t.unfed(route, mapped)
	for _, b := range route.Fanout.Bindings {
		want, ok := t.Targets[b.Plan.Name]
		if !ok || mapped.Skipped[b.Plan.Name] {
			continue
		}
		d := delivery{file: f, plan: b.Plan, want: &want, request: request, payload: mapped.Payloads[b.Plan.Name]}
		for _, failure := range d.run(ctx) {
			failures = append(failures, b.Plan.Name+" "+failure)
		}
	}
	return failures
}

// unfed compares which targets the request goes to.
func (t *Test) unfed(route *routes.Route, mapped dispatch.Mapped) (failures []string) {
	feeds := func(name string) bool {
		return slices.ContainsFunc(route.Fanout.Bindings, func(b dispatch.Binding) bool { return b.Plan.Name == name })
	}
	for _, e := range nodeEntries(t.node.Get("targets")) {
		switch {
		case !feeds(e.Key):
			failures = append(failures, fmt.Sprintf("%s: the route %s does not feed it", e.Key, route.Name))
		case mapped.Skipped[e.Key]:
			failures = append(failures, fmt.Sprintf("%s: want a delivery, but its `when` is false", e.Key))
		}
	}
	for _, name := range t.Skipped {
		switch {
		case !feeds(name):
			failures = append(failures, fmt.Sprintf("skipped: the route %s does not feed %s at all", route.Name, name))
		case !mapped.Skipped[name]:
			failures = append(failures, fmt.Sprintf("skipped: the request goes to %s", name))
		}
	}
	return failures
}

// build makes the request that the gateway would see.
func (r *Request) build() (*policies.Request, error) {
	u, err := url.ParseRequestURI(r.Path)
	if err != nil {
		return nil, fmt.Errorf("read the path: %w", err)
	}
	out := &policies.Request{
		Method: strings.ToUpper(r.Method), Path: u.EscapedPath(), Query: u.Query(), Header: policies.Header{},
		Client: netip.AddrFrom4([4]byte{127, 0, 0, 1}), Now: began,
	}
	for name, value := range r.Headers {
		out.Header[policies.CanonicalHeader(name)] = []string{value}
	}
	if r.Body != nil {
		if out.Body, err = encode.AppendJSON(nil, r.Body.Value()); err != nil {
			return nil, fmt.Errorf("write the body: %w", err)
		}
		if out.Header["Content-Type"] == nil {
			out.Header["Content-Type"] = []string{"application/json"}
		}
	}
	out.Principal.Claims = r.Claims
	return out, nil
}

// refusal is why a request goes nowhere.
type refusal struct {
	status int
	why    string
}

func (r *refusal) String() string { return fmt.Sprintf("%d, %s", r.status, r.why) }

// exampleTenant is whose request it is when the test does not say.
const exampleTenant = "example"

// accept takes the request as far as the gateway does before it records it. Who calls is
// assumed, and what counts requests is not asked.
func accept(ctx context.Context, table *routes.Table, r *policies.Request, tenant string) (*routes.Route, dispatch.Mapped, *refusal) {
	none := dispatch.Mapped{}
	route, params, allow := table.Match(r.Method, r.Path)
	switch {
	case route == nil && len(allow) > 0:
		return nil, none, &refusal{http.StatusMethodNotAllowed, fmt.Sprintf("%s has no %s; it has %s", r.Path, r.Method, strings.Join(allow, ", "))}
	case route == nil:
		return nil, none, &refusal{http.StatusNotFound, fmt.Sprintf("no route matches %s %s", r.Method, r.Path)}
	}
	r.Route, r.Params = route.Name, params
	if route.Auth != nil {
		r.CredentialHeaders = route.Auth.CredentialHeaders()
		r.Principal.Authenticator, r.Principal.ID = route.Auth.Authenticators()[0], "test"
		if r.Principal.Tenant = tenant; tenant == "" {
			r.Principal.Tenant = exampleTenant
		}
	}
	for _, p := range route.Policies {
		if p.Stage() != policies.Content {
			continue
		}
		if d := p.Check(ctx, r); !d.Allow {
			return route, none, denied(d)
		}
	}
	mapped, faults, notJSON := gateway.MapBody(r, route.Fanout)
	switch {
	case notJSON:
		return route, none, &refusal{http.StatusBadRequest, "the body is not JSON"}
	case len(faults) > 0:
		reasons := make([]string, len(faults))
		for i, f := range faults {
			reasons[i] = f.Error()
		}
		return route, none, &refusal{http.StatusUnprocessableEntity, strings.Join(reasons, "; ")}
	}
	return route, mapped, nil
}

func denied(d policies.Decision) *refusal {
	out := &refusal{status: d.Problem.Status, why: d.Problem.Title}
	if out.status == 0 {
		out.status = http.StatusForbidden
	}
	if d.Problem.Detail != "" {
		out.why += ": " + d.Problem.Detail
	}
	for _, e := range d.Problem.Errors {
		out.why += fmt.Sprintf("; %s: %s", e.Pointer, e.Detail)
	}
	return out
}
