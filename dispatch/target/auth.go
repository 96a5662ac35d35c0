package target

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"headgate/config/secret"
	"headgate/config/yamlsrc"
	"headgate/dispatch/fault"
)

// auth is how a call shows who we are.
type auth struct {
	kind  string       // the key of AuthSpec
	name  string       // of the header, the parameter or the field; the user of basic
	refs  []secret.Ref // in the order in which they are used; the zero Ref stands for none
	sign  *signing     // hmac
	oauth *grant       // oauth2
	sigv4 *sigv4       // aws_sigv4
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
	if a != nil && a.oauth != nil && at == c.target.Get("auth") {
		a.oauth.keep(c.tokenFields)
	}
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
		report.Addf(n.Pos, n.Path, "keep one of bearer, basic, header, query, body, hmac, webhook, oauth2 and aws_sigv4", "auth takes exactly one way")
		return nil
	}
	a := &auth{kind: n.Entries[0].Key}
	at := n.Entries[0].Value
	if at.Kind == yamlsrc.Null && a.kind != "bearer" {
		report.Addf(at.Pos, at.Path, "write its keys below it", "%s is empty", a.kind)
		return nil
	}
	keys := []string{"secret"} // of the secrets, as a.refs has them
	switch {
	case spec.Bearer != nil:
		a.refs, keys = []secret.Ref{*spec.Bearer}, []string{""}
	case spec.Basic != nil:
		a.name, a.refs, keys = spec.Basic.User, []secret.Ref{spec.Basic.Password}, []string{"password"}
		if strings.Contains(a.name, ":") {
			report.Addf(at.Pos, at.Path, "leave the colon out", "a user of basic authentication cannot contain a colon")
		}
	case spec.Header != nil:
		a.name = secretHeader(spec.Header.Name, at, report)
		a.refs, keys = []secret.Ref{spec.Header.Value}, []string{"value"}
	case spec.Query != nil:
		a.name, a.refs, keys = spec.Query.Name, []secret.Ref{spec.Query.Value}, []string{"value"}
	case spec.Body != nil:
		a.name, a.refs, keys = spec.Body.Field, []secret.Ref{spec.Body.Value}, []string{"value"}
	case spec.HMAC != nil:
		a.name, a.refs = secretHeader(spec.HMAC.Header, at, report), []secret.Ref{spec.HMAC.Secret}
		a.sign = spec.HMAC.compile(at, report)
	case spec.Webhook != nil:
		a.refs = []secret.Ref{spec.Webhook.Secret}
	case spec.OAuth2 != nil:
		a.refs, keys = spec.OAuth2.secrets()
		a.oauth = spec.OAuth2.compile(at, report)
	case spec.SigV4 != nil:
		a.refs, keys = spec.SigV4.secrets()
		a.sigv4 = spec.SigV4.compile(at, report)
	}
	if !slices.ContainsFunc(a.refs, func(r secret.Ref) bool { return !r.IsZero() }) && a.oauth == nil { // an empty value, such as `bearer:`
		report.Addf(n.Pos, n.Path, "write {env: NAME} or {file: /path}", "a secret needs either env or file")
		return nil
	}
	for i, ref := range a.refs {
		if !ref.IsZero() {
			check(ref, find(at, keys[i]))
		}
	}
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

// readAll gets the secrets of an auth, or of other credentials, in their order; the zero
// Ref gives the zero Value.
func readAll(refs []secret.Ref, read secretReader) ([]secret.Value, *fault.Fault) {
	out := make([]secret.Value, len(refs))
	for i, ref := range refs {
		if ref.IsZero() {
			continue
		}
		var err error
		if out[i], err = read(ref); err != nil {
			return nil, &fault.Fault{Reason: fault.Auth, Retry: true, Err: err,
				Message: fmt.Sprintf("the secret %s cannot be read", ref)}
		}
	}
	return out, nil
}

// apply adds the credentials to a request; the secrets are read now.
func (a *auth) apply(r *request, read secretReader) *fault.Fault {
	value := masked
	var values []secret.Value
	if read != nil {
		var f *fault.Fault
		if values, f = readAll(a.refs, read); f != nil {
			return f
		}
		for _, v := range values {
			if text := v.Reveal(); text != "" {
				r.secrets = append(r.secrets, text)
			}
		}
		value = values[0].Reveal()
	}
	switch a.kind {
	case "hmac":
		var f *fault.Fault
		if value, f = a.hmac(r, value, read == nil); f != nil {
			return f
		}
	case "webhook":
		var f *fault.Fault
		if value, f = a.webhook(r, value, read == nil); f != nil {
			return f
		}
	case "oauth2":
		if read != nil {
			// The token is got when the call is sent: it may take a call of its own.
			r.oauth = newClient(a.oauth, values)
			return nil
		}
		value = a.oauth.prefix + masked
	case "aws_sigv4":
		return a.sigv4.sign(r, values, a.refs)
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
			Message: fmt.Sprintf("the secret %s holds characters that a header cannot carry", a.refs[0])}
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
