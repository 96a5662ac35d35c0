package gateway

import (
	"slices"
	"strings"

	"headgate/dispatch"
	"headgate/dispatch/transform"
	"headgate/policies"
)

// credentialHeaders are not shown to expressions: what they carry would end up in
// payloads, which are kept and sent to backends.
var credentialHeaders = map[string]bool{
	"Authorization": true, "Proxy-Authorization": true, "Cookie": true, "X-Api-Key": true,
}

// scopeFor is Scope for the expressions of f alone: the headers, of which there are many,
// are there only when one reads them.
func scopeFor(f *dispatch.Fanout, r *policies.Request) transform.Scope {
	scope := scopeBut(r)
	if f.Reads("headers") {
		scope["headers"] = shownHeaders(r)
	}
	if f.Reads("tenant") {
		scope["tenant"] = r.Principal.TenantKey()
	}
	return scope
}

// Scope is what the route's expressions see: body, params, query, headers (by lower-case
// name, without credentials), claims and route. What is missing gives null there. tenant is for keys of orders.
func Scope(r *policies.Request) transform.Scope {
	scope := scopeBut(r)
	scope["headers"] = shownHeaders(r)
	scope["tenant"] = r.Principal.TenantKey()
	return scope
}

// scopeBut is Scope without the headers.
func scopeBut(r *policies.Request) transform.Scope {
	params := make(map[string]any, len(r.Params))
	for name, value := range r.Params {
		params[name] = value
	}
	query := make(map[string]any, len(r.Query))
	for name, values := range r.Query {
		if len(values) == 1 {
			query[name] = values[0]
			continue
		}
		list := make([]any, len(values))
		for i, value := range values {
			list[i] = value
		}
		query[name] = list
	}
	claims := r.Principal.Claims
	if claims == nil {
		claims = map[string]any{}
	}
	return transform.Scope{
		"body": r.JSON, "params": params, "query": query, "claims": claims, "route": r.Route,
	}
}

// shownHeaders are the headers that expressions see.
func shownHeaders(r *policies.Request) map[string]any {
	out := make(map[string]any, len(r.Header))
	for name, values := range r.Header {
		if !credentialHeaders[name] && !slices.Contains(r.CredentialHeaders, name) {
			out[strings.ToLower(name)] = values[0]
		}
	}
	return out
}
