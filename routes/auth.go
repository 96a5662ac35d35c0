package routes

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"headgate/policies"
)

// named is an authenticator under the name it has in the file.
type named struct {
	policies.Authenticator
	name string
}

// Auth asks a list of authenticators; the first that finds its kind of credentials
// decides. It implements policies.Policy in the stage Identify.
type Auth struct {
	list      []named
	headers   []string // where credentials are looked for
	challenge string   // for WWW-Authenticate: every way to prove who one is
}

func newAuth(list []named) *Auth {
	challenges := make([]string, 0, len(list))
	var headers []string
	for _, a := range list {
		if h, ok := a.Authenticator.(policies.CredentialHeader); ok {
			headers = append(headers, h.CredentialHeader())
		}
		if c := a.Challenge(); c != "" && !slices.Contains(challenges, c) {
			challenges = append(challenges, c)
		}
	}
	return &Auth{list: list, headers: headers, challenge: strings.Join(challenges, ", ")}
}

// Name implements policies.Policy.
func (a *Auth) Name() string { return "auth" }

// Stage implements policies.Policy.
func (a *Auth) Stage() policies.Stage { return policies.Identify }

// Authenticators lists the names, in the order they are asked.
func (a *Auth) Authenticators() []string {
	out := make([]string, len(a.list))
	for i, n := range a.list {
		out[i] = n.name
	}
	return out
}

// CredentialHeaders lists the headers in which credentials are looked for, by canonical name.
func (a *Auth) CredentialHeaders() []string { return slices.Clone(a.headers) }

// Check sets r.Principal, or denies: 401 with WWW-Authenticate (one challenge per
// authenticator, joined by ", "), 403 when there is no tenant, or 503 when nobody can tell now.
func (a *Auth) Check(ctx context.Context, r *policies.Request) policies.Decision {
	var asked []string
	r.CredentialHeaders = a.headers
	for _, n := range a.list {
		principal, result := n.Authenticate(ctx, r)
		why := n.name + ": " + result.Log
		switch result.Outcome {
		case policies.Absent:
			asked = append(asked, why)
		case policies.Accepted:
			principal.Authenticator = n.name
			r.Principal = principal
			return policies.Pass()
		case policies.Forbidden:
			return policies.Deny(policies.Problem{
				Status: http.StatusForbidden, Type: "no-tenant", Title: "Not allowed",
				Detail: orElse(result.Detail, "the credentials belong to no tenant"),
			}, why)
		case policies.Rejected:
			return a.unauthorized("invalid-credentials", "The credentials are not accepted",
				orElse(result.Detail, "the credentials are not accepted"), why)
		case policies.Unavailable:
			return policies.Deny(policies.Problem{
				Status: http.StatusServiceUnavailable, Type: "unavailable", Title: "Temporarily unavailable",
				Detail: orElse(result.Detail, "the credentials cannot be checked right now"), Retry: time.Second,
			}, why)
		default:
			return policies.Deny(policies.Problem{Title: "Not allowed", Type: "forbidden"}, why+": unknown outcome")
		}
	}
	return a.unauthorized("unauthenticated", "Credentials are needed",
		"the request carries no credentials that this route accepts", strings.Join(asked, "; "))
}

// unauthorized is a 401: RFC 9110, section 15.5.2, asks for a challenge with each.
func (a *Auth) unauthorized(kind, title, detail, why string) policies.Decision {
	d := policies.Deny(policies.Problem{Status: http.StatusUnauthorized, Type: kind, Title: title, Detail: detail}, why)
	if a.challenge != "" {
		d.Headers = map[string]string{"WWW-Authenticate": a.challenge}
	}
	return d
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
