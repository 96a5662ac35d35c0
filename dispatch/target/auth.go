package target

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"headgate/config/secret"
	"headgate/config/yamlsrc"
	"headgate/dispatch/fault"
)

// auth is how a call shows who we are.
type auth struct {
	kind  string // the key of AuthSpec
	name  string // of the header, the parameter or the field; the user of basic
	ref   secret.Ref
	sign  *signing // hmac
	oauth *grant   // oauth2
}

// masked stands for a secret in a preview.
const masked = "***"

// credentials compiles `auth` of a call, the target's where it has none.
func (c *compiler) credentials(n *yamlsrc.Node) *auth {
	at := n.Get("auth")
	if at == nil {
		at = c.target.Get("auth")
	}
	if at != nil && at.Kind == yamlsrc.Null {
		c.once(at, func() { c.problem(at, "write auth: none if there is none", "auth is empty") })
		return nil
	}
	if at == nil || (at.Kind == yamlsrc.Scalar && at.Text == "none") {
		return nil
	}
	if at.Kind != yamlsrc.Map {
		at.Wrong("{bearer: {env: NAME}}, another way, or none", c.report)
		return nil
	}
	var a *auth
	c.once(at, func() { a = decodeAuth(at, c.check, c.report) })
	return a
}

func decodeAuth(n *yamlsrc.Node, check func(secret.Ref, *yamlsrc.Node), report *yamlsrc.Report) *auth {
	var spec AuthSpec
	before := report.Len()
	n.Decode(&spec, report)
	if report.Len() > before {
		return nil
	}
	if len(n.Entries) != 1 {
		report.Addf(n.Pos, n.Path, "keep one of bearer, basic, header, query, body, hmac, webhook and oauth2", "auth takes exactly one way")
		return nil
	}
	a := &auth{kind: n.Entries[0].Key}
	at := n.Entries[0].Value
	if at.Kind == yamlsrc.Null && a.kind != "bearer" {
		report.Addf(at.Pos, at.Path, "write its keys below it", "%s is empty", a.kind)
		return nil
	}
	switch {
	case spec.Bearer != nil:
		a.ref = *spec.Bearer
	case spec.Basic != nil:
		a.name, a.ref = spec.Basic.User, spec.Basic.Password
		if strings.Contains(a.name, ":") {
			report.Addf(at.Pos, at.Path, "leave the colon out", "a user of basic authentication cannot contain a colon")
		}
		at = find(at, "password")
	case spec.Header != nil:
		a.name, a.ref = secretHeader(spec.Header.Name, at, report), spec.Header.Value
		at = find(at, "value")
	case spec.Query != nil:
		a.name, a.ref = spec.Query.Name, spec.Query.Value
		at = find(at, "value")
	case spec.Body != nil:
		a.name, a.ref = spec.Body.Field, spec.Body.Value
		at = find(at, "value")
	case spec.HMAC != nil:
		a.name, a.ref = secretHeader(spec.HMAC.Header, at, report), spec.HMAC.Secret
		a.sign = spec.HMAC.compile(at, report)
		at = find(at, "secret")
	case spec.Webhook != nil:
		a.ref = spec.Webhook.Secret
		at = find(at, "secret")
	case spec.OAuth2 != nil:
		a.ref = spec.OAuth2.ClientSecret
		a.oauth = spec.OAuth2.compile(at, report)
		at = find(at, "client_secret")
	}
	if a.ref.IsZero() { // an empty value, such as `bearer:`
		report.Addf(n.Pos, n.Path, "write {env: NAME} or {file: /path}", "a secret needs either env or file")
		return nil
	}
	check(a.ref, at)
	return a
}

// secretHeader checks the name of a header that carries a secret, and gives it as it is
// sent. at is the mapping in which it stands.
func secretHeader(name string, at *yamlsrc.Node, report *yamlsrc.Report) string {
	canonical := http.CanonicalHeaderKey(name)
	if _, reserved := reservedHeaders[canonical]; reserved || !validHeaderName(name) {
		report.Addf(at.Pos, at.Path, "write a name such as X-Api-Key", "%q is no header for a secret", name)
	}
	return canonical
}

// secretReader gets a secret from where it is kept; nil stands for three stars in its
// place, and nothing is read.
type secretReader func(secret.Ref) (secret.Value, error)

// apply adds the credentials to a request; the secret is read now.
func (a *auth) apply(r *request, read secretReader) *fault.Fault {
	value := masked
	var v secret.Value
	if read != nil {
		var err error
		v, err = read(a.ref)
		if err != nil {
			return &fault.Fault{Reason: fault.Auth, Retry: true, Err: err,
				Message: fmt.Sprintf("the secret %s cannot be read", a.ref)}
		}
		value = v.Reveal()
		r.secrets = append(r.secrets, value)
	}
	switch a.kind {
	case "hmac":
		value = a.hmac(r, value, read == nil)
	case "webhook":
		var f *fault.Fault
		if value, f = a.webhook(r, value, read == nil); f != nil {
			return f
		}
	case "oauth2":
		if read != nil {
			// The token is got when the call is sent: it may take a call of its own.
			r.oauth, r.clientSecret = a.oauth, v
			return nil
		}
		value = a.oauth.prefix + masked
	}
	return a.place(r, value, read == nil)
}

// place puts the credentials where they belong in the request.
func (a *auth) place(r *request, value string, mask bool) *fault.Fault {
	name := "Authorization"
	switch a.kind {
	case "bearer":
		value = "Bearer " + value
	case "basic":
		if !mask {
			value = base64.StdEncoding.EncodeToString([]byte(a.name + ":" + value))
			r.secrets = append(r.secrets, value)
		}
		value = "Basic " + value
	case "header", "hmac":
		name = a.name
	case "webhook":
		name = webhookSignature
	case "body":
		return a.intoBody(r, value)
	case "query":
		if !mask {
			value = url.QueryEscape(value)
			r.secrets = append(r.secrets, value)
		}
		r.to.url = addQuery(r.to.url, url.QueryEscape(a.name)+"="+value)
		return nil
	}
	if !validHeaderValue(value) {
		return &fault.Fault{Reason: fault.Auth, Retry: true,
			Message: fmt.Sprintf("the secret %s holds characters that a header cannot carry", a.ref)}
	}
	r.header[name] = []string{value}
	return nil
}

// addQuery appends an encoded parameter to a URL without a fragment.
func addQuery(to, parameter string) string {
	if strings.Contains(to, "?") {
		return to + "&" + parameter
	}
	return to + "?" + parameter
}
