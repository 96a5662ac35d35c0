package gateway

import (
	"cmp"
	"net/http"
	"time"

	"headgate/gateway/wire"
	"headgate/policies"
)

// ProblemType describes one type of problem, for the reference documentation.
type ProblemType struct {
	Slug     string // the last part of the type
	Title    string
	Statuses []int
	Meaning  string // what happened and what the client can do about it
}

// URN is the type member as clients see it.
func (p ProblemType) URN() string { return wire.URN(p.Slug) }

// Problems lists every type of problem that this package answers with, and those that
// policies use. A policy may bring types of its own: those carry their title with them.
func Problems() []ProblemType {
	return append([]ProblemType(nil), problemTypes...)
}

var problemTypes = []ProblemType{
	{"bad-request", "Bad request", []int{400}, "The request is not well-formed HTTP, or its path or query is not well-formed. The connection may be closed."},
	{"bad-encoding", "Bad content encoding", []int{400}, "The body is not what its Content-Encoding says."},
	{"bad-json", "The body is not acceptable JSON", []int{400}, "The body cannot be parsed as JSON, or is nested too deeply; errors may say where."},
	{"bad-idempotency-key", "Bad idempotency key", []int{400}, "The Idempotency-Key header is empty, longer than 255 characters, repeated, or has control characters."},
	{"idempotency-key-required", "Idempotency key required", []int{400}, "The route takes no request without an Idempotency-Key header."},
	{"unauthenticated", "Credentials are needed", []int{401}, "There are no credentials of a kind that the route takes. WWW-Authenticate says which it does."},
	{"invalid-credentials", "The credentials are not accepted", []int{401}, "The credentials are wrong, expired, or not for this server."},
	{"forbidden", "Not allowed", []int{403}, "The credentials are good, but do not allow this."},
	{"no-tenant", "Not allowed", []int{403}, "The credentials are good, but belong to no tenant."},
	{"insufficient-scope", "Not allowed", []int{403}, "The credentials lack a scope that the route asks for."},
	{"not-found", "Not found", []int{404}, "No route has the path; or the tracking ID is unknown, expired, or another tenant's."},
	{"method-not-allowed", "Method not allowed", []int{405}, "The path exists with the methods that Allow lists."},
	{"nothing-to-replay", "Nothing to replay", []int{409}, "None of the dispatch's deliveries failed and can be tried again; errors says why not."},
	{"request-timeout", "Request timeout", []int{408}, "The request did not arrive in time."},
	{"body-too-large", "The body is too large", []int{413}, "The body, before or after inflating, or what is made of it, is larger than the route or the server takes."},
	{"unsupported-media-type", "Unsupported media type", []int{415}, "The route does not take this Content-Type."},
	{"unsupported-encoding", "Unsupported content encoding", []int{415}, "The body's Content-Encoding is none of those that Accept-Encoding lists."},
	{"schema-violation", "The body does not fit the schema", []int{422}, "errors says what is wrong where."},
	{"mapping-failed", "Mapping failed", []int{422}, "What a target needs cannot be made of the body; errors names the target. Repeating the same request does not help."},
	{"idempotency-key-reused", "Idempotency key reused", []int{422}, "The Idempotency-Key was used with another request. Use a new key."},
	{"reload-refused", "Reload refused", []int{422}, "Admin listener: the files are wrong, and what was in force stays; errors says what is wrong where."},
	{"rate-limited", "Too many requests", []int{429}, "Come back after Retry-After."},
	{"tenant-backlog-full", "Too many deliveries under way", []int{429}, "As many deliveries of the tenant to a target are under way as it may have; detail names it. Nothing was recorded. Repeat the request after Retry-After. Operators: limits.backlog_per_tenant of the target."},
	{"head-too-large", "Request head too large", []int{431}, "The request line and headers together are too long."},
	{"internal", "Internal error", []int{500}, "A fault of this server. It is logged."},
	{"method-unknown", "Method unknown", []int{501}, "The server does not know the method."},
	{"backlog-full", "Backlog full", []int{503}, "As many deliveries of a target are under way as it takes; detail names it. Nothing was recorded. Repeat the request after Retry-After. Operators: limits.backlog of the target."},
	{"storage-full", "Storage full", []int{503}, "Redis is as full as redis.max_memory lets it get. Nothing was recorded, and what was is still delivered. Repeat the request after Retry-After."},
	{"target-draining", "Target draining", []int{503}, "An operator drains a target that the request feeds; detail names it. Nothing was recorded, and what was is still delivered. Repeat the request after Retry-After. Operators: headgate resume."},
	{"unavailable", "Temporarily unavailable", []int{503}, "Redis is away or full, or the keys that credentials are checked with cannot be had. Nothing was recorded. Repeat the request after Retry-After."},
	{"outcome-unknown", "Outcome unknown", []int{503}, "Whether the request was recorded could not be learnt. Repeating it with the same Idempotency-Key is safe; tracking_id tells what to look for."},
	{"not-ready", "Not ready", []int{503}, "Admin listener: something that requests need is missing; checks lists it."},
}

func titleOf(slug string, status int) string {
	for _, t := range problemTypes {
		if t.Slug == slug {
			return t.Title
		}
	}
	return http.StatusText(status)
}

// problem makes an answer of one of the types.
func problem(slug string, status int, detail string) *answer {
	return problemAnswer(wire.Problem{Type: wire.URN(slug), Title: titleOf(slug, status), Status: status, Detail: detail})
}

func problemAnswer(p wire.Problem) *answer {
	return &answer{status: p.Status, kind: wire.ProblemType, body: p.JSON()}
}

// fieldProblem lists what is wrong where.
func fieldProblem(slug string, status int, detail string, errors []policies.FieldError) *answer {
	p := wire.Problem{Type: wire.URN(slug), Title: titleOf(slug, status), Status: status, Detail: detail}
	if len(errors) > 0 {
		p.Errors = errors
	}
	return problemAnswer(p)
}

// denied answers with a policy's refusal.
func denied(d policies.Decision) *answer {
	p := d.Problem
	status := cmp.Or(p.Status, http.StatusForbidden)
	slug := cmp.Or(p.Type, defaultSlug(status))
	doc := wire.Problem{
		Type: wire.URN(slug), Status: status, Detail: p.Detail,
		Title: cmp.Or(p.Title, titleOf(slug, status)),
	}
	if len(p.Errors) > 0 {
		doc.Errors = p.Errors
	}
	return problemAnswer(doc).retryAfter(p.Retry)
}

// defaultSlug is for policies that leave the type out.
func defaultSlug(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "unauthenticated"
	case http.StatusTooManyRequests:
		return "rate-limited"
	}
	for _, t := range problemTypes {
		if t.Statuses[0] == status {
			return t.Slug
		}
	}
	return "forbidden"
}

// unavailable says that nothing was done and when to come back.
func unavailable() *answer {
	return problem("unavailable", http.StatusServiceUnavailable, "The request cannot be handled now. Nothing was recorded.").
		retryAfter(time.Second)
}
