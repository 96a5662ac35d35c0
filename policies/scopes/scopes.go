// Package scopes owns the question whether a caller may use a route: has the principal
// every scope that the route asks for? It knows nothing of how scopes were proven.
package scopes

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"headgate/policies"
)

// New makes the policy that asks for every one of required. It is built from a route's
// `auth.scopes`, not registered under a key of its own.
func New(required []string) policies.Policy {
	required = slices.Clone(required)
	return &policy{
		required: required,
		// RFC 6750, section 3.1: the challenge names the scopes that would do.
		challenge: fmt.Sprintf("Bearer error=%q, scope=%q", "insufficient_scope", quotable(strings.Join(required, " "))),
	}
}

type policy struct {
	required  []string
	challenge string
}

// Name implements policies.Policy.
func (*policy) Name() string { return "scopes" }

// Stage implements policies.Policy.
func (*policy) Stage() policies.Stage { return policies.Authorize }

// Check implements policies.Policy.
func (p *policy) Check(_ context.Context, r *policies.Request) policies.Decision {
	if r.Principal.HasScopes(p.required) {
		return policies.Pass()
	}
	var missing []string
	for _, scope := range p.required {
		if !slices.Contains(r.Principal.Scopes, scope) {
			missing = append(missing, scope)
		}
	}
	d := policies.Deny(policies.Problem{
		Status: http.StatusForbidden,
		Type:   "insufficient-scope",
		Title:  "Not allowed",
		Detail: "the credentials lack a scope that this route asks for: " + strings.Join(p.required, " "),
	}, fmt.Sprintf("a principal of %q lacks the scopes %q", r.Principal.Authenticator, missing))
	d.Headers = map[string]string{"WWW-Authenticate": p.challenge}
	return d
}

// quotable drops what a quoted string in a header cannot hold; scope tokens have none
// of it (RFC 6749, section 3.3).
func quotable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, s)
}
