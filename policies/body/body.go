// Package body owns the question whether a request's body can be read: its size, its
// type, its JSON and, where a route has one, its schema. It decodes the body, once,
// for everything that comes after. It knows no targets.
package body

import (
	"bytes"
	"context"
	"fmt"
	"mime"
	"net/http"
	"path"
	"strings"

	"headgate/policies"
	"headgate/policies/schema"
)

// Register adds the policy to the registry, as `body`.
func Register(r *policies.Registry) {
	r.Policy("body", &Config{}, func(b policies.Build) policies.Policy {
		if p := New(b); p != nil {
			return p
		}
		return nil
	})
}

// Policy checks and decodes a body.
type Policy struct {
	cfg    Config
	schema *schema.Schema // may be nil
}

// Name implements policies.Policy.
func (*Policy) Name() string { return "body" }

// Stage implements policies.Policy.
func (*Policy) Stage() policies.Stage { return policies.Content }

// Max is the largest body in bytes, for whoever reads it from the network.
func (p *Policy) Max() int64 { return int64(p.cfg.Max) }

// Schema is the route's schema, nil when it has none.
func (p *Policy) Schema() *schema.Schema { return p.schema }

// Lacks implements policies.BodyShape.
func (p *Policy) Lacks(path []string) (policies.MissingField, bool) {
	if p.schema == nil {
		return policies.MissingField{}, false
	}
	return p.schema.Lacks(path)
}

// Check implements policies.Policy. It sets JSON and HasJSON. A request that usually
// has no body (GET, HEAD, DELETE, OPTIONS) passes without one, unless there is a schema.
func (p *Policy) Check(_ context.Context, r *policies.Request) policies.Decision {
	if int64(len(r.Body)) > p.Max() {
		return deny(http.StatusRequestEntityTooLarge, "body-too-large", "The body is too large",
			fmt.Sprintf("the body may have at most %s", p.cfg.Max), fmt.Sprintf("%d bytes, more than %d", len(r.Body), p.Max()))
	}
	if len(bytes.Trim(r.Body, " \t\r\n")) == 0 {
		if p.schema == nil && mayBeEmpty(r.Method) {
			return policies.Pass()
		}
		return badJSON(&syntaxError{detail: "the body is empty"})
	}
	if wrong := p.contentType(r.Header["Content-Type"]); wrong != "" {
		return deny(http.StatusUnsupportedMediaType, "unsupported-media-type", "Unsupported media type",
			wrong+"; send "+strings.Join(p.cfg.ContentType, " or "), wrong)
	}
	v, problem := decode(r.Body, p.cfg.Depth, p.cfg.DuplicateKeys == DuplicatesAllow)
	if problem != nil {
		return badJSON(problem)
	}
	if p.schema != nil {
		if faults := p.schema.Validate(v); len(faults) > 0 {
			d := deny(http.StatusUnprocessableEntity, "schema-violation", "The body does not fit the schema",
				fmt.Sprintf("%d or more faults; see errors", len(faults)), summary(faults))
			if len(faults) < schema.MaxErrors {
				d.Problem.Detail = strings.Replace(d.Problem.Detail, " or more", "", 1)
			}
			if len(faults) == 1 {
				d.Problem.Detail = "the body has a fault; see errors"
			}
			d.Problem.Errors = faults
			return d
		}
	}
	r.JSON, r.HasJSON = v, true
	return policies.Pass()
}

// contentType says what is wrong with the type, empty when nothing is.
func (p *Policy) contentType(values []string) string {
	switch {
	case len(values) == 0 || values[0] == "":
		return "the body has no Content-Type"
	case len(values) > 1:
		return "there is more than one Content-Type"
	}
	kind, params, err := values[0], map[string]string(nil), error(nil)
	if kind != "application/json" { // what nearly every client sends needs no parsing
		if kind, params, err = mime.ParseMediaType(values[0]); err != nil {
			return "the Content-Type cannot be read"
		}
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return "the charset is not utf-8"
	}
	for _, pattern := range p.cfg.ContentType {
		if ok, err := path.Match(pattern, kind); ok && err == nil {
			return ""
		}
	}
	return fmt.Sprintf("the Content-Type %.80q is not accepted", kind)
}

func mayBeEmpty(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodDelete, http.MethodOptions:
		return true
	}
	return false
}

func badJSON(e *syntaxError) policies.Decision {
	d := deny(http.StatusBadRequest, "bad-json", "The body is not acceptable JSON", e.detail, e.detail)
	if e.pointer != "" {
		d.Problem.Errors = []policies.FieldError{{Detail: e.detail, Pointer: e.pointer}}
	}
	return d
}

func deny(status int, kind, title, detail, log string) policies.Decision {
	return policies.Deny(policies.Problem{Status: status, Type: kind, Title: title, Detail: detail}, log)
}

// summary counts what is wrong. Where it is the caller learns: a place may be named after a key
// of the body, and logs hold nothing of bodies.
func summary(faults []policies.FieldError) string {
	return fmt.Sprintf("the schema is violated in at least %d places", len(faults))
}
