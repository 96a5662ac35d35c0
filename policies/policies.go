// Package policies owns the questions asked about a request before it is accepted:
// may it pass? A policy is a folder below this one and a line in the registration
// list. Policies never see the HTTP server, the targets or the dispatch.
package policies

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"headgate/config/secret"
	"headgate/config/yamlsrc"
)

// Request is what a policy may look at. Everything in it is a copy that outlives the
// HTTP handler. Authentication fills Principal; content policies fill JSON.
type Request struct {
	Route   string // the route's name
	Method  string
	Path    string
	Params  map[string]string // decoded path parameters
	Query   map[string][]string
	Header  Header
	Body    []byte     // as it came, Content-Encoding already undone
	Client  netip.Addr // from the connection, or from trusted forwarding headers
	Now     time.Time
	JSON    any // the decoded body with json.Number, set by the body policy
	HasJSON bool

	Principal Principal
	// CredentialHeaders are headers of the route's authenticators, by canonical name:
	// expressions do not see them, whatever they are called. Authentication sets them.
	CredentialHeaders []string
}

// Header gives request headers by canonical name (textproto.CanonicalMIMEHeaderKey).
type Header map[string][]string

// Get gives the first value, empty when there is none. The name must be canonical.
func (h Header) Get(name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Principal is who calls, as an authenticator asserted it.
type Principal struct {
	Authenticator string // the name under `auth:` that accepted the credentials
	ID            string // the token's subject, the API key's id
	Tenant        string
	Scopes        []string
	Claims        map[string]any // a token's claims; nil for others
}

// Authenticated reports whether an authenticator accepted the request.
func (p Principal) Authenticated() bool { return p.Authenticator != "" }

// TenantKey is the tenant bound to the authenticator that asserted it: two issuers
// never share a tenant by accident. It is what records and limits are kept under.
func (p Principal) TenantKey() string {
	if !p.Authenticated() {
		return "anonymous"
	}
	return p.Authenticator + "/" + p.Tenant
}

// HasScopes reports whether the principal has every one of the scopes.
func (p Principal) HasScopes(scopes []string) bool {
	for _, want := range scopes {
		found := false
		for _, have := range p.Scopes {
			found = found || have == want
		}
		if !found {
			return false
		}
	}
	return true
}

// Decision is a policy's answer. The zero value denies, with status 403: a policy that
// forgets to decide lets nothing pass.
type Decision struct {
	Allow   bool
	Problem Problem
	// Headers go onto the answer, whether allowed or denied (RateLimit and the like).
	Headers map[string]string
	// Log says why, for the operator only: it may name what the caller must not learn.
	Log string
}

// Problem is a refusal as the caller sees it (RFC 9457).
type Problem struct {
	Status int           // 0 means 403
	Type   string        // the last part of the problem type, such as "rate-limited"
	Title  string        // the same for every occurrence of the type
	Detail string        // this occurrence
	Errors []FieldError  // what is wrong where, for 400 and 422
	Retry  time.Duration // Retry-After; zero leaves it out
}

// FieldError is one fault of a body.
type FieldError struct {
	Detail  string `json:"detail"`
	Pointer string `json:"pointer,omitempty"` // JSON pointer (RFC 6901) into the body
}

// Pass is the decision that allows.
func Pass() Decision { return Decision{Allow: true} }

// Deny is the decision that refuses with p; log tells the operator why.
func Deny(p Problem, log string) Decision { return Decision{Problem: p, Log: log} }

// Policy asks one question about a request. Check is called concurrently, must honour
// ctx, and may set the fields of the request that its Stage owns.
type Policy interface {
	// Name is the key the policy has in a route's YAML, such as "rate_limit".
	Name() string
	// Stage says when the policy runs, and so what it may read.
	Stage() Stage
	Check(ctx context.Context, r *Request) Decision
}

// Stage orders policies. Those of a later stage see what earlier ones have set.
type Stage int

// The stages, in the order they run. Admit and the look-up of the idempotency key
// share one wave of round trips, while Content runs on the processor.
const (
	Identify  Stage = iota // who is it? sets Principal; reads no body
	Authorize              // may this principal use the route? (scopes)
	Admit                  // is there room? (rate limits); may ask Redis
	Content                // is the body acceptable? sets JSON
)

// Authenticator is a Policy of the stage Identify that can be combined with others:
// a route names several and one must accept.
type Authenticator interface {
	// Authenticate looks for its kind of credentials. Absent reports that there were
	// none of its kind, so that another authenticator may be asked.
	Authenticate(ctx context.Context, r *Request) (p Principal, result AuthResult)
	// Challenge is the value for WWW-Authenticate, such as `Bearer realm="mobile"`.
	Challenge() string
	// Health is nil when credentials can be checked; otherwise the reason, for /readyz.
	Health() error
	// Close ends what the authenticator does in the background.
	Close()
}

// CredentialHeader is implemented by authenticators that look for credentials in a
// header; it gives the header's canonical name.
type CredentialHeader interface{ CredentialHeader() string }

// AuthResult is how an attempt to authenticate ended.
type AuthResult struct {
	Outcome AuthOutcome
	Log     string // why, for the operator; never the credentials
	Detail  string // for the caller: says no more than that the credentials are not accepted
}

// AuthOutcome is closed: absent, rejected, accepted, no tenant, cannot tell.
type AuthOutcome int

// The outcomes. The zero value rejects.
const (
	Rejected  AuthOutcome = iota // bad credentials: 401
	Absent                       // none of this kind: ask the next, 401 if there is none
	Forbidden                    // good credentials, but no tenant: 403
	Accepted
	Unavailable // credentials of this kind, but nothing to check them with now: 503
)

// ErrPending is wrapped by what Authenticator.Health gives while the first fetch of keys
// is still under way: there is no reason to worry yet.
var ErrPending = errors.New("it has not been fetched yet")

// Build is what a policy's constructor gets.
type Build struct {
	Name   string        // the authenticator's name, or the route's
	Node   *yamlsrc.Node // the policy's own part of the file
	Report *yamlsrc.Report
	Dir    string        // the folder of the file, for relative paths (schemas, PEM files)
	Access secret.Access // what a reference in the file may name
	Deps   Deps
}

// CanonicalHeader is the form that Header's keys have. Names that have it already, as most
// clients send them, are not copied.
func CanonicalHeader(name string) string {
	upper := true
	for i := range len(name) {
		if canonicalByte(name[i], upper) != name[i] {
			return canonicalCopy(name)
		}
		upper = name[i] == '-'
	}
	return name
}

func canonicalCopy(name string) string {
	upper := true
	out := []byte(name)
	for i, c := range out {
		out[i] = canonicalByte(c, upper)
		upper = c == '-'
	}
	return string(out)
}

func canonicalByte(c byte, upper bool) byte {
	switch {
	case upper && 'a' <= c && c <= 'z':
		return c - 'a' + 'A'
	case !upper && 'A' <= c && c <= 'Z':
		return c - 'A' + 'a'
	}
	return c
}
